"""Which languages come first, by the language of the query."""

from collections.abc import Iterable

from mixlingua.evaluation.metric_names import share_language
from mixlingua.evaluation.results import ResultRow


def language_shares(rows: Iterable[ResultRow], task: str) -> dict[tuple[str, str], float]:
    """(query language, language) -> its share of the first ten passages, in the multilingual setting."""
    own = (row for row in rows if (row.task, row.setting) == (task, "multilingual"))
    named = ((row, share_language(row.metric)) for row in own)
    return {(row.query_language, language): row.value for row, language in named if language is not None}
