"""Which weights a run ends with: the last ones, their moving average, or a mixture with those it began with."""

import math

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch import nn

from mixlingua.errors import ConfigError


def moving_average(decay: float) -> EMAWeightAveraging:
    """The exponential moving average of the weights over optimiser steps: validation and the run's end use it.

    It begins as the weights after the first step. Raises ConfigError unless 0 < decay < 1.
    Source: Polyak and Juditsky 1992 (SIAM J. Control Optim. 30), with exponential weights.
    """
    if not 0 < decay < 1:
        raise ConfigError(f"averaging.ema_decay={decay}: between 0 and 1, such as 0.99, or null for none.")
    return EMAWeightAveraging(decay=decay, use_buffers=False)


class StartShare(Callback):
    """Ends training with share * the weights it began with + (1 - share) * the trained ones.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (arXiv 2109.01903), eq. 1.
    """

    def __init__(self, module: nn.Module, share: float) -> None:
        """module: as it is before training and before any checkpoint is loaded; its trainable weights are copied.

        Raises ConfigError unless 0 <= share <= 1.
        """
        if not (math.isfinite(share) and 0 <= share <= 1):
            raise ConfigError(
                f"averaging.start_share={share}: from 0 (the trained weights) to 1 (those before training)."
            )
        self.share = share
        self._start = {name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mix, on every rank alike."""
        with torch.no_grad():
            for name, parameter in pl_module.named_parameters():
                if name in self._start:
                    parameter.lerp_(self._start[name].to(parameter.device), self.share)
