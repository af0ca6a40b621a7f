"""Exact search: inner products of queries with every passage, block by block, and what rankings need of them.

Two ways of scoring give exact ties between equal passages, which the pessimistic tie rule of the metrics relies on:

- Vectors on the grid (`on_grid`) are multiplied in float64 without any rounding. Scores are the same to the bit
  whatever is multiplied together, so a pool may lie in shards: `exact_scores` of the relevant passages are thresholds,
  and `count_below`, summed over the shards, gives their ranks. `top` finds the first passages.
- `ExactScorer` multiplies a pool in memory in float32 and scores each distinct passage once.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

_STEPS = 2.0**24
MAX_BLOCK = 1024, 4096  # queries and passages scored at once: 32 MiB of float64
MAX_BLOCK_SCORES = 2**23  # 32 MiB of float32


def on_grid(vectors: Tensor) -> Tensor:
    """float32 vectors with each component at the nearest multiple of 2^-24: nothing moves by more than 3e-8."""
    return torch.round(vectors * _STEPS) / _STEPS


def exact_scores(queries: Tensor, passages: Tensor) -> Tensor:
    """(Q,) float64 inner products of (Q, D) and (Q, D) float32 rows on the grid."""
    return (queries.double() * passages.double()).sum(dim=1)


def count_below(queries: Tensor, passages: Tensor, thresholds: Tensor) -> Tensor:
    """(Q, R) int64: how many of (P, D) passages score less than each of a query's (Q, R) float64 thresholds.

    queries: (Q, D); both float32 and on the grid. Counts over the shards of a pool add up. P minus the sum is the
    number of passages that score at least the threshold: the pessimistic rank of a passage with that score.
    """
    below = torch.zeros(thresholds.shape, dtype=torch.int64)
    most_queries, most_passages = MAX_BLOCK
    for block in passages.split(most_passages):
        block = block.double()
        for start in range(0, len(queries), most_queries):
            rows = slice(start, start + most_queries)
            scores = queries[rows].double() @ block.T
            if thresholds.shape[1] == 1:  # no gain from a sort, which costs a third of the product
                below[rows] += (scores < thresholds[rows]).sum(dim=1, keepdim=True)
                continue
            scores.numpy().sort(axis=1)  # in place, and several times faster than torch's
            below[rows] += torch.searchsorted(scores, thresholds[rows].contiguous())
    return below


def top(queries: Tensor, shards: Iterable[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Scores and positions of the passages that score highest for each query, highest first, on the CPU.

    queries: (Q, D), on the device that is to search; shards: (P, D) each, one pool together; float32 and on the grid.
    count: K, at least 1. Returns (Q, K) float64 scores and (Q, K) int64 positions in the pool, or as many columns as
    the pool has passages. Of equal scores the earlier passage is first.
    """
    most_queries, most_passages = MAX_BLOCK
    best_scores = torch.zeros(len(queries), 0, dtype=torch.float64, device=queries.device)
    best_positions = torch.zeros(len(queries), 0, dtype=torch.int64, device=queries.device)
    start = 0
    for shard in shards:
        for block in shard.split(most_passages):
            block = block.to(queries.device).double()
            block_best = [_top_of_block(rows.double() @ block.T, count) for rows in queries.split(most_queries)]
            scores, columns = (torch.cat(parts) for parts in zip(*block_best, strict=True))
            # Stable, with the earlier passages first: of equal scores, the earlier passage stays first.
            best_scores, order = torch.cat([best_scores, scores], dim=1).sort(dim=1, descending=True, stable=True)
            best_positions = torch.cat([best_positions, columns + start], dim=1).gather(1, order)[:, :count]
            best_scores = best_scores[:, :count]
            start += len(block)
    return best_scores.cpu(), best_positions.cpu()


def _top_of_block(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(Q, K) highest of (Q, P) scores, highest first, and their columns, ascending where scores are equal."""
    values, columns = scores.topk(min(count, scores.shape[1]), dim=1)
    last = values[:, -1:]
    cut = (scores == last).sum(dim=1) > (values == last).sum(dim=1)  # topk takes any of those that tie at its end
    if cut.any():
        sorted_scores, order = scores[cut].sort(dim=1, descending=True, stable=True)
        values[cut], columns[cut] = sorted_scores[:, : values.shape[1]], order[:, : values.shape[1]]
    columns, order = columns.sort(dim=1)
    values, ranks = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, ranks)


class ExactScorer:
    """Inner products of queries with every passage of a pool in memory, in which equal passages score exactly alike.

    A matrix product may round the same passage differently in different columns. So each distinct passage is scored
    once and its column copied: a repeated text ties with itself.
    """

    def __init__(self, passages: Tensor) -> None:
        """passages: (P, D) float32."""
        first_column: dict[bytes, int] = {}
        columns = [first_column.setdefault(row.tobytes(), len(first_column)) for row in passages.numpy()]
        first_rows = np.unique(columns, return_index=True)[1]
        self.distinct = passages[torch.from_numpy(first_rows)]
        self.columns = torch.tensor(columns) if len(first_column) < len(columns) else None
        self.num_passages = len(columns)

    def __call__(self, queries: Tensor) -> Tensor:
        """(Q, P) scores of (Q, D) queries."""
        scores = queries @ self.distinct.T
        return scores if self.columns is None else scores[:, self.columns]


def blocks(num_queries: int, num_passages: int) -> Iterator[slice]:
    """Consecutive slices of the queries, whose scores over the pool stay within 32 MiB (or one query)."""
    size = max(1, MAX_BLOCK_SCORES // max(1, num_passages))
    for start in range(0, num_queries, size):
        yield slice(start, min(start + size, num_queries))
