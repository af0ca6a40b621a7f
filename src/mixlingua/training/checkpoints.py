"""Checkpoints: what is saved while training, and what a resumed run needs of the one that was stopped."""

import csv
import shutil
import signal
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from mixlingua import distributed
from mixlingua.errors import CheckpointError, Interrupted, differences, first_line, to_stderr
from mixlingua.files import atomic_folder, atomic_write
from mixlingua.training.averaging import MovingAverage
from mixlingua.training.module import RetrieverModule
from mixlingua.training.processes import is_spawned

VALIDATION_LOSS = "validation/loss"


LAST = "checkpoints/last.ckpt"
BEST = "checkpoints/best.ckpt"


def checkpoint_callbacks(
    run_dir: Path,
    *,
    every_n_steps: int = 100,
    validates: bool = False,
    patience: int | None = None,
    average: MovingAverage | None = None,
) -> list[Callback]:
    """The callbacks that write run_dir/checkpoints while training.

    checkpoints/last.ckpt is written every every_n_steps optimiser steps and where a signal interrupts the run;
    EndOfTraining writes it after the last one.
    Where there is a validation loss, checkpoints/best.ckpt holds the weights with the lowest, those of `average` where
    it is given, and training stops after `patience` validations without a lower one (None: it does not).
    """
    last, best = run_dir / LAST, run_dir / BEST
    callbacks: list[Callback] = []
    if validates:
        callbacks.append(
            BestCheckpoint(
                best.parent,
                average=average,
                filename=best.stem,
                monitor=VALIDATION_LOSS,
                save_weights_only=True,
                enable_version_counter=False,
            )
        )
        if patience is not None:
            # A loss that is not finite is the module's own error, which names the batch.
            callbacks.append(EarlyStopping(VALIDATION_LOSS, patience=patience, check_finite=False))
    return [*callbacks, LastCheckpoint(last, every_n_steps)]  # the last, so that it has the state of the others


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it; Lightning's own goes through the system's folder for
    temporary files, from which a move to another disk is a copy that a kill can cut short."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Raises StorageError where the disk is full; the checkpoint that was there before is kept."""
        # An open file, since torch hides the system's error where it is given a path.
        with atomic_write(path) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)


class LastCheckpoint(Checkpoint):
    """Writes the training state every `every_n_steps` optimiser steps, and on SIGINT or SIGTERM.

    A signal lets the step that runs end, and its validation; then the state is saved and Interrupted raised. A second
    signal raises at once, and so does the first one after the last step. Of several processes any may get it, or all,
    in different steps: they agree after each step. A second signal is that of rank 0, or of the process that spawned
    the ranks, which ends the others.

    The state of a step with a validation is saved after it: Lightning resumes one from before it without validating.
    Lightning calls checkpoints after all other callbacks.
    """

    def __init__(self, path: Path, every_n_steps: int) -> None:
        self._path, self._every_n_steps = path, every_n_steps
        self._received = 0  # the signal
        self._agreed = 0  # a signal that any process has received; 0 for none
        self._handlers: dict[signal.Signals, Any] = {}  # those that were there before
        self._steps_before = 0  # steps done before the batch that runs
        self._due = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals; Lightning and `processes.RankSignals` have set their own handlers by now."""
        if threading.current_thread() is not threading.main_thread():
            return
        leads = trainer.is_global_zero and not is_spawned()

        def receive(number: int, frame: object) -> None:
            over = trainer.should_stop or trainer.global_step >= trainer.max_steps >= 0
            if (over and trainer.is_global_zero) or (self._received and leads):
                raise Interrupted(number)
            self._received = number
            if leads:
                name = signal.Signals(number).name
                to_stderr(f"{name}: the step that runs is finished and saved. A second signal ends the run at once.")

        self._handlers = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Several batches may make a step."""
        self._steps_before = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where that is due and no validation follows."""
        if trainer.global_step > self._steps_before:
            self._agree(trainer)
            self._due |= trainer.global_step % self._every_n_steps == 0 or self._agreed > 0
            if self._due and not _validation_follows(trainer):
                self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what has waited for the validation."""
        if trainer.global_step > self._steps_before:
            self._agree(trainer)
            if self._due or self._agreed:
                self._save(trainer)

    def _agree(self, trainer: Trainer) -> None:
        self._agreed = self._received
        if trainer.world_size > 1:  # or else a GPU would be waited for; of several, Lightning waits for them anyway
            received = torch.tensor([self._received], device=trainer.strategy.root_device)
            self._agreed = int(distributed.all_gather(received).max())

    def _save(self, trainer: Trainer) -> None:
        self._due = False
        trainer.save_checkpoint(self._path)
        for logger in trainer.loggers:  # what was logged up to here belongs to the run that goes on
            logger.save()
        if self._agreed:
            raise Interrupted(self._agreed) if trainer.is_global_zero else SystemExit(0)  # rank 0 says it once

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


def _validation_follows(trainer: Trainer) -> bool:
    """Whether Lightning validates after the batch that ends."""
    every = trainer.val_check_batch or 1
    return trainer.enable_validation and (trainer.fit_loop.total_batch_idx + 1) % every == 0


