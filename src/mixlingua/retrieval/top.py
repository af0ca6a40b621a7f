"""The passages that score highest, exactly: the same whatever a pool is cut into, and on whatever device."""

from collections.abc import Iterable

import torch
from torch import Tensor

from mixlingua.retrieval.exact import MAX_BLOCK


def top(queries: Tensor, shards: Iterable[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Scores and positions of the passages that score highest for each query, highest first, on the CPU.

    queries: (Q, D), on the device that is to search; shards: (P, D) each, one pool together; float32 and on the grid
    (`exact.on_grid`), so that no score is rounded. count: K, at least 1. Returns (Q, K) float64 and (Q, K) int64
    positions in the pool, or as many columns as the pool has passages. Of equal scores the earlier passage is first.
    """
    most_queries, most_passages = MAX_BLOCK
    scores = torch.zeros(len(queries), 0, dtype=torch.float64, device=queries.device)
    positions = torch.zeros(len(queries), 0, dtype=torch.int64, device=queries.device)
    start = 0
    for shard in shards:
        for block in shard.split(most_passages):
            block = block.to(queries.device).double()
            found = [_first(rows.double() @ block.T, count) for rows in queries.split(most_queries)]
            values, places = (torch.cat(parts) for parts in zip(*found, strict=True))
            # Stable, and what was found before stands first: of equal scores, the earlier passage stays first.
            scores, order = torch.cat([scores, values], dim=1).sort(dim=1, descending=True, stable=True)
            positions = torch.cat([positions, places + start], dim=1).gather(1, order)[:, :count]
            scores = scores[:, :count]
            start += len(block)
    return scores.cpu(), positions.cpu()


def _first(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
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
