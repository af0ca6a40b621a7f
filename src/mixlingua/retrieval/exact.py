"""Inner products that no rounding touches, and counts of them: the same whatever a pool is cut into.

A matrix product rounds one passage differently in products of different shapes, which moves it past its equals. Here
no operation rounds. Components are multiples of 2^-24 (`on_grid`), so that products are multiples of 2^-48, and so is
every partial sum; a sum is at most |q||p|, and float64 holds all multiples of 2^-48 below 32. So for vectors whose
lengths multiply to less than 32 (unit vectors: 1) the order of summation, and with it the size of shards, blocks and
thread pools, changes no bit, and equal passages tie exactly.
"""

import torch
from torch import Tensor

_STEPS = 2.0**24
MAX_BLOCK = 1024, 4096  # queries and passages scored at once: 32 MiB of float64


def on_grid(vectors: Tensor) -> Tensor:
    """float32 vectors with each component at the nearest multiple of 2^-24: nothing moves by more than 3e-8."""
    return torch.round(vectors * _STEPS) / _STEPS


def exact_scores(queries: Tensor, passages: Tensor) -> Tensor:
    """(Q,) float64 inner products of (Q, D) and (Q, D) float32 rows on the grid."""
    return (queries.double() * passages.double()).sum(dim=1)


def count_below(queries: Tensor, passages: Tensor, thresholds: Tensor) -> Tensor:
    """(Q, R) int64: how many of (P, D) passages score less than each of a query's (Q, R) float64 thresholds.

    queries: (Q, D). Both float32 and on the grid.
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
