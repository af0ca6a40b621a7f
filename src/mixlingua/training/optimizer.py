"""The optimiser and the learning-rate schedule."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from mixlingua.errors import ConfigError, check_choice
from mixlingua.model.weights import depth_of, num_layers

SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class AdamW:
    """AdamW with linear warm-up, then a constant, linearly falling or cosine learning rate.

    lr: the highest learning rate
    weight_decay: of all but biases and normalisation weights (parameters of one dimension or none)
    warmup_steps: optimiser steps over which the rate rises to lr
    schedule: what the rate does then: constant, linear or cosine
    layer_decay: a layer's rate as a share of that of the layer above it, so that low layers change less; 1: all alike

    Source: Loshchilov and Hutter 2019 (arXiv 1711.05101); lr 3e-5 and weight decay 1e-2 in arXiv 2408.10536, section 3;
    layer_decay as the discriminative rates of Howard and Ruder 2018 (arXiv 1801.06146), section 3.2.
    """

    lr: float = 5e-5
    weight_decay: float = 0.01
    warmup_steps: int = 0
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.lr < math.inf:
            raise ConfigError(f"optimizer.lr={self.lr}: it must be above 0, and finite.")
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError(f"optimizer.weight_decay={self.weight_decay}: it must be 0 or above, and finite.")
        if self.warmup_steps < 0:
            raise ConfigError(f"optimizer.warmup_steps={self.warmup_steps}: it must not be negative.")
        if not 0 < self.layer_decay <= 1:
            raise ConfigError(f"optimizer.layer_decay={self.layer_decay}: above 0, and 1 for the same rate everywhere.")
        check_choice("optimizer.schedule", self.schedule, SCHEDULES)

    def configure(self, module: nn.Module, max_steps: int, *, fused: bool = False) -> OptimizerLRScheduler:
        """Lightning's optimiser dictionary for the trainable parameters of module, over max_steps optimiser steps.

        fused: update all weights in one pass, which CPU and CUDA can. Raises ConfigError where every one is frozen.
        """
        optimizer = torch.optim.AdamW(self._groups(module), lr=self.lr, fused=fused)
        scheduler = LambdaLR(optimizer, lambda step: self.factor(step, max_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _groups(self, module: nn.Module) -> list[dict[str, Any]]:
        """Parameters by rate and weight decay, the highest rate first, which is lr wherever the topmost ones stand."""
        trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        if not trained:
            raise ConfigError(
                "model.freeze_layers: every weight of the model is frozen, so there is nothing to train. Freeze fewer "
                "layers, or train an adapter (adapter=lora) beside layers that are not frozen."
            )
        depths = {name: depth_of(name, num_layers(module)) for name in trained}
        top = max(depths.values(), default=0)
        groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
        for name, parameter in trained.items():
            below = 0 if self.layer_decay == 1 else top - depths[name]
            groups.setdefault((below, parameter.ndim <= 1), []).append(parameter)
        return [
            {
                "params": groups[key],
                "weight_decay": 0.0 if key[1] else self.weight_decay,
                "lr": self.lr * self.layer_decay ** key[0],
            }
            for key in sorted(groups)
        ]

    def factor(self, step: int, max_steps: int) -> float:
        """The share of lr at a step: rises over warmup_steps, then follows the schedule down to 0 at max_steps."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        left = (max_steps - step) / max(1, max_steps - self.warmup_steps)
        if self.schedule == "constant":
            return 1.0
        return max(0.0, left) if self.schedule == "linear" else (1 - math.cos(math.pi * max(0.0, left))) / 2
