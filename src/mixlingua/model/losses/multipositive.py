"""Every parallel passage of a query is right: the pool of a batch in several languages at once."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from mixlingua.data.views import VARIANT_PASSAGES
from mixlingua.errors import ConfigError
from mixlingua.model.losses.loss import StepLoss
from mixlingua.model.losses.masks import share_a_key
from mixlingua.model.losses.step import StepVectors


class MultiPositive(StepLoss):
    """InfoNCE with each query's passage in several languages as positives, against all passages in all of them.

    A query's pool is the batch's passages and `variants` further languages of each; a positive is ranked against what
    is not its own row's, and a query's loss is the mean over its positives. With variants as many as there are other
    training languages, these are all parallel passages.
    Source: the supervised contrastive loss of Khosla et al. 2020 (arXiv 2004.11362), eq. 2, in which the other
    positives are left out of the denominator.
    """

    def __init__(self, weight: float, temperature: float, variants: int) -> None:
        super().__init__(weight)
        if not temperature > 0:
            raise ConfigError(f"loss.multipositive.temperature={temperature}: it must be above 0.")
        if variants < 1:
            raise ConfigError(f"loss.multipositive.variants={variants}: 1 further language of a passage or more.")
        self.temperature = temperature
        self.variants = variants

    @property
    def views(self) -> dict[str, int]:
        return {VARIANT_PASSAGES: self.variants}

    def forward(self, step: StepVectors) -> Tensor:
        """The mean over this process's queries, in nats."""
        further = step.all_targets[VARIANT_PASSAGES]
        columns = torch.cat([step.all_passages, further.vectors])
        keys = torch.cat([step.all_passage_keys, step.all_query_keys.repeat_interleave(self.variants, 0)])
        absent = torch.cat([further.present.new_zeros(len(step.all_passages)), ~further.present])
        scores = step.queries @ columns.T / self.temperature
        ignored = share_a_key(step.query_keys, keys) | absent[None, :]
        negatives = scores.masked_fill(ignored, -math.inf).logsumexp(1, keepdim=True)
        first = len(step.all_passages) + step.query_rows[:, None] * self.variants
        own = torch.cat([step.positives[:, None], first + torch.arange(self.variants, device=first.device)], 1)
        positive = scores.gather(1, own)
        losses = functional.softplus(negatives - positive)  # log(1 + sum of exp(negatives) / exp(positive))
        counts = ~absent[own]
        return (torch.where(counts, losses, 0.0).sum(1) / counts.sum(1)).mean()
