"""What a resumed run takes over from the one that was stopped, besides the checkpoint."""

import csv
import shutil
from pathlib import Path
from typing import Any

from mixlingua.files import atomic_folder, atomic_write
from mixlingua.model.checkpoints import read_checkpoint

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


def take_over_translations(earlier: Path, folder: Path) -> None:
    """Copy a stopped translation's folder to `folder`, unless that is the same or holds translations already."""
    if earlier.resolve() == folder.resolve() or folder.exists():
        return
    with atomic_folder(folder) as partial:
        shutil.copytree(earlier, partial, dirs_exist_ok=True)


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
