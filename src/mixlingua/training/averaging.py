"""Averages of weights: over the steps of a run, with the weights before training, and with those of other models."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging

from mixlingua.errors import ConfigError
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.pretrained import PretrainedEncoder


class MovingAverage(EMAWeightAveraging):
    """The exponential moving average of the weights over optimiser steps: validation and the run's end use it.

    It begins as the weights after the first step. Raises ConfigError unless 0 < decay < 1.
    Source: Polyak and Juditsky 1992 (SIAM J. Control Optim. 30), with exponential weights.
    """

    def __init__(self, decay: float) -> None:
        if not 0 < decay < 1:
            raise ConfigError(f"averaging.ema_decay={decay}: between 0 and 1, such as 0.99, or null for none.")
        super().__init__(decay=decay, use_buffers=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nothing yet: the last weights are saved before `use` replaces them (see EndOfTraining)."""

    @contextmanager
    def in_place(self, trainer: Trainer, pl_module: LightningModule) -> Iterator[None]:
        """The average is in the place of the weights, as while validating."""
        self.on_validation_epoch_start(trainer, pl_module)
        try:
            yield
        finally:
            self.on_validation_epoch_end(trainer, pl_module)

    def use(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average in the place of the last weights."""
        super().on_train_end(trainer, pl_module)


class StartShare:
    """Mixes the weights that training began with into the trained ones.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (arXiv 2109.01903), eq. 1.
    """

    def __init__(self, encoder: BiEncoder, share: float) -> None:
        """encoder: as it is before training, without adapters; its trainable weights are copied. share: of these.

        Raises ConfigError unless 0 <= share <= 1.
        """
        if not (math.isfinite(share) and 0 <= share <= 1):
            raise ConfigError(
                f"averaging.start_share={share}: from 0 (the trained weights) to 1 (those before training)."
            )
        self.share = share
        self._start = {name: p.detach().clone() for name, p in encoder.named_parameters() if p.requires_grad}

    def mix_into(self, encoder: BiEncoder) -> None:
        """Replace the weights, in place, by share * start + (1 - share) * trained."""
        with torch.no_grad():
            for name, parameter in encoder.named_parameters():
                if name in self._start:
                    parameter.lerp_(self._start[name].to(parameter.device), self.share)


class ModelAverage:
    """Averages the final weights with those of other models, such as runs of other losses from the same start.

    Source: Wortsman et al. 2022, "Model soups" (arXiv 2203.05482), eq. 1, with a weight for each model.
    """

    def __init__(
        self, encoder: BiEncoder, folders: Sequence[str | Path], weights: Sequence[float] | None = None
    ) -> None:
        """encoder: as it is before training, without adapters. folders: of runs, or of models. weights: of the trained
        model and of each folder, divided by their sum; None: all alike.

        Layers that the others have after those of the encoder, such as a projection, are left out. Raises ConfigError
        for weights of another number, and for models of another architecture or that read and pool tokens otherwise,
        ModelError for folders that are no model.
        """
        weights = [1.0] * (len(folders) + 1) if weights is None else [float(weight) for weight in weights]
        proper = len(weights) == len(folders) + 1 and all(math.isfinite(weight) and weight >= 0 for weight in weights)
        if not (proper and sum(weights) > 0):
            raise ConfigError(
                f"averaging.weights={weights}: {len(folders) + 1} numbers of 0 or more are needed, that of the trained "
                f"model and those of the {len(folders)} averaging.models."
            )
        self.folders = [Path(folder) / "model" if (Path(folder) / "model").is_dir() else folder for folder in folders]
        self.share = weights[0] / sum(weights)
        self._others = {name: torch.zeros_like(parameter) for name, parameter in encoder.named_parameters()}
        for folder, weight in zip(self.folders, weights[1:], strict=True):
            model = PretrainedEncoder(str(folder)).load(seed=0)
            other = dict(model.named_parameters())
            theirs = {name for name in other if name in self._others or not name.startswith("dense.")}
            differing = [
                name
                for name in sorted(theirs | self._others.keys())
                if name not in other or name not in self._others or other[name].shape != self._others[name].shape
            ]
            if differing:
                raise ConfigError(
                    f"averaging.models: {folder} is of another architecture: {len(differing)} weights, such as "
                    f"{differing[0]}, are in one model alone or of another shape. Average models that began as one."
                )
            if readings := _other_readings(encoder, model):
                raise ConfigError(
                    f"averaging.models: {folder} was trained with {' and '.join(readings)}. A mean of weights "
                    "that are read in different ways is none of these models. Train all of them with the same."
                )
            for name, total in self._others.items():
                total.add_(other[name].detach(), alpha=weight / sum(weights))

    def mix_into(self, encoder: BiEncoder) -> None:
        """Replace the weights, in place, by the weighted mean of all models."""
        with torch.no_grad():
            for name, parameter in encoder.named_parameters():
                parameter.mul_(self.share).add_(self._others[name].to(parameter.device))


def _other_readings(encoder: BiEncoder, other: BiEncoder) -> list[str]:
    """How other turns a text into a vector where encoder does it otherwise, in words."""
    settings = [
        ("model.pooling", encoder.pooling, other.pooling),
        ("model.layer_weights", list(encoder.layer_weights), list(other.layer_weights)),
        ("prefixes", encoder.tokenizer.prefix, other.tokenizer.prefix),
    ]
    differing = [f"{name}={theirs} ({ours} here)" for name, ours, theirs in settings if ours != theirs]
    token_weights = [torch.ones(1) if e.token_weights is None else e.token_weights for e in (encoder, other)]
    if not torch.equal(*token_weights):
        differing.append("other weights of tokens (model.sif)")
    if encoder.tokenizer.tokenizer.get_vocab() != other.tokenizer.tokenizer.get_vocab():
        differing.append("another tokenizer")
    return differing
