"""Zero-shot evaluation while training: before the first step, every so many steps, and at the end."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from mixlingua.evaluation.averages import Average, without_shares
from mixlingua.evaluation.results import TaskResult
from mixlingua.evaluation.run_folder import Stage, write_results
from mixlingua.evaluation.suite import Task, evaluate_encoder
from mixlingua.model import distributed

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
