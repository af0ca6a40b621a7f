"""Smaller pools: corpora restricted to what was judged, as leaderboards do where a whole corpus is too much."""

from collections.abc import Mapping
from pathlib import Path

from mixlingua.errors import DataError
from mixlingua.evaluation.corpus_task import Judgements
from mixlingua.evaluation.judged_files import plain_or_gz, read_ids
from mixlingua.retrieval.corpus import Corpus, Pool

JUDGED = "judged"


def pooled(
    corpora: Mapping[str, Corpus], qrels: Mapping[tuple[str, str], Judgements], pool: str | Path | None
) -> dict[str, Corpus]:
    """The corpora, each restricted to its pool.

    pool: None for whole corpora; "judged" for the passages that any query has a judgement of, relevant or not; else a
    folder of de.txt, en.txt, ... with further passage ids, one a line. Raises DataError where a language's file is
    missing or malformed.
    """
    if pool is None:
        return dict(corpora)
    ids: dict[str, set[str]] = {language: set() for language in corpora}
    for (_, language), judgements in qrels.items():
        for grades in judgements.values():
            ids[language].update(grades)
    if str(pool) != JUDGED:
        for language in corpora:
            path = plain_or_gz(Path(pool) / f"{language}.txt")
            if not path.is_file():
                raise DataError(
                    f"{path}: no such file. pool is null, '{JUDGED}' or a folder with the passage ids of each language."
                )
            ids[language] |= read_ids(path)
    return {language: Pool(corpus, frozenset(ids[language])) for language, corpus in corpora.items()}
