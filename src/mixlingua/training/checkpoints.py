"""What a resumed run takes over from the one that was stopped, besides the checkpoint."""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from mixlingua.errors import CheckpointError
from mixlingua.files import atomic_folder, atomic_write
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder import save_folder

VALIDATION_LOSS = "validation/loss"


def checkpoint_callbacks(
    run_dir: Path,
    *,
    every_n_steps: int,
    validates: bool,
    patience: int | None,
    save_model: bool,
    average: Sequence[Callback] = (),
    finishing: Sequence[Callback] = (),
) -> list[Callback]:
    """The callbacks that write run_dir/checkpoints and run_dir/model, in the order in which they must run.

    checkpoints/last.ckpt is written every every_n_steps optimiser steps and after the last one. Where there is a
    validation loss, checkpoints/best.ckpt holds the weights with the lowest and the run ends with these; training stops
    after `patience` validations without a lower one (None: it does not). average: what puts an average in the place of
    the last weights, once these are saved and before the best are restored; finishing: what changes the encoder when
    training has ended, after the checkpoints were written and before the model is.
    """
    folder = run_dir / "checkpoints"
    callbacks: list[Callback] = [
        ModelCheckpoint(folder, filename="last", every_n_train_steps=every_n_steps, enable_version_counter=False),
        SaveLast(folder / "last.ckpt"),
        *average,
    ]
    if validates:
        best = BestCheckpoint(
            folder, filename="best", monitor=VALIDATION_LOSS, save_weights_only=True, enable_version_counter=False
        )
        callbacks += [best, RestoreBest(folder / "best.ckpt")]
        if patience is not None:
            # A loss that is not finite is the module's own error, which names the batch.
            callbacks.append(EarlyStopping(VALIDATION_LOSS, patience=patience, check_finite=False))
    callbacks += finishing
    return [*callbacks, SaveModel(run_dir / "model")] if save_model else callbacks


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it; Lightning's own goes through the system's folder for
    temporary files, from which a move to another disk is a copy that a kill can cut short."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Raises StorageError where the disk is full; the checkpoint that was there before is kept."""
        # An open file, since torch hides the system's error where it is given a path.
        with atomic_write(path) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)


class BestCheckpoint(ModelCheckpoint):
    """Remembers the lowest validation loss also where a run is resumed in another folder that has its best.ckpt."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The state as if saved in this folder; Lightning would begin anew and overwrite better weights."""
        assert self.dirpath is not None
        file = Path(self.dirpath) / "best.ckpt"
        if file.exists() and state_dict["best_model_path"]:
            (score,) = state_dict["best_k_models"].values()
            here = {"dirpath": self.dirpath, "best_k_models": {str(file): score}}
            state_dict = {**state_dict, **here, "best_model_path": str(file), "kth_best_model_path": str(file)}
        super().load_state_dict(state_dict)


class SaveLast(Callback):
    """Saves the whole training state after the last step, whatever the interval between checkpoints."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, on every rank, as Lightning wants it."""
        trainer.save_checkpoint(self.path)


class RestoreBest(Callback):
    """Ends training with the weights of the lowest validation loss."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load the weights; nothing to do where training ended before the first validation."""
        if self.path.exists():
            pl_module.load_state_dict(read_checkpoint(self.path)["state_dict"])


class SaveModel(Callback):
    """Saves the encoder as a sentence-transformers folder when training has ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, on rank zero."""
        if trainer.is_global_zero:
            encoder = pl_module.encoder
            assert isinstance(encoder, BiEncoder)
            save_folder(encoder, self.folder)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content, memory-mapped. Raises CheckpointError where it is no readable checkpoint.

    Only plain containers and tensors are read (weights_only), so that a foreign file cannot run code.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint.") from None
    except Exception as error:  # torch raises many kinds for a file that is cut off, no archive, or holds other objects
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint ({reason[:200]}). Resume from another one."
        ) from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise CheckpointError(f"{path}: holds no training state; a mixlingua checkpoint is RUN/checkpoints/last.ckpt.")
    return checkpoint


def check_resumable(path: Path, module: LightningModule) -> None:
    """Raises CheckpointError naming the first difference where the file is not a checkpoint of such a module, trained
    with the same settings of its optimiser."""
    checkpoint = read_checkpoint(path)
    if "PairDataModule" not in checkpoint or "optimizer_states" not in checkpoint:
        raise CheckpointError(
            f"{path}: weights without a training state; only RUN/checkpoints/last.ckpt can be resumed."
        )
    saved = {name: tuple(tensor.shape) for name, tensor in checkpoint["state_dict"].items()}
    current = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    for name in sorted(saved.keys() | current.keys()):
        if saved.get(name) != current.get(name):
            raise CheckpointError(
                f"{path}: belongs to another model: {name} is {saved.get(name, 'absent')} there and "
                f"{current.get(name, 'absent')} here. Resume with the run's own model, adapter and loss."
            )
    # The optimiser goes on with its saved settings whatever the configuration says, which must not go unsaid.
    group = checkpoint["optimizer_states"][0]["param_groups"][0]
    for name, key in (("lr", "initial_lr"), ("weight_decay", "weight_decay")):
        is_now = getattr(module.optimizer, name)
        if group[key] != is_now:
            raise CheckpointError(
                f"the checkpoint cannot be resumed: optimizer.{name} was {group[key]!r}, is {is_now!r}. "
                "Restore these settings, or start a new run."
            )


# What the rest of a run builds on; what says that it is complete comes last.
_FILES = ("checkpoints/best.ckpt", "report_before.json", "metrics_before.json")


def take_over(checkpoint: Path, run_dir: Path) -> None:
    """Copy the results before training and the best weights so far from the checkpoint's run folder to run_dir.

    Nothing to do where a run is resumed in its own folder.
    """
    earlier = checkpoint.resolve().parent.parent
    if earlier == run_dir.resolve():
        return
    if (earlier / "per_query_before").is_dir():
        with atomic_folder(run_dir / "per_query_before") as folder:
            shutil.copytree(earlier / "per_query_before", folder, dirs_exist_ok=True)
    for name in _FILES:
        if (earlier / name).exists():
            with atomic_write(run_dir / name) as partial:
                shutil.copyfile(earlier / name, partial)


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
