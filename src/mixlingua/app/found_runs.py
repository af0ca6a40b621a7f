"""Run folders inside the folders that a user names."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mixlingua.app.status import read_status
from mixlingua.errors import DataError


@dataclass(frozen=True)
class FoundRun:
    """A finished run with results. config: the content of its config.yaml."""

    folder: Path
    action: str
    config: dict[str, Any]


def find_runs(places: Sequence[str]) -> tuple[list[FoundRun], list[str]]:
    """The finished runs in places, each a run folder or one that holds such at any depth, in natural order.

    Also a line for each run that is left out, with the reason. Raises DataError where a place does not exist or holds
    no run, or no run has finished.
    """
    found: dict[Path, FoundRun] = {}
    left_out: dict[Path, str] = {}
    for place in places:
        folders = list(_run_folders(Path(place)))
        if not folders:
            raise DataError(f"runs={place}: {_why_empty(Path(place))}")
        for folder in folders:
            if reason := _unusable(folder):
                left_out[folder.resolve()] = f"{folder}: {reason}"
            else:
                config: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
                found.setdefault(folder.resolve(), FoundRun(folder, config["action"], config))
    if not found:
        raise DataError("runs: none of them finished with results:\n  " + "\n  ".join(left_out.values()))
    return list(found.values()), list(left_out.values())


def _run_folders(place: Path) -> Iterator[Path]:
    """Folders of runs, not looking inside one for others; those of comparisons, dashboards and mining are none."""
    for folder, inner, files in os.walk(place):
        is_run = "status.json" in files or "metrics.json" in files
        if is_run and read_status(Path(folder)).get("action") not in ("compare", "dashboard", "mine"):
            inner.clear()
            yield Path(folder)
        inner[:] = sorted((name for name in inner if not name.startswith(".")), key=_natural)


def _why_empty(place: Path) -> str:
    if place.is_dir():
        return "holds no run (a folder with status.json)."
    return f"no such folder (from {Path.cwd()}); a sweep is in multirun/DATE/TIME, a run in outputs/DATE/TIME."


def _natural(name: str) -> list[int | str]:
    """Sorts job 2 before job 10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _unusable(folder: Path) -> str:
    """Why a run cannot be compared; empty where it can."""
    status = read_status(folder)
    state = status.get("state", "finished")
    if state != "finished":
        error = str(status.get("error") or "").split("\n")[0]
        return f"{state} ({error})" if error else f"{state}, not finished"
    if not (folder / "config.yaml").exists():
        return "no config.yaml"
    if not (folder / "metrics.json").exists() or (folder / "metrics.json").read_text(encoding="utf-8").strip() == "{}":
        return "not evaluated on anything"
    return ""
