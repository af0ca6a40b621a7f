"""Distillation of scores: each query scores its own passages as a teacher did, whose scores come with the data."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from mixlingua.errors import ConfigError, check_choice
from mixlingua.losses.base import StepInputs, StepLoss, above_zero

Target = Literal["margin", "distribution"]
_TARGETS = ("margin", "distribution")


class ScoreDistillation(StepLoss):
    """Over a query's passage and its hard negatives, the model's scores follow the teacher's of the training data.

    weight: in the sum of losses
    target: margin (MarginMSE: the squared difference of the margins between passage and negative) or distribution (the
    KL divergence from the teacher's distribution over the passages to the model's)
    scale: of "margin", what the model's cosines are multiplied by to be compared with the teacher's scores
    temperature: of "distribution", what the model's cosines are divided by
    teacher_temperature: of "distribution", what the teacher's scores are divided by

    Rows without scores do not count. data.num_negatives must be 1 or more.
    Source: Hofstätter et al. 2020 (arXiv 2010.02666), eq. 7; Ren et al. 2021 (arXiv 2110.07367), eq. 4.
    """

    def __init__(
        self,
        *,
        weight: float = 1.0,
        target: Target = "margin",
        scale: float = 1.0,
        temperature: float = 0.05,
        teacher_temperature: float = 1.0,
    ) -> None:
        super().__init__(weight)
        check_choice("loss.score_distillation.target", target, _TARGETS)
        self.target = target
        self.scale = above_zero("loss.score_distillation.scale", scale)
        self.temperature = above_zero("loss.score_distillation.temperature", temperature)
        self.teacher_temperature = above_zero("loss.score_distillation.teacher_temperature", teacher_temperature)

    def forward(self, step: StepInputs) -> Tensor:
        """The mean over the rows that have scores, a scalar. Raises ConfigError where the batch has none."""
        if step.scores is None or step.all_scores is None or step.scores.shape[1] < 2:
            raise ConfigError(
                "loss=score_distillation: the batch has no teacher's scores of passages and negatives. Use sources "
                "with scores alone (docs/data.md), and data.num_negatives=1 or more."
            )
        present = ~step.scores.isnan().any(1)
        taught = torch.where(present[:, None], step.scores, 0.0)
        scores = _own_scores(step.queries, step.passages)
        if self.target == "margin":
            margins, taught_margins = (rows[:, :1] - rows[:, 1:] for rows in (scores * self.scale, taught))
            losses = (margins - taught_margins).square().mean(1)
        else:
            expected = functional.log_softmax(taught / self.teacher_temperature, dim=1)
            predicted = functional.log_softmax(scores / self.temperature, dim=1)
            losses = (expected.exp() * (expected - predicted)).sum(1)
        return step.mean_of(losses, present, ~step.all_scores.isnan().any(1))


def _own_scores(queries: Tensor, passages: Tensor) -> Tensor:
    """(Q, 1 + N) cosines of each query with its passage and with its N hard negatives.

    queries: (Q, D); passages: (Q (1 + N), D), the positives, then N for the first query, N for the second, and so on.
    """
    num_queries, size = queries.shape
    own = torch.cat([passages[:num_queries, None], passages[num_queries:].reshape(num_queries, -1, size)], dim=1)
    return torch.einsum("qd,qnd->qn", queries, own)
