"""Per-query metric values as a torchmetrics Metric, so that ranks can each rank a part of the queries."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from mixlingua.evaluation.metrics import Floats
from mixlingua.model import distributed

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
