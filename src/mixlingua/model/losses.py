"""Contrastive losses: tensors in, a scalar out. They know no rank and no trainer; the gather happens one line above."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixlingua.errors import ConfigError


def info_nce(queries: Tensor, passages: Tensor, positives: Tensor, ignored: Tensor, scale: Tensor | float) -> Tensor:
    """Mean cross-entropy of each query's positive passage against all passages, in nats.

    queries: (Q, D), passages: (P, D), unit rows; positives: (Q,) int64, the column of each query's passage;
    ignored: (Q, P) bool, passages that are no negatives of a query (the positive is never ignored);
    scale: one over the temperature.
    Source: van den Oord et al. 2018 (arXiv 1807.03748), eq. 4, with cosine similarity over a temperature.
    """
    scores = queries @ passages.T * scale
    ignored = ignored.scatter(1, positives[:, None], False)
    return functional.cross_entropy(scores.masked_fill(ignored, -math.inf), positives)


def share_a_key(left: Tensor, right: Tensor) -> Tensor:
    """left: (N, K), right: (M, L) int64. Returns (N, M) bool: whether row i of left and row j of right share a value.

    Rows of one text (the same passage, the same sentence) share a key, so neither is a negative of the other.
    """
    shared = torch.zeros(len(left), len(right), dtype=torch.bool, device=left.device)
    for left_key in left.T:
        for right_key in right.T:
            shared |= left_key[:, None] == right_key[None, :]
    return shared


class InfoNCE(nn.Module):
    """In-batch InfoNCE with a fixed or learned temperature, optionally in both directions.

    Source: Elmahdy, Lin and Ahmad 2024 (arXiv 2408.10536), eq. 1, with every other passage of the batch and every hard
    negative as an irrelevant document; learned temperature as in CLIP (Radford et al. 2021, arXiv 2103.00020).
    """

    MAX_SCALE = 100.0  # a learned temperature stays at 0.01 or above, as in CLIP

    def __init__(self, temperature: float, learn_temperature: bool, symmetric: bool) -> None:
        super().__init__()
        if not temperature > 0:
            raise ConfigError(
                f"model.temperature={temperature}: it must be above 0; values from 0.01 to 0.1 are usual."
            )
        self.symmetric = symmetric
        log_scale = torch.tensor(-math.log(temperature))
        self.log_scale = nn.Parameter(log_scale, requires_grad=learn_temperature)

    @property
    def temperature(self) -> float:
        """The temperature in force."""
        return 1 / self._scale().item()

    def _scale(self) -> Tensor:
        # A fixed temperature is taken as configured; only a learned one is bounded.
        return self.log_scale.exp().clamp(max=self.MAX_SCALE) if self.log_scale.requires_grad else self.log_scale.exp()

    def forward(
        self,
        queries: Tensor,
        all_queries: Tensor,
        all_passages: Tensor,
        query_rows: Tensor,
        positives: Tensor,
        query_keys: Tensor,
        all_query_keys: Tensor,
        all_passage_keys: Tensor,
    ) -> Tensor:
        """The mean loss over this process's queries.

        queries: (Q, D) of this process; all_queries: (W Q, D) and all_passages: (W P, D) of all W processes, unit rows;
        query_rows: (Q,) int64, where this process's queries stand in all_queries; positives: (Q,) int64, where their
        passages stand in all_passages; keys: (., K) int64, see share_a_key.
        """
        scale = self._scale()
        loss = info_nce(queries, all_passages, positives, share_a_key(query_keys, all_passage_keys), scale)
        if not self.symmetric:
            return loss
        passages = all_passages[positives]
        reverse = info_nce(passages, all_queries, query_rows, share_a_key(query_keys, all_query_keys), scale)
        return (loss + reverse) / 2
