"""The optimiser and the learning-rate schedule."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from mixlingua.errors import ConfigError, suggest

SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class AdamW:
    """AdamW with linear warm-up, then a constant, linearly falling or cosine learning rate.

    weight_decay spares biases and normalisation weights (every parameter of one dimension or none).
    Source: Loshchilov and Hutter 2019 (arXiv 1711.05101); lr 3e-5 and weight decay 1e-2 in arXiv 2408.10536, section 3.
    """

    lr: float
    weight_decay: float
    warmup_steps: int
    schedule: Literal["constant", "linear", "cosine"]

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ConfigError(f"optimizer.lr={self.lr}: it must be above 0.")
        if self.weight_decay < 0:
            raise ConfigError(f"optimizer.weight_decay={self.weight_decay}: it must not be negative.")
        if self.warmup_steps < 0:
            raise ConfigError(f"optimizer.warmup_steps={self.warmup_steps}: it must not be negative.")
        if self.schedule not in SCHEDULES:
            hint = suggest(self.schedule, SCHEDULES)
            raise ConfigError(f"optimizer.schedule={self.schedule}: choose one of {', '.join(SCHEDULES)}.{hint}")

    def configure(self, module: nn.Module, max_steps: int) -> OptimizerLRScheduler:
        """Lightning's optimiser dictionary for the trainable parameters of module, over max_steps optimiser steps."""
        trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in trainable if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=self.lr)
        scheduler = LambdaLR(optimizer, lambda step: self.factor(step, max_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def factor(self, step: int, max_steps: int) -> float:
        """The share of lr at a step: rises over warmup_steps, then follows the schedule down to 0 at max_steps."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        left = (max_steps - step) / max(1, max_steps - self.warmup_steps)
        if self.schedule == "constant":
            return 1.0
        return max(0.0, left) if self.schedule == "linear" else (1 - math.cos(math.pi * max(0.0, left))) / 2
