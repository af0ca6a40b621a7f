"""The metrics: ranks of the relevant passages of each query, what they are worth, and values gathered from all ranks.

"Rank" is a position in a ranking, and in `PerQueryMetric` a process.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from mixlingua import distributed

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RelevantRanks:
    """All that the metrics need of a ranking of `pool_size` passages, for Q queries with up to R relevant ones.

    ranks: (Q, R) float64, from 1, ascending in each row, `inf` where a passage was not returned and in unused places.
    grades: (Q, R) float64, the grade of the passage with that rank, 0 in unused places. same_language: (Q, R) bool,
    whether that passage is in the query's language; none where no metric asks.
    """

    ranks: Floats
    grades: Floats
    pool_size: int
    same_language: NDArray[np.bool_] | None = None

    @property
    def num_relevant(self) -> NDArray[np.int64]:
        """(Q,), at least 1."""
        return (self.grades > 0).sum(axis=1)


def relevant_ranks(
    scores: NDArray[np.float32],
    columns: NDArray[np.int64],
    grades: Floats,
    same_language: NDArray[np.bool_] | None = None,
) -> RelevantRanks:
    """Ranks of the relevant passages of a pool in memory, without sorting it.

    scores: (Q, P); -inf marks a passage that was not returned. columns: (Q, R), the relevant passages of each query,
    padded with -1. grades: (Q, R), above 0 where columns is, else 0. same_language: (Q, R), as grades.
    A NaN counts against the system.
    """
    relevant = np.take_along_axis(scores, np.maximum(columns, 0), axis=1)
    relevant = np.where(columns >= 0, relevant, -np.inf).astype(scores.dtype)
    below = np.stack([count_less(scores, thresholds) for thresholds in relevant.T], axis=1)
    return ranks_from_counts(relevant, below, grades, scores.shape[1], same_language)


def count_less(scores: NDArray[np.float32], thresholds: NDArray[np.float32]) -> NDArray[np.int64]:
    """(Q,) how many of the (Q, P) scores of each row are below its threshold."""
    # Counted row by row: four times as fast as a sum over an axis.
    return np.array([np.count_nonzero(row) for row in scores < thresholds[:, None]], np.int64)


def ranks_from_counts(
    scores: NDArray[np.floating],
    below: NDArray[np.int64],
    grades: Floats,
    pool_size: int,
    same_language: NDArray[np.bool_] | None = None,
) -> RelevantRanks:
    """Ranks of the relevant passages from counts, which add up over the shards of a pool; every engine ranks by this.

    scores: (Q, R) of the relevant passages, -inf where one was not returned and in unused places. below: (Q, R), how
    many passages of the pool score less. grades, same_language: (Q, R), 0 and False in unused places.
    rank(d) = 1 + passages that score above d + irrelevant ones that score the same. Relevant passages with one score
    follow one another: the less relevant first, of one grade those in the query's language first.
    """
    other = np.zeros(scores.shape, bool) if same_language is None else ~same_language
    order = np.lexsort((other, grades, -scores), axis=1)
    scores, grades = np.take_along_axis(scores, order, axis=1), np.take_along_axis(grades, order, axis=1)
    below = np.take_along_axis(below, order, axis=1)
    later_ties = np.zeros(below.shape)
    for column in reversed(range(below.shape[1] - 1)):
        tied = scores[:, column] == scores[:, column + 1]
        later_ties[:, column] = np.where(tied, later_ties[:, column + 1] + 1, 0)
    returned = (grades > 0) & (scores > -np.inf)
    ranks = np.where(returned, pool_size - below - later_ties, np.inf)
    same = None if same_language is None else np.take_along_axis(same_language, order, axis=1)
    return RelevantRanks(ranks, np.asarray(grades, np.float64), pool_size, same)


def average_precision(ranking: RelevantRanks) -> Floats:
    """Mean over all R relevant passages of the precision at their rank."""
    relevant_so_far = np.arange(1, ranking.ranks.shape[1] + 1)
    return (relevant_so_far / ranking.ranks).sum(axis=1) / ranking.num_relevant


def recall_at(ranking: RelevantRanks, k: int) -> Floats:
    """Share of the R relevant passages among the first k."""
    return (ranking.ranks <= k).sum(axis=1) / ranking.num_relevant


def precision_at(ranking: RelevantRanks, k: int) -> Floats:
    """Share of the first k that are relevant; divided by k, also where the pool is smaller."""
    return (ranking.ranks <= k).sum(axis=1) / k


def reciprocal_rank_at(ranking: RelevantRanks, k: int) -> Floats:
    """One over the rank of the first relevant passage, 0 where that lies behind k."""
    first = ranking.ranks.min(axis=1)
    return np.where(first <= k, 1 / first, 0.0)


def success_at(ranking: RelevantRanks, k: int) -> Floats:
    """1 where a relevant passage is among the first k, else 0: top-k accuracy in Karpukhin et al. 2020, "recall@k" in
    much work on question answering since."""
    return np.asarray((ranking.ranks <= k).any(axis=1), np.float64)


def ndcg_at(ranking: RelevantRanks, k: int) -> Floats:
    """Discounted gain of the first k over that of the best order; gain = grade, discount = 1 / log2(rank + 1)."""
    gained = np.where(ranking.ranks <= k, ranking.grades / np.log2(ranking.ranks + 1), 0.0).sum(axis=1)
    best = -np.sort(-ranking.grades, axis=1)[:, :k]
    return gained / (best / np.log2(np.arange(2, best.shape[1] + 2))).sum(axis=1)


def rank_distance(ranking: RelevantRanks) -> Floats:
    """Rank of the last minus rank of the first relevant passage; one not returned counts as last of the pool."""
    return _last_rank(ranking) - np.minimum(ranking.ranks.min(axis=1), ranking.pool_size)


def normalised_max_rank(ranking: RelevantRanks) -> Floats:
    """Rank of the last relevant passage on a scale from 0 (all R come first) to 100 (it is the last of the pool):
    its excess over R as a percentage of the largest possible excess, pool - R."""
    worst = ranking.pool_size - ranking.num_relevant
    return 100 * (_last_rank(ranking) - ranking.num_relevant) / np.maximum(worst, 1)


def complete_at(ranking: RelevantRanks, k: int) -> Floats:
    """1 where every relevant passage is among the first k, else 0."""
    return ((ranking.ranks <= k).sum(axis=1) == ranking.num_relevant).astype(np.float64)


def _last_rank(ranking: RelevantRanks) -> Floats:
    ranks = np.where(ranking.grades > 0, np.minimum(ranking.ranks, ranking.pool_size), -np.inf)
    return ranks.max(axis=1)


QUALITY: dict[str, Callable[[RelevantRanks], Floats]] = {
    "map": average_precision,
    "recall_at_1": lambda ranking: recall_at(ranking, 1),
    "recall_at_10": lambda ranking: recall_at(ranking, 10),
    "recall_at_100": lambda ranking: recall_at(ranking, 100),
    "precision_at_1": lambda ranking: precision_at(ranking, 1),
    "precision_at_10": lambda ranking: precision_at(ranking, 10),
    "ndcg_at_10": lambda ranking: ndcg_at(ranking, 10),
    "mrr_at_10": lambda ranking: reciprocal_rank_at(ranking, 10),
    "mrr_at_100": lambda ranking: reciprocal_rank_at(ranking, 100),
}
# Of questions that any of many passages may answer, where no list of all of them is known.
SUCCESS: dict[str, Callable[[RelevantRanks], Floats]] = {
    "success_at_20": lambda ranking: success_at(ranking, 20),
    "success_at_100": lambda ranking: success_at(ranking, 100),
}
BIAS: dict[str, Callable[[RelevantRanks], Floats]] = {
    "rank_distance": rank_distance,
    "normalised_max_rank": normalised_max_rank,
    "complete_at_10": lambda ranking: complete_at(ranking, 10),
    "complete_at_100": lambda ranking: complete_at(ranking, 100),
}


def metrics_of(setting: str) -> dict[str, Callable[[RelevantRanks], Floats]]:
    """The metrics of a setting: those of language bias need a pool that holds several languages."""
    return QUALITY | BIAS if setting == "multilingual" else QUALITY


Metrics = Mapping[str, Callable[[Any], Floats]]  # by name: what a ranking gives each of its Q queries, (Q,)


class PerQueryMetric(Metric):
    """Several metrics of every query of every group (a language, or a pair of languages), gathered from all ranks.

    Each value is kept with its group and query, so that a query that two ranks have seen counts once.
    """

    full_state_update = False
    rows: list[Tensor]  # (n, 2 + M) float64: group, query, values

    def __init__(self, metrics: Metrics) -> None:
        """metrics: M functions of one kind of ranking."""
        super().__init__(dist_sync_fn=_gathered, distributed_available_fn=lambda: distributed.world_size() > 1)
        self.metrics = dict(metrics)
        self.add_state("rows", [], dist_reduce_fx="cat")

    @property
    def update_called(self) -> bool:
        """Whether `compute` has something to do: it has, since other ranks may have queries where this one has none."""
        return True

    def update(self, ranking: object, group: int, queries: Sequence[int] | NDArray[np.int64]) -> None:
        """Add the queries of one group: `queries` are their positions in it, in the order of the ranking."""
        values = [metric(ranking) for metric in self.metrics.values()]
        self.rows.append(torch.from_numpy(np.stack([np.full(len(queries), float(group)), queries, *values], axis=1)))

    def compute(self) -> tuple[NDArray[np.int64], Floats]:
        """All ranks' (n, 2) groups and queries, sorted, and their (n, M) values; every rank must call it."""
        state = dim_zero_cat(self.rows) if len(self.rows) else torch.empty(0)
        rows = state.double().numpy().reshape(-1, 2 + len(self.metrics))
        keys = rows[:, :2].astype(np.int64)
        _, first = np.unique(keys[:, 0] * (keys[:, 1].max(initial=0) + 1) + keys[:, 1], return_index=True)
        return keys[first], rows[first, 2:]


def _gathered(rows: Tensor, group: object = None) -> list[Tensor]:
    """Torchmetrics' gather, for any number of rows on any backend."""
    return [torch.from_numpy(of_rank) for of_rank in distributed.all_gather_objects(rows.numpy())]
