"""The qrels of a task as arrays, cut into the groups that its settings average over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixlingua.evaluation.settings import ALL_LANGUAGES

if TYPE_CHECKING:
    from mixlingua.evaluation.task import RetrievalTask


@dataclass(frozen=True)
class Group:
    """The queries of one language against one pool: one cell of a result.

    pool: the columns of the pool among all passages (languages in order). rows: (n,) ascending positions, within their
    language, of the queries that have a relevant passage in the pool. columns, grades: (n, R), those passages as
    positions in the pool, padded with -1, and their grades, padded with 0. excluded: (n, E), positions in the pool of
    what a query cannot find, padded with -1. pool_languages: (N,) position of each passage's language among those that
    have passages; language: that of the queries' language, -1 where it has none.
    """

    setting: str
    query_language: str
    passage_language: str
    pool: slice
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    grades: NDArray[np.float64]
    excluded: NDArray[np.int64]
    pool_languages: NDArray[np.int64]
    language: int


def groups_of(task: RetrievalTask, setting: str) -> list[Group]:
    """The groups of a setting that hold at least one query.

    A query that has no relevant passage in a pool is no query of that pool: an MLQA-R question that was not translated
    into German is not asked of the German passages.
    """
    pools = _pools(task)
    keys = (key for language in task.passage_languages for key in task.passages[language])
    column = {key: position for position, key in enumerate(keys)}
    languages_of = np.repeat(np.arange(len(task.passage_languages)), list(task.num_passages.values()))
    places = {language: place for place, language in enumerate(task.passage_languages)}
    groups = []
    for query_language in task.languages:
        judged, excluded = task.qrels[query_language], task.excluded.get(query_language, {})
        queries = list(task.queries[query_language])
        triples = [
            (row, column[passage], grade)
            for row, query in enumerate(queries)
            for passage, grade in judged[query].items()
            if grade > 0 and passage not in excluded.get(query, ())
        ]
        relevant = np.array(triples, dtype=np.int64).reshape(-1, 3)
        for passage_language in _passage_languages(task, setting, query_language):
            pool = pools[passage_language]
            inside = relevant[(relevant[:, 1] >= pool.start) & (relevant[:, 1] < pool.stop)]
            if len(inside):
                rows, columns, grades = _padded(inside, pool.start)
                own = [[column[passage] for passage in excluded.get(queries[row], ())] for row in rows]
                left_out = _positions(own, pool)
                languages = languages_of[pool], places.get(query_language, -1)
                groups.append(
                    Group(setting, query_language, passage_language, pool, rows, columns, grades, left_out, *languages)
                )
    return groups


def _pools(task: RetrievalTask) -> dict[str, slice]:
    pools, start = {}, 0
    for language in task.passage_languages:
        pools[language] = slice(start, start + len(task.passages[language]))
        start = pools[language].stop
    return pools | {ALL_LANGUAGES: slice(0, start)}


def _passage_languages(task: RetrievalTask, setting: str, query_language: str) -> list[str]:
    if setting == "monolingual":
        return [language for language in task.passage_languages if language == query_language]
    if setting == "crosslingual":
        return [language for language in task.passage_languages if language != query_language]
    return [ALL_LANGUAGES]


def _padded(
    triples: NDArray[np.int64], pool_start: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    rows, starts, index, counts = np.unique(triples[:, 0], return_index=True, return_inverse=True, return_counts=True)
    place = np.arange(len(triples)) - starts[index]
    columns = np.full((len(rows), counts.max()), -1, dtype=np.int64)
    grades = np.zeros(columns.shape)
    columns[index, place] = triples[:, 1] - pool_start
    grades[index, place] = triples[:, 2]
    return rows, columns, grades


def _positions(columns: list[list[int]], pool: slice) -> NDArray[np.int64]:
    """(n, E) positions in the pool of those columns of each query that lie in it, padded with -1."""
    inside = [[column - pool.start for column in own if pool.start <= column < pool.stop] for own in columns]
    positions = np.full((len(inside), max(map(len, inside), default=0)), -1, dtype=np.int64)
    for row, own in enumerate(inside):
        positions[row, : len(own)] = own
    return positions
