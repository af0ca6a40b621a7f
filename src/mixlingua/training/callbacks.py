"""Fitting the last layer of an encoder: after training, or before an evaluation."""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch import nn

from mixlingua import distributed
from mixlingua.data.batches import TrainBatch
from mixlingua.data.store import ParallelStore
from mixlingua.errors import ConfigError
from mixlingua.evaluation.results import Average, TaskResult, without_shares
from mixlingua.evaluation.run_folder import Stage, write_results
from mixlingua.evaluation.suite import Task, TextEncoder, evaluate_encoder, progress_bars
from mixlingua.files import content_hash
from mixlingua.model.encoder import BiEncoder
from mixlingua.retrieval.postprocess import Postprocess

logger = logging.getLogger(__name__)


class ZeroShotEvaluation(Callback):
    """Evaluates the module's `encoder` on tasks, logs the averages and writes the run's result files.

    Evaluation before training is skipped where a run is resumed; its files are there already. Evaluations in between
    are logged only: result files belong to the weights that a run began or ended with. `results_before` and
    `results_after` hold the results in the process that trained (under a spawning strategy that is not the user's:
    read the files).
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        run_dir: str | Path,
        provenance: Mapping[str, object],
        before: bool,
        at_end: bool,
        every_n_steps: int | None,
        average: Average,
        token_budget: int,
        precision: str,
    ) -> None:
        """every_n_steps: optimiser steps, none for no evaluation in between; the others as in `evaluate_encoder` and
        `write_results`, to whose provenance the step is added."""
        self.tasks = list(tasks)
        self.run_dir = Path(run_dir)
        self.provenance = provenance
        self.before, self.at_end, self.every_n_steps = before, at_end, every_n_steps
        self.average: Average = average
        self.token_budget, self.precision = token_budget, precision
        self.results_before: list[TaskResult] | None = None
        self.results_after: list[TaskResult] | None = None
        self._latest: tuple[int, list[TaskResult] | None] = (0, None)  # by optimiser step
        self._fingerprint = ""  # of the encoder at the latest evaluation in between, on rank zero

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate the untrained weights, unless the run is resumed."""
        self._latest = (trainer.global_step, None)
        if self.before and trainer.global_step == 0:
            self.results_before = self._evaluate(trainer, pl_module)
            self._write(self.results_before, 0, "before")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Evaluate after every `every_n_steps` optimiser steps (a step may take several batches)."""
        step = trainer.global_step
        if self.every_n_steps and step % self.every_n_steps == 0 and step != self._latest[0]:
            self._evaluate(trainer, pl_module)
            if distributed.rank() == 0:
                self._fingerprint = _fingerprint(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate the encoder that training ended with, unless the same was evaluated after the last step."""
        if self.at_end:
            step, results = self._latest
            fresh = results is not None and step == trainer.global_step
            if fresh:  # what ends training may have put back better weights, or added a layer
                fresh = distributed.on_first_rank(lambda: self._fingerprint == _fingerprint(pl_module))
            self.results_after = results if fresh else self._evaluate(trainer, pl_module)
            assert self.results_after is not None
            self._write(self.results_after, trainer.global_step, "after")

    def _evaluate(self, trainer: Trainer, pl_module: LightningModule) -> list[TaskResult]:
        encoder: Any = pl_module.encoder
        results = evaluate_encoder(encoder, self.tasks, token_budget=self.token_budget, precision=self.precision)
        self._latest = (trainer.global_step, results)
        averages = without_shares({k: v for result in results for k, v in result.aggregate(self.average).items()})
        for experiment in trainer.loggers:
            experiment.log_metrics(averages, step=trainer.global_step)
        for task in self.tasks:
            shown = (f"{key} {averages[key]:.4f}" for key in averages if key.startswith(f"{task.name}/"))
            main = [text for text in shown if text.split()[0].endswith((f"/{task.main_metric}", "/rank_distance"))]
            logger.info("step %d: %s", trainer.global_step, ", ".join(main))
        return results

    def _write(self, results: list[TaskResult], step: int, stage: Stage) -> None:
        if distributed.rank() == 0:
            write_results(self.run_dir, results, {**self.provenance, "step": step}, stage, self.average)


def _fingerprint(pl_module: LightningModule) -> str:
    encoder: Any = pl_module.encoder
    fingerprint: str = encoder.fingerprint()
    return fingerprint


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


class SeedEachBatch(Callback):
    """Makes what is random in a training step a pure function of the seed, the number of the batch and the rank.

    Nothing about random states needs to be in a checkpoint, which only rank zero could write. Holds for CPU and CUDA.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: TrainBatch, batch_idx: int
    ) -> None:
        """Seed torch's generators; ranks draw different numbers, as their rows are different."""
        torch.manual_seed(batch_seed(self.seed, batch.index, trainer.global_rank))


def batch_seed(seed: int, index: int, rank: int) -> int:
    """A number in [0, 2^64), as good as independent for different arguments."""
    return int(content_hash(str(seed), str(index), str(rank))[:16], 16)


class BatchMix(Callback):
    """Logs the share of each kind of batch and of each source so far, as "batches/monolingual" and "sources/ntrex".

    All ranks see the same kinds and sources, so the shares hold for the global batches.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.batches = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.batches += 1
        self.counts.update([f"batches/{batch.kind}", f"sources/{batch.source}"])
        if self.batches % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            shares = {name: count / self.batches for name, count in sorted(self.counts.items())}
            for logger in trainer.loggers:
                logger.log_metrics(shares, step=trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Goes into the checkpoint, so that the shares of a resumed run are those of the whole run."""
        return {"counts": dict(self.counts), "batches": self.batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.counts, self.batches = Counter(state_dict["counts"]), state_dict["batches"]


def append_postprocess(
    encoder: BiEncoder,
    method: Postprocess,
    stores: Sequence[ParallelStore],
    *,
    seed: int,
    token_budget: int,
    precision: str,
) -> None:
    """Fit the method's layer to the encoder's vectors of the stores' texts and append it; every rank must call this.

    seed: of the rows; token_budget, precision: as `mixlingua.retrieval.encode.encode` takes them.
    """
    with progress_bars() as bars:
        layer = method.layer(TextEncoder(encoder, token_budget, precision, bars, "postprocess"), stores, seed)
    encoder.append(layer)


class Postprocessing(Callback):
    """Appends the layer to the module's `encoder` when training has ended: after the training state was saved, which a
    resumed run goes on from and which has no such layer, and before the encoder is measured and saved."""

    def __init__(
        self, method: Postprocess, stores: Sequence[ParallelStore], *, seed: int, token_budget: int, precision: str
    ) -> None:
        """As `append_postprocess`."""
        self.method, self.stores = method, stores
        self.seed, self.token_budget, self.precision = seed, token_budget, precision

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fit and append, on every rank."""
        encoder: Any = pl_module.encoder
        append_postprocess(
            encoder,
            self.method,
            self.stores,
            seed=self.seed,
            token_budget=self.token_budget,
            precision=self.precision,
        )
