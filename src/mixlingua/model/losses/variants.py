"""The same query in two languages must rank the batch alike."""

import torch
from torch import Tensor
from torch.nn import functional

from mixlingua.data.views import VARIANT_QUERIES
from mixlingua.errors import ConfigError
from mixlingua.model.losses.loss import StepLoss
from mixlingua.model.losses.masks import share_a_key
from mixlingua.model.losses.step import StepVectors


class LanguageVariants(StepLoss):
    """Symmetric KL divergence between what a query finds in the batch and what it finds in another language.

    Both distributions are over the passages of all processes, but those of rows that share a key with the query; both
    sides have a gradient. Rows with one language only do not count.
    Source: the divergence between language variants of a query by which multilingual rankings are made alike (LaKDA).
    """

    def __init__(self, weight: float, temperature: float) -> None:
        super().__init__(weight)
        if not temperature > 0:
            raise ConfigError(f"loss.variants.temperature={temperature}: it must be above 0.")
        self.temperature = temperature

    @property
    def views(self) -> dict[str, int]:
        return {VARIANT_QUERIES: 1}

    def forward(self, step: StepVectors) -> Tensor:
        """The mean over this process's rows of (KL(p, q) + KL(q, p)) / 2, in nats."""
        ignored = share_a_key(step.query_keys, step.all_passage_keys).scatter(1, step.positives[:, None], False)
        log_p = self._log_softmax(step.queries, step, ignored)
        log_q = self._log_softmax(step.targets[VARIANT_QUERIES].vectors, step, ignored)
        terms = (log_p.exp() - log_q.exp()) * (log_p - log_q) / 2
        return step.mean_over(VARIANT_QUERIES, torch.where(ignored, 0.0, terms).sum(1))

    def _log_softmax(self, queries: Tensor, step: StepVectors, ignored: Tensor) -> Tensor:
        scores = queries @ step.all_passages.T / self.temperature
        # A finite floor: infinities less infinities have no gradient.
        return functional.log_softmax(scores.masked_fill(ignored, torch.finfo(scores.dtype).min / 2), 1)