class BestCheckpoint(ModelCheckpoint):
    """Saves the weights that were validated, and remembers the lowest loss also where a run is resumed elsewhere.

    average: its weights are those that are validated; None: the module's own are.
    """

    def __init__(self, dirpath: Path, *, average: MovingAverage | None = None, **options: Any) -> None:
        super().__init__(dirpath, **options)
        self._average = average

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the weights where their loss is the lowest."""
        with self._average.in_place(trainer, pl_module) if self._average else nullcontext():
            super().on_validation_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The state as if saved in this folder; Lightning would begin anew and overwrite better weights."""
        assert self.dirpath is not None
        file = Path(self.dirpath) / "best.ckpt"
        if file.exists() and state_dict["best_model_path"]:
            (score,) = state_dict["best_k_models"].values()
            here = {"dirpath": self.dirpath, "best_k_models": {str(file): score}}
            state_dict = {**state_dict, **here, "best_model_path": str(file), "kth_best_model_path": str(file)}
        super().load_state_dict(state_dict)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content, memory-mapped. Raises CheckpointError where it is no readable checkpoint.

    Only plain containers and tensors are read (weights_only), so that a foreign file cannot run code.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint.") from None
    except Exception as error:  # torch raises many kinds for a file that is cut off, no archive, or holds other objects
        reason = first_line(error)[:200]
        raise CheckpointError(f"{path}: cannot be read as a checkpoint ({reason}). Resume from another one.") from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise CheckpointError(f"{path}: holds no training state; a mixlingua checkpoint is RUN/{LAST}.")
    return checkpoint


def check_resumable(
    path: Path, module: RetrieverModule, *, averages: bool = False, max_steps: int | None = None
) -> None:
    """Raises CheckpointError, naming what differs, unless the file is a checkpoint of such a module.

    Its weights must have the same names and shapes, its optimiser and adapter the same settings, its teacher the same
    fingerprint. averages: whether the run keeps a moving average, which the checkpoint must have or lack as well.
    max_steps: of the run; the checkpoint must not have done more. None: any number.
    """
    checkpoint = read_checkpoint(path)
    if "PairDataModule" not in checkpoint or "optimizer_states" not in checkpoint:
        raise CheckpointError(f"{path}: weights without a training state; only RUN/{LAST} can be resumed.")
    settings = module.lasting_settings()
    missing = [key for key in ("settings", "remembered") if key not in checkpoint]
    if "teacher" not in checkpoint.get("settings", settings) and settings["teacher"] is not None:
        missing.append("teacher")
    if missing:
        raise CheckpointError(f"{path}: an earlier version wrote it, without {', '.join(missing)}. Start a new run.")
    saved = {name: tuple(tensor.shape) for name, tensor in checkpoint["state_dict"].items()}
    current = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    for name in sorted(saved.keys() | current.keys()):
        if saved.get(name) != current.get(name):
            raise CheckpointError(
                f"{path}: belongs to another model: {name} is {saved.get(name, 'absent')} there and "
                f"{current.get(name, 'absent')} here. Resume with the run's own model, adapter and loss."
            )
    if changed := differences({key: checkpoint["settings"].get(key) for key in settings}, settings):
        raise CheckpointError(
            f"the checkpoint cannot be resumed: {'; '.join(changed)}. Restore these settings, or start a new run."
        )
    if ("averaging_state" in checkpoint) != averages:
        was, now = ("null", "set") if averages else ("set", "null")
        raise CheckpointError(
            f"the checkpoint cannot be resumed: averaging.ema_decay was {was}, is {now}. "
            "Restore this setting, or start a new run."
        )
    if max_steps is not None and max_steps < (done := int(checkpoint["global_step"])):
        raise CheckpointError(
            f"trainer.max_steps={max_steps}: {path} has done {done} steps already. Give {done} to end there, or more "
            "to go on."
        )


# What the rest of a run builds on; what says that it is complete comes last.
_FILES = (BEST, "report_before.json", "metrics_before.json")


def copy_from_stopped_run(checkpoint: Path, run_dir: Path) -> None:
    """Copy the results before training and the best weights so far from the checkpoint's run folder to run_dir.

    Nothing to do where a run is resumed in its own folder.
    """
    stopped = checkpoint.resolve().parent.parent
    if stopped == run_dir.resolve():
        return
    if (stopped / "per_query_before").is_dir():
        with atomic_folder(run_dir / "per_query_before", mark="*.parquet") as folder:
            shutil.copytree(stopped / "per_query_before", folder, dirs_exist_ok=True)
    for name in _FILES:
        if (stopped / name).exists():
            with atomic_write(run_dir / name) as partial:
                shutil.copyfile(stopped / name, partial)


def logged_before(checkpoint: Path) -> list[dict[str, Any]]:
    """The lines of the stopped run's csv/metrics.csv that belong to the steps before the checkpoint."""
    log = checkpoint.resolve().parent.parent / "csv" / "metrics.csv"
    if not log.exists():
        return []
    step = int(read_checkpoint(checkpoint)["global_step"])
    with log.open(encoding="utf-8", newline="") as file:
        rows = [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]
    return [row for row in rows if _precedes(row, step)]


def _precedes(row: dict[str, str], step: int) -> bool:
    """Losses are logged under the number of steps before theirs, everything else under that of steps so far."""
    if any(name.startswith(("train/", "validation/")) for name in row):
        return int(row["step"]) < step
    return int(row["step"]) <= step
