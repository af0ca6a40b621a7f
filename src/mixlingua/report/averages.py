"""Averages of result rows over groups of languages: those seen in training, and the zero-shot ones."""

from collections.abc import Collection, Iterable

from mixlingua.evaluation.averages import MACRO, Average, mean_of_rows
from mixlingua.evaluation.results import ResultRow

SEEN, ZERO_SHOT = "seen", "zero-shot"


def group_of(row: ResultRow, seen_languages: Collection[str]) -> str:
    """seen: every language of the row was trained on; zero-shot: one of them was not.

    In the multilingual setting, whose pool holds every language, the query's language decides.
    """
    languages = {row.query_language} if row.setting == "multilingual" else {row.query_language, row.passage_language}
    return SEEN if languages <= set(seen_languages) else ZERO_SHOT


def averages(
    rows: Iterable[ResultRow], seen_languages: Collection[str], average: Average = MACRO
) -> dict[tuple[str, str, str, str], float]:
    """(task, setting, metric, group) -> mean over the languages or pairs of the group."""
    parts: dict[tuple[str, str, str, str], list[ResultRow]] = {}
    for row in rows:
        parts.setdefault((row.task, row.setting, row.metric, group_of(row, seen_languages)), []).append(row)
    return {key: mean_of_rows(part, average) for key, part in parts.items()}
