"""What a run does beside its steps: it measures, seeds, counts, times, and frees memory."""

import ctypes
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from mixlingua import distributed
from mixlingua.data.batches import TrainBatch
from mixlingua.evaluation.results import Average, TaskResult, figures_of, main_figures, without_shares
from mixlingua.evaluation.run_folder import Stage, write_results
from mixlingua.evaluation.suite import Task, evaluate_encoder
from mixlingua.files import content_hash
from mixlingua.model.encoder import BiEncoder

logger = logging.getLogger(__name__)


class EvaluationCallback(Callback):
    """Evaluates the module's `encoder` on tasks, logs the averages and writes the run's result files.

    It evaluates before training, unless the run is resumed, whose files are there already, and keeps these vectors in
    the cache, since many runs begin with the same weights; every `every_n_steps` optimiser steps, which are logged
    only; and when EndOfTraining calls `measure_end`. `results_before` and `results_after` hold the results in the
    process that trained. Under a spawning strategy that is not the user's process: read the files.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        run_dir: str | Path,
        provenance: Mapping[str, object] | None = None,
        before: bool = True,
        every_n_steps: int | None = None,
        average: Average = "macro",
        token_budget: int = 2048,
        precision: str = "32-true",
        watch: Callable[[int, Mapping[str, float]], None] | None = None,
    ) -> None:
        """every_n_steps: None for no evaluation in between. watch: gets the step and the averages of each of these. The
        others: as in `evaluate_encoder` and `write_results`, to whose provenance the step is added."""
        self.tasks = list(tasks)
        self.run_dir = Path(run_dir)
        self.provenance = dict(provenance or {})
        self.before, self.every_n_steps = before, every_n_steps
        self.average: Average = average
        self.token_budget, self.precision = token_budget, precision
        self.watch = watch
        self.results_before: list[TaskResult] | None = None
        self.results_after: list[TaskResult] | None = None
        self._latest_step = 0
        self._logged_step = -1
        self._latest_results: list[TaskResult] | None = None
        self._latest_fingerprint = ""  # of the encoder in between, on rank zero

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate the untrained weights, unless the run is resumed."""
        self._latest_step = trainer.global_step
        if self.before and trainer.global_step == 0:
            self.results_before = self._evaluate(trainer, pl_module, "before training", keep=True)
            self._write(self.results_before, 0, "before")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Evaluate after every `every_n_steps` optimiser steps (a step may take several batches)."""
        step = trainer.global_step
        if self.every_n_steps and step % self.every_n_steps == 0 and step != self._latest_step:
            results = self._evaluate(trainer, pl_module, "the weights of that step")
            encoder = _whole_encoder(pl_module)
            if distributed.rank() == 0:
                self._latest_fingerprint = encoder.fingerprint()
            if self.watch is not None:
                self.watch(step, figures_of(results, self.average))

    def measure_end(self, trainer: Trainer, pl_module: LightningModule, weights: str = "the last weights") -> None:
        """Evaluate the encoder that the run ends with, unless it is the one that was evaluated after the last step.

        weights: which these are, for the log and report.json.
        """
        results = self._latest_results if self._latest_step == trainer.global_step else None
        if results is not None:  # training may have ended with other weights than the last step's, or a further layer
            encoder = _whole_encoder(pl_module)
            unchanged = distributed.on_first_rank(lambda: self._latest_fingerprint == encoder.fingerprint())
            results = results if unchanged else None
        self.results_after = results or self._evaluate(trainer, pl_module, f"the run's end: {weights}")
        self.provenance["final_weights"] = weights
        self._write(self.results_after, trainer.global_step, "after")

    def _evaluate(
        self, trainer: Trainer, pl_module: LightningModule, weights: str, *, keep: bool = False
    ) -> list[TaskResult]:
        results = evaluate_encoder(
            _whole_encoder(pl_module), self.tasks, token_budget=self.token_budget, precision=self.precision, keep=keep
        )
        self._latest_step, self._latest_results = trainer.global_step, results
        averages = without_shares(figures_of(results, self.average))
        # Loggers need rising steps: a second measurement at one step, as at the run's end, is logged one step later.
        step = max(trainer.global_step, self._logged_step + 1)
        self._logged_step = step
        for experiment in trainer.loggers:
            experiment.log_metrics(averages, step=step)
        main = main_figures(averages, {task.name: task.main_metric for task in self.tasks})
        for task in self.tasks if trainer.is_global_zero else ():
            shown = (f"{key} {value:.4f}" for key, value in main.items() if key.startswith(f"{task.name}/"))
            logger.info("step %d, %s: %s", trainer.global_step, weights, ", ".join(shown))
        return results

    def _write(self, results: list[TaskResult], step: int, stage: Stage) -> None:
        if distributed.rank() == 0:
            write_results(self.run_dir, results, {**self.provenance, "step": step}, stage, self.average)


def _whole_encoder(pl_module: Any) -> BiEncoder:
    encoder: BiEncoder = pl_module.whole_encoder()
    return encoder


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


class _OfSteps(Callback):
    """Logs after every log_every_n_steps optimiser steps, each of which may take several batches."""

    _logged_step = 0

    def _log(self, trainer: Trainer, values: Callable[[], Mapping[str, float]]) -> None:
        """values: called where something is due."""
        step = trainer.global_step
        if step != self._logged_step and step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._logged_step = step
            figures = dict(values())
            for logger in trainer.loggers:
                logger.log_metrics(figures, step=step)


class BatchMix(_OfSteps):
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
        self._log(trainer, lambda: {name: count / self.batches for name, count in sorted(self.counts.items())})

    def state_dict(self) -> dict[str, Any]:
        """Goes into the checkpoint, so that the shares of a resumed run are those of the whole run."""
        return {"counts": dict(self.counts), "batches": self.batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.counts, self.batches = Counter(state_dict["counts"]), state_dict["batches"]


class TrainingSpeed(_OfSteps):
    """Logs the pairs and tokens that all devices train on in a second: speed/pairs_per_second, speed/tokens_per_second.

    Over the batches since it logged last. Only the time within them counts: no waiting for data, no evaluation. Tokens
    are those of queries and passages without padding, on this device, times the number of devices.
    """

    def __init__(self) -> None:
        self._pairs = 0
        self._tokens: Any = 0
        self._seconds = self._started = 0.0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: TrainBatch, batch_idx: int
    ) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._seconds += time.perf_counter() - self._started
        self._pairs += len(batch.query_languages)
        self._tokens = self._tokens + batch.queries["attention_mask"].sum() + batch.passages["attention_mask"].sum()
        self._log(trainer, lambda: self._speeds(trainer.world_size))

    def _speeds(self, world_size: int) -> dict[str, float]:
        """Since this was asked last."""
        rate = world_size / self._seconds
        speeds = {"speed/pairs_per_second": self._pairs * rate, "speed/tokens_per_second": int(self._tokens) * rate}
        self._pairs, self._tokens, self._seconds = 0, 0, 0.0
        return speeds


class FreedMemory(Callback):
    """Gives the memory that batches have freed back to the system, every few batches of a run on a CPU.

    The C library keeps it otherwise, in pieces of the sizes that each batch needed, and batches have many sizes: a
    process grew to several times what its largest batch takes. Without effect where the library is not glibc.
    """

    def __init__(self, every: int = 50) -> None:
        """every: so many batches. Once takes a third of a second, and the next batch a second more."""
        self.every = every

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.strategy.root_device.type == "cpu" and batch_idx % self.every == self.every - 1:
            c_library = ctypes.CDLL(None)
            if hasattr(c_library, "malloc_trim"):
                c_library.malloc_trim(0)
