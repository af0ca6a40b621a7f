"""The end of training: which weights a run ends with, what it saves, and that they are measured."""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from mixlingua.data.store import ParallelStore
from mixlingua.errors import ConfigError
from mixlingua.evaluation.suite import TextEncoder, progress_bars
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder import save_folder
from mixlingua.model.lora import merge_adapters, save_adapters
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.retrieval.postprocess import Postprocess
from mixlingua.training.callbacks import EvaluationCallback, MovingAverage
from mixlingua.training.checkpoints import BEST, LAST, read_checkpoint

logger = logging.getLogger(__name__)


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


def append_postprocess(
    encoder: BiEncoder,
    method: Postprocess,
    stores: Sequence[ParallelStore],
    *,
    seed: int = 0,
    token_budget: int = 2048,
    precision: str = "32-true",
) -> None:
    """Fit the method's layer to the encoder's vectors of the stores' texts and append it; every rank must call this.

    seed: of the rows; token_budget, precision: as `mixlingua.retrieval.encode.encode` takes them.
    """
    with progress_bars() as bars:
        layer = method.layer(TextEncoder(encoder, token_budget, precision, bars, "postprocess"), stores, seed)
    encoder.append(layer)


class EndOfTraining(Callback):
    """Ends a run, on every rank: saves the training state, settles the final weights, saves and measures the model.

    A resumed run that has no step left, as of a run that was stopped while it was measured, is ended in the same way.

    run_dir: gets checkpoints/last.ckpt, model/, and adapter/ where an adapter was trained.
    average: the moving average to end with. restore_best: whether to end with the lowest validation loss.
    start_share: mixes the weights before training into the final ones.
    models: averages what this gives with other models.
    postprocess: appends a layer to the encoder, such as a partial of `append_postprocess`.
    save_model: whether to write model/ and adapter/. evaluation: measures the final encoder.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        average: MovingAverage | None = None,
        restore_best: bool = False,
        start_share: StartShare | None = None,
        models: ModelAverage | None = None,
        postprocess: Callable[[BiEncoder], None] | None = None,
        save_model: bool = True,
        evaluation: EvaluationCallback | None = None,
    ) -> None:
        self.run_dir = run_dir
        self.average = average
        self.restore_best = restore_best
        self.start_share = start_share
        self.models = models
        self.postprocess = postprocess
        self.save_model = save_model
        self.evaluation = evaluation
        self._ended = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The last step is done."""
        self._end(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """No step was left: Lightning trains nothing then, and calls no `on_train_end`."""
        if not self._ended:
            logger.info("no step left of %d: the resumed run is finished and measured", trainer.global_step)
            pl_module.to(trainer.strategy.root_device)  # Lightning has put it back on the CPU
            self._end(trainer, pl_module)

    def _end(self, trainer: Trainer, module: Any) -> None:
        self._ended = True
        # The training state comes first: a resumed run goes on from the last weights, with adapters and without layers.
        trainer.save_checkpoint(self.run_dir / LAST)
        module.end_sharding()
        encoder = module.encoder
        weights = "the last weights"
        if self.average is not None:
            self.average.use(trainer, module)
            weights = "the moving average"
        if self.restore_best and (best := self.run_dir / BEST).exists():  # not where no validation was reached
            checkpoint = read_checkpoint(best)
            module.load_state_dict(checkpoint["state_dict"])
            weights = f"the lowest validation loss, at step {checkpoint['global_step']}"
        # Weights of other runs cannot be told as an adapter's.
        if self.save_model and self.models is None and trainer.is_global_zero:
            kept = 1 - self.start_share.share if self.start_share else 1.0
            save_adapters(encoder, self.run_dir / "adapter", share=kept)
        merge_adapters(encoder)
        if self.start_share is not None:
            self.start_share.mix_into(encoder)
            weights += f", with a share of {self.start_share.share:g} of those before training"
        if self.models is not None:
            self.models.mix_into(encoder)
            weights += f", averaged with {', '.join(map(str, self.models.folders))}"
        if self.postprocess is not None:
            self.postprocess(encoder)
            weights += ", with a postprocess layer"
        if self.save_model and trainer.is_global_zero:
            save_folder(encoder, self.run_dir / "model")
        if self.evaluation is not None:
            self.evaluation.measure_end(trainer, module, weights)
