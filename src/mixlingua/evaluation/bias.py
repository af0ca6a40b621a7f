"""Language bias beyond ranks: which languages a ranking of passages in several languages prefers. One value per query.

A metric that has nothing to measure in a query is nan there (`metric_names.PARTIAL`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from mixlingua.evaluation.metrics import Floats, RelevantRanks, average_precision, relevant_ranks
from mixlingua.evaluation.results import TOP, share_metric


def top_language_shares(
    scores: NDArray[np.float32],
    columns: NDArray[np.int64],
    grades: Floats,
    passage_languages: NDArray[np.int64],
    k: int,
) -> Floats:
    """(Q, L) share of each language among the first k passages returned; rows sum to 1, nan where none was returned.

    scores, columns, grades: as `relevant_ranks` takes them, but no NaN. passage_languages: (P,), from 0 to L - 1.
    Where passages that tie are more than the places left, the less relevant enter first, as in the ranks; those of one
    grade share the places equally, so that no language gains by its place in the pool.
    """
    num_queries, pool_size = scores.shape
    num_languages = int(passage_languages.max()) + 1
    best, found = torch.from_numpy(scores).topk(min(k + 1, pool_size))
    values, languages = best.numpy(), passage_languages[found.numpy()]
    contested = np.zeros(num_queries, bool)
    if pool_size > k:
        contested = (values[:, k - 1] == values[:, k]) & (values[:, k] > -np.inf)
    counts = np.zeros((num_queries, num_languages))
    for place in range(min(k, pool_size)):
        certain = np.where(contested, values[:, place] > values[:, -1], values[:, place] > -np.inf)
        counts[np.arange(num_queries), languages[:, place]] += certain
    for row in np.flatnonzero(contested):
        tied = np.flatnonzero(scores[row] == values[row, -1])
        grade_of = np.zeros(pool_size)
        grade_of[columns[row, columns[row] >= 0]] = grades[row, columns[row] >= 0]
        tied_grades = grade_of[tied]
        places = k - int(counts[row].sum())
        for grade in np.unique(tied_grades):
            equals = tied[tied_grades == grade]
            taken = min(places, len(equals))
            counts[row] += np.bincount(passage_languages[equals], minlength=num_languages) * (taken / len(equals))
            places -= taken
    returned = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, returned, out=np.full_like(counts, np.nan), where=returned > 0)


@dataclass(frozen=True)
class OwnRanks(RelevantRanks):
    """own: (Q, R) bool, whether the passage with that rank is in the queries' language."""

    own: NDArray[np.bool_]


@dataclass(frozen=True)
class MixedRanks(OwnRanks):
    """All that language bias depends on, for Q queries in one language.

    top: (Q, L), share of each language among the first 10 passages, nan where none was returned. pool: (L,), share of
    each in the pool. language: position of the queries' language among the L, -1 where it has no passages.
    """

    top: Floats
    pool: Floats
    language: int


def mixed_ranks(
    scores: NDArray[np.float32],
    columns: NDArray[np.int64],
    grades: Floats,
    passage_languages: NDArray[np.int64],
    language: int,
) -> MixedRanks:
    """Rank a pool that mixes languages. scores, columns, grades: as `relevant_ranks` takes them.

    passage_languages: (P,), from 0 to L - 1, each at least once; language: that of the queries, -1 where it is none of
    these.
    """
    found = np.where(columns >= 0, np.take_along_axis(scores, np.maximum(columns, 0), axis=1), -np.inf)
    own = (columns >= 0) & (passage_languages[np.maximum(columns, 0)] == language)
    ranked = own_ranks(relevant_ranks(scores, columns, grades), found, grades, own)
    return MixedRanks(
        ranked.ranks,
        ranked.grades,
        ranked.pool_size,
        ranked.own,
        top=top_language_shares(scores, columns, grades, passage_languages, TOP),
        pool=np.bincount(passage_languages) / len(passage_languages),
        language=language,
    )


def own_ranks(ranked: RelevantRanks, scores: NDArray, grades: Floats, own: NDArray[np.bool_]) -> OwnRanks:
    """Ranks with what is in the queries' language among them.

    scores, grades, own: (Q, R), of the relevant passages in the order in which they were given to be ranked. Of those
    with one score and grade, the ones in the queries' language come first.
    """
    order = np.lexsort((~own, grades, -scores), axis=1)  # as metrics.ranks_from_counts orders them
    return OwnRanks(ranked.ranks, ranked.grades, ranked.pool_size, np.take_along_axis(own, order, axis=1))


def recall_other_at(result: OwnRanks, k: int) -> Floats:
    """Share of the relevant passages in other languages than the query's among the first k; nan where there is none."""
    other = (result.grades > 0) & ~result.own
    return _ratio(((result.ranks <= k) & other).sum(axis=1), other.sum(axis=1))


def map_drop_without_own(result: OwnRanks) -> Floats:
    """Average precision minus that after the relevant passages in the query's language are taken out of the pool.

    Those behind them move up; ties keep their order. nan where nothing is taken out, or nothing relevant is left.
    """
    other = (result.grades > 0) & ~result.own
    ranks = result.ranks - np.cumsum(result.own, axis=1)
    precision = np.where(other, np.cumsum(other, axis=1) / np.where(other, ranks, 1.0), 0.0).sum(axis=1)
    without = _ratio(precision, other.sum(axis=1))
    return np.where(result.own.any(axis=1), average_precision(result) - without, np.nan)


def own_language_excess(result: MixedRanks) -> Floats:
    """Share of the query's language among the first 10 passages, minus its share of the pool; nan where it has none."""
    if result.language < 0:
        return np.full(len(result.top), np.nan)
    return result.top[:, result.language] - result.pool[result.language]


def language_divergence(result: MixedRanks) -> Floats:
    """Total variation distance of the languages of the first 10 passages from those of the pool: the share of the ten
    that would have to be in another language for the two to be equal."""
    return np.abs(result.top - result.pool).sum(axis=1) / 2


def _share_of(result: MixedRanks, language: int) -> Floats:
    return result.top[:, language]


def _ratio(part: NDArray[np.int64] | Floats, whole: NDArray[np.int64]) -> Floats:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


OWN: dict[str, Callable[[OwnRanks], Floats]] = {
    "recall_other_at_10": lambda result: recall_other_at(result, 10),
    "recall_other_at_100": lambda result: recall_other_at(result, 100),
    "map_drop_without_own": map_drop_without_own,
}
PREFERENCE: dict[str, Callable[[MixedRanks], Floats]] = {
    **OWN,
    "own_language_excess_at_10": own_language_excess,
    "language_divergence_at_10": language_divergence,
}


def preference_metrics(languages: Sequence[str]) -> dict[str, Callable[[MixedRanks], Floats]]:
    """All of these, the share of each language among the first 10 passages included."""
    shares = {share_metric(language): partial(_share_of, language=place) for place, language in enumerate(languages)}
    return PREFERENCE | shares
