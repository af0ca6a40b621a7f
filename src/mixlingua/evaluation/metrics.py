"""Retrieval metrics as functions of the ranks of the relevant passages: pure numpy, one value per query.

Ties are broken against the system: a relevant passage stands behind all others with its score (docs/metrics.md).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RelevantRanks:
    """All that the metrics need of a ranking of `pool_size` passages, for Q queries with up to R relevant ones.

    ranks: (Q, R) float64, from 1, ascending in each row, `inf` where a passage was not returned and in unused places.
    grades: (Q, R) float64, the grade of the passage with that rank, 0 in unused places.
    """

    ranks: Floats
    grades: Floats
    pool_size: int

    @property
    def num_relevant(self) -> NDArray[np.int64]:
        """(Q,), at least 1."""
        return (self.grades > 0).sum(axis=1)


def relevant_ranks(scores: NDArray[np.float32], columns: NDArray[np.int64], grades: Floats) -> RelevantRanks:
    """Ranks of the relevant passages, without sorting the pool.

    scores: (Q, P); -inf marks a passage that was not returned. columns: (Q, R), the relevant passages of each query,
    padded with -1. grades: (Q, R), above 0 where columns is, else 0.
    rank(d) = 1 + passages that score above d + irrelevant ones that score the same; relevant passages with one score
    follow one another, the less relevant first. A NaN counts against the system.
    """
    relevant = np.take_along_axis(scores, np.maximum(columns, 0), axis=1)
    relevant = np.where(columns >= 0, relevant, -np.inf).astype(scores.dtype)
    below = np.stack([(scores < place[:, None]).sum(axis=1) for place in relevant.T], axis=1)
    return ranks_from_counts(relevant, below, grades, scores.shape[1])


def ranks_from_counts(
    relevant: NDArray[np.floating], below: NDArray[np.int64], grades: Floats, pool_size: int
) -> RelevantRanks:
    """The same from counts, which add up over the parts of a pool.

    relevant: (Q, R) scores of the relevant passages, -inf where one was not returned and in unused places. below:
    (Q, R), how many passages of the pool score less. grades: (Q, R), 0 in unused places.
    """
    order = np.lexsort((grades, -relevant), axis=1)
    relevant, grades = np.take_along_axis(relevant, order, axis=1), np.take_along_axis(grades, order, axis=1)
    below = np.take_along_axis(below, order, axis=1)
    later_ties = np.zeros(below.shape)
    for place in reversed(range(below.shape[1] - 1)):
        tied = relevant[:, place] == relevant[:, place + 1]
        later_ties[:, place] = np.where(tied, later_ties[:, place + 1] + 1, 0)
    returned = (grades > 0) & (relevant > -np.inf)
    ranks = np.where(returned, pool_size - below - later_ties, np.inf)
    return RelevantRanks(ranks, np.asarray(grades, np.float64), pool_size)


def average_precision(result: RelevantRanks) -> Floats:
    """Mean over all R relevant passages of the precision at their rank."""
    found_so_far = np.arange(1, result.ranks.shape[1] + 1)
    return (found_so_far / result.ranks).sum(axis=1) / result.num_relevant


def recall_at(result: RelevantRanks, k: int) -> Floats:
    """Share of the R relevant passages among the first k."""
    return (result.ranks <= k).sum(axis=1) / result.num_relevant


def precision_at(result: RelevantRanks, k: int) -> Floats:
    """Share of the first k that are relevant; divided by k, also where the pool is smaller."""
    return (result.ranks <= k).sum(axis=1) / k


def reciprocal_rank_at(result: RelevantRanks, k: int) -> Floats:
    """One over the rank of the first relevant passage, 0 where that lies behind k."""
    first = result.ranks.min(axis=1)
    return np.where(first <= k, 1 / first, 0.0)


def success_at(result: RelevantRanks, k: int) -> Floats:
    """1 where a relevant passage is among the first k, else 0: top-k accuracy in Karpukhin et al. 2020, "recall@k" in
    much work on question answering since."""
    return np.asarray((result.ranks <= k).any(axis=1), np.float64)


def ndcg_at(result: RelevantRanks, k: int) -> Floats:
    """Discounted gain of the first k over that of the best order; gain = grade, discount = 1 / log2(rank + 1)."""
    gained = np.where(result.ranks <= k, result.grades / np.log2(result.ranks + 1), 0.0).sum(axis=1)
    best = -np.sort(-result.grades, axis=1)[:, :k]
    return gained / (best / np.log2(np.arange(2, best.shape[1] + 2))).sum(axis=1)


def rank_distance(result: RelevantRanks) -> Floats:
    """Rank of the last minus rank of the first relevant passage; one not returned counts as last of the pool."""
    return _last_rank(result) - np.minimum(result.ranks.min(axis=1), result.pool_size)


def normalised_max_rank(result: RelevantRanks) -> Floats:
    """Rank of the last relevant passage on a scale from 0 (all R come first) to 100 (it is the last of the pool):
    its excess over R as a percentage of the largest possible excess, pool - R."""
    worst = result.pool_size - result.num_relevant
    return 100 * (_last_rank(result) - result.num_relevant) / np.maximum(worst, 1)


def complete_at(result: RelevantRanks, k: int) -> Floats:
    """1 where every relevant passage is among the first k, else 0."""
    return ((result.ranks <= k).sum(axis=1) == result.num_relevant).astype(np.float64)


def _last_rank(result: RelevantRanks) -> Floats:
    ranks = np.where(result.grades > 0, np.minimum(result.ranks, result.pool_size), -np.inf)
    return ranks.max(axis=1)


QUALITY: dict[str, Callable[[RelevantRanks], Floats]] = {
    "map": average_precision,
    "recall_at_1": lambda result: recall_at(result, 1),
    "recall_at_10": lambda result: recall_at(result, 10),
    "recall_at_100": lambda result: recall_at(result, 100),
    "precision_at_1": lambda result: precision_at(result, 1),
    "precision_at_10": lambda result: precision_at(result, 10),
    "ndcg_at_10": lambda result: ndcg_at(result, 10),
    "mrr_at_10": lambda result: reciprocal_rank_at(result, 10),
    "mrr_at_100": lambda result: reciprocal_rank_at(result, 100),
}
# Of questions that any of many passages may answer, where no list of all of them is known.
SUCCESS: dict[str, Callable[[RelevantRanks], Floats]] = {
    "success_at_20": lambda result: success_at(result, 20),
    "success_at_100": lambda result: success_at(result, 100),
}
BIAS: dict[str, Callable[[RelevantRanks], Floats]] = {
    "rank_distance": rank_distance,
    "normalised_max_rank": normalised_max_rank,
    "complete_at_10": lambda result: complete_at(result, 10),
    "complete_at_100": lambda result: complete_at(result, 100),
}


def metrics_of(setting: str) -> dict[str, Callable[[RelevantRanks], Floats]]:
    """The metrics of a setting: those of language bias need a pool that holds several languages."""
    return QUALITY | BIAS if setting == "multilingual" else QUALITY
