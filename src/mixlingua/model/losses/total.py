"""The loss of a step: a weighted sum of named losses."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mixlingua.errors import ConfigError
from mixlingua.model.losses.loss import StepLoss
from mixlingua.model.losses.step import StepVectors


class TotalLoss(nn.Module):
    """The sum of losses, each times its weight.

    Raises ConfigError where there is none, or a weight is no number of 0 or more.
    """

    def __init__(self, losses: Mapping[str, StepLoss]) -> None:
        super().__init__()
        if not losses:
            raise ConfigError(
                "loss=[]: nothing to train by; choose one or several, such as loss=[infonce,distillation]."
            )
        for name, loss in losses.items():
            if not 0 <= loss.weight < math.inf:
                raise ConfigError(f"loss.{name}.weight={loss.weight}: a number of 0 or more.")
        self.losses = nn.ModuleDict(losses)
        self._typed = dict(losses)  # the same: torch's container does not know what it holds

    @property
    def views(self) -> dict[str, int]:
        """The further texts that any of the losses needs, and how many of each row."""
        return {view: count for loss in self._typed.values() for view, count in loss.views.items()}

    @property
    def tokens(self) -> frozenset[str]:
        """The texts of which any of the losses needs a vector for each token."""
        return frozenset(name for loss in self._typed.values() for name in loss.tokens)

    @property
    def of_texts(self) -> bool:
        """Whether the vectors of whole texts have a gradient from any of the losses."""
        return any(loss.of_texts for loss in self._typed.values())

    @property
    def temperature(self) -> float | None:
        """The temperature in force of the first loss that learns one or was given one."""
        found = (getattr(loss, "temperature", None) for loss in self._typed.values())
        return next((float(temperature) for temperature in found if isinstance(temperature, float)), None)

    def forward(self, step: StepVectors) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum, a scalar, and each loss before its weight."""
        parts: dict[str, Tensor] = {name: loss(step) for name, loss in self._typed.items()}
        weighted = [self._typed[name].weight * part for name, part in parts.items()]
        return torch.stack(weighted).sum(), parts
