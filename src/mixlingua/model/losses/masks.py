"""Which passages of a batch are no negatives of a query."""

import math

import torch
from torch import Tensor

from mixlingua.model.losses.step import StepVectors


def share_a_key(left: Tensor, right: Tensor) -> Tensor:
    """left: (N, K), right: (M, L) int64. Returns (N, M) bool: whether row i of left and row j of right share a value.

    Rows of one text (the same passage, the same sentence) share a key, so neither is a negative of the other.
    """
    shared = torch.zeros(len(left), len(right), dtype=torch.bool, device=left.device)
    for left_key in left.T:
        for right_key in right.T:
            shared |= left_key[:, None] == right_key[None, :]
    return shared


def above_positive(scores: Tensor, positives: Tensor, margin: float) -> Tensor:
    """scores: (Q, P) cosines; positives: (Q,). Returns (Q, P) bool: passages more than `margin` above the positive.

    Source: the false-negative mask of Qwen3-Embedding (Zhang et al. 2025, arXiv 2506.05176, section 3.1, margin 0.1).
    """
    own = scores.gather(1, positives[:, None])
    return scores > own + margin


def above_positive_for_teacher(step: StepVectors, queries: str, passages: str, margin: float) -> Tensor:
    """(Q, W P) bool: passages that the teacher puts more than `margin` above a query's own.

    queries, passages: the views with the teacher's vectors. Rows without one, and hard negatives, are never masked.
    Source: GISTEmbed (Solatorio 2024, arXiv 2402.16829, section 3.1), with a teacher that reads the rows' pivot side.
    """
    asked, every = step.targets[queries], step.all_targets[passages]
    scores = (asked.vectors @ every.vectors.T).masked_fill(~every.present[None, :], -math.inf)
    own = scores.gather(1, step.query_rows[:, None])
    masked = (scores > own + margin) & asked.present[:, None] & (own > -math.inf)
    columns = positive_columns(step)
    everywhere = masked.new_zeros(len(step.queries), len(step.all_passages))
    everywhere[:, columns] = masked
    return everywhere


def positive_columns(step: StepVectors) -> Tensor:
    """(W Q,) int64: where the positives of all queries stand in all_passages, in the order of all_queries."""
    num_queries, num_passages = len(step.queries), len(step.passages)
    rows = torch.arange(len(step.all_queries), device=step.queries.device)
    return rows // num_queries * num_passages + rows % num_queries
