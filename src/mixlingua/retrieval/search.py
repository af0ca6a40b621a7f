"""Exact similarity of queries and passages, block by block."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

MAX_BLOCK_SCORES = 2**23  # 32 MiB of float32


class ExactScorer:
    """Inner products of queries with every passage, in which equal passages score exactly alike.

    A matrix product may round the same passage differently in different columns; so each distinct passage is scored
    once and its column copied, and a repeated text ties with itself.
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
