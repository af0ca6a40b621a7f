"""What the engines rank: the relevant passages of queries by pool, and the groups of queries whose values are kept.

A pool is the passages of one language; the multilingual setting has all pools as one. An engine finds the scores of
relevant passages and how many passages of a pool score less, in memory or shard by shard.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mixlingua.evaluation.metrics import Floats, RelevantRanks, ranks_from_counts
from mixlingua.evaluation.results import ALL_LANGUAGES, SETTINGS

MONOLINGUAL, CROSSLINGUAL, MULTILINGUAL = SETTINGS

Languages = tuple[str, ...]  # those of pools that are searched together


@dataclass(frozen=True)
class Group:
    """The queries of a language against one pool. pool: the languages of its passages."""

    setting: str
    query_language: str
    passage_language: str
    pool: Languages


def groups_of(
    pairs: Iterable[tuple[str, str]],
    mixed: Iterable[str],
    pools: Languages,
    settings: Collection[str] = SETTINGS,
) -> list[Group]:
    """The groups of these settings, by setting, then by query and passage language.

    pairs: query and passage languages between which something is relevant. mixed: the query languages of the
    multilingual setting, whose pool is all of `pools`.
    """
    groups = [Group(MONOLINGUAL if a == b else CROSSLINGUAL, a, b, (b,)) for a, b in sorted(pairs)]
    groups += [Group(MULTILINGUAL, language, ALL_LANGUAGES, pools) for language in sorted(mixed)]
    return sorted(
        (group for group in groups if group.setting in settings), key=lambda group: SETTINGS.index(group.setting)
    )


@dataclass(frozen=True)
class Relevant:
    """The relevant passages in some pools of the Q queries that have any there, up to R each.

    languages: those of the pools. query_languages: (Q,), and query_ids. rows: (Q,) positions among all queries. pools:
    (Q, R) positions in `languages`, -1 in unused places. positions: (Q, R) in the pool, -1 also where the pool does not
    have the passage. grades: (Q, R), 0 in unused places.
    """

    languages: Languages
    query_languages: NDArray[np.str_]
    query_ids: NDArray[np.object_]
    rows: NDArray[np.int64]
    pools: NDArray[np.int64]
    positions: NDArray[np.int64]
    grades: Floats

    @classmethod
    def of(cls, languages: Languages, judged: Sequence[tuple[str, str, Sequence[tuple[int, int, int]]]]) -> Self:
        """judged: of every query its language, its id, and pool, position and grade of what is relevant to it."""
        kept = [row for row, (_, _, relevant) in enumerate(judged) if relevant]
        counts = np.array([len(judged[row][2]) for row in kept], np.int64)
        table = np.full((len(kept), max(counts, default=0), 3), -1, np.int64)
        used = np.arange(table.shape[1]) < counts[:, None]
        table[used] = np.array([entry for row in kept for entry in judged[row][2]], np.int64).reshape(-1, 3)
        return cls(
            languages=languages,
            query_languages=np.array([judged[row][0] for row in kept]),
            query_ids=np.array([judged[row][1] for row in kept], object),
            rows=np.array(kept, np.int64),
            pools=table[:, :, 0],
            positions=table[:, :, 1],
            grades=np.maximum(table[:, :, 2], 0).astype(np.float64),
        )

    def within(self, queries: slice) -> Self:
        """The queries of a slice alone."""
        arrays = ("query_languages", "query_ids", "rows", "pools", "positions", "grades")
        return replace(self, **{name: getattr(self, name)[queries] for name in arrays})

    def pairs(self) -> set[tuple[str, str]]:
        """The query and passage languages between which something is relevant."""
        queries, columns = np.nonzero(self.pools >= 0)
        asking, pools = self.query_languages[queries], self.pools[queries, columns]
        return {
            (str(language), self.languages[pool])
            for language in np.unique(asking)
            for pool in np.unique(pools[asking == language]).tolist()
        }

    def ranking(
        self, group: Group, scores: Floats, below: NDArray[np.int64], pool_size: int
    ) -> tuple[NDArray[np.int64], RelevantRanks]:
        """The queries of a group, as positions among the Q, and the ranks of what is relevant to them in its pool.

        A query that has nothing relevant in a pool is no query of that pool: an MLQA-R question that was not translated
        into German is not asked of the German passages. scores: (Q, R) of the relevant passages, -inf where one is not
        returned. below: (Q, R), how many passages of the group's pool score less. pool_size: their number.
        """
        pool = [self.languages.index(language) for language in group.pool]
        in_pool = np.isin(self.pools, pool) & (self.query_languages == group.query_language)[:, None]
        queries = np.flatnonzero(in_pool.any(axis=1))
        in_pool, pools = in_pool[queries], self.pools[queries]
        scores = np.where(in_pool, scores[queries], -np.inf)
        grades, below = np.where(in_pool, self.grades[queries], 0.0), below[queries]
        width = in_pool.sum(axis=1).max(initial=0)
        if width < in_pool.shape[1]:  # the metrics need not look at passages of other pools
            kept = np.argsort(~in_pool, axis=1, kind="stable")[:, :width]
            scores, grades, below, pools = (
                np.take_along_axis(values, kept, axis=1) for values in (scores, grades, below, pools)
            )
        own = self.languages.index(group.query_language) if group.query_language in self.languages else -2
        return queries, ranks_from_counts(scores, below, grades, pool_size, same_language=pools == own)
