"""Per-query metric values as a torchmetrics Metric, so that ranks can each rank a part of the queries."""

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


Metrics = Mapping[str, Callable[[Any], Floats]]  # by name: what a ranking gives each of its Q queries, (Q,)


class PerQueryMetric(Metric):
    """Several metrics of every query of every group (a language, or a pair of languages).

    Values are kept with their group and query, so that a query seen twice, as padded distributed samplers do, counts
    once. `compute` is the macro-average: the mean over groups of the mean over the group's queries; where a metric is
    nan, it has nothing to measure, and the query or group does not count.
    """

    full_state_update = False
    values: list[Tensor]
    keys: list[Tensor]

    def __init__(self, metrics: Metrics, **kwargs: Any) -> None:
        """metrics: M functions of one kind of ranking; kwargs: torchmetrics' own."""
        super().__init__(
            dist_sync_fn=_gather_tensors, distributed_available_fn=lambda: distributed.world_size() > 1, **kwargs
        )
        self.metrics = dict(metrics)
        self.add_state("values", [], dist_reduce_fx="cat")
        self.add_state("keys", [], dist_reduce_fx="cat")
        self._add_nothing()

    def reset(self) -> None:
        """Forget all queries."""
        super().reset()
        self._add_nothing()

    def _add_nothing(self) -> None:
        # A rank without queries still takes part in the gather, with parts of the right shape and type.
        self.values.append(torch.zeros(0, len(self.metrics), dtype=torch.float64))
        self.keys.append(torch.zeros(0, 2, dtype=torch.int64))

    def update(self, result: object, group: int, queries: Sequence[int] | NDArray[np.int64]) -> None:
        """Add the queries of one group: `queries` are their positions in it, in the order of the ranking `result`."""
        values = np.stack([metric(result) for metric in self.metrics.values()], axis=1)
        keys = np.stack([np.full(len(queries), group), np.asarray(queries)], axis=1)
        self.values.append(torch.from_numpy(values))
        self.keys.append(torch.from_numpy(keys))

    def compute(self) -> Tensor:
        """(M,) macro-averages in the order of the metrics."""
        keys, values = self._distinct()
        groups = [_mean(values[keys[:, 0] == group]) for group in np.unique(keys[:, 0])]
        return torch.from_numpy(_mean(np.reshape(groups, (-1, len(self.metrics)))))

    def table(self) -> tuple[NDArray[np.int64], Floats]:
        """All ranks' (n, 2) groups and queries, sorted, and their (n, M) values; every rank must call it."""
        with self.sync_context(dist_sync_fn=_gather_tensors, should_sync=True):
            return self._distinct()

    def _distinct(self) -> tuple[NDArray[np.int64], Floats]:
        keys, values = dim_zero_cat(self.keys), dim_zero_cat(self.values)  # lists, or one tensor once synchronised
        distinct, first = np.unique(keys.numpy(), axis=0, return_index=True)
        return distinct, values.numpy()[first]


def _mean(values: Floats) -> Floats:
    """(n, M) -> (M,): of the values that are not nan; nan where all are."""
    defined = ~np.isnan(values)
    total, number = np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0)
    return np.divide(total, number, out=np.full(len(total), np.nan), where=number > 0)


def _gather_tensors(tensor: Tensor, group: object = None) -> list[Tensor]:
    """Torchmetrics' gather, for parts of any length on any backend."""
    return [torch.from_numpy(part) for part in distributed.all_gather_objects(tensor.numpy())]
