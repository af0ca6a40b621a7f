"""Runs found in folders and read back, and whether they may be compared."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mixlingua.errors import DataError
from mixlingua.evaluation.results import MACRO, Average, aggregate
from mixlingua.evaluation.run_folder import QuestionValues, read_question_values, read_results
from mixlingua.reading import read_status

# Keys of a task's provenance that must be equal; revision and transforms change whenever a score may change.
_SAME_DATA = ("revision", "languages", "num_queries", "num_candidates", "main_metric", "passage_transforms")
_NO_SCORES = ("compare", "dashboard", "mine")  # actions whose folders hold no scores of a model


@dataclass(frozen=True)
class FinishedRun:
    """A run that ended with results. overrides: its command line; config: the content of its config.yaml."""

    folder: Path
    action: str
    overrides: tuple[str, ...]
    config: dict[str, Any]


def find_runs(places: Sequence[str]) -> tuple[list[FinishedRun], list[str]]:
    """The finished runs in places, each a run folder or a folder that holds some at any depth, in natural order.

    Also a line for each run that is left out, with the reason. Raises DataError where a place does not exist or holds
    no run, or no run has finished.
    """
    runs: dict[Path, FinishedRun] = {}
    left_out: dict[Path, str] = {}
    for place in places:
        folders = list(_run_folders(Path(place)))
        if not folders:
            raise DataError(f"runs={place}: {_why_empty(Path(place))}")
        for folder in folders:
            status = read_status(folder)
            if reason := _unusable(folder, status):
                left_out[folder.resolve()] = f"{folder}: {reason}"
            else:
                config = _config(folder)
                overrides = tuple(status.get("overrides", ()))
                runs.setdefault(folder.resolve(), FinishedRun(folder, config["action"], overrides, config))
    if not runs:
        raise DataError("runs: none of them finished with results:\n  " + "\n  ".join(left_out.values()))
    return list(runs.values()), list(left_out.values())


def _run_folders(place: Path) -> Iterator[Path]:
    """Folders of runs that have scores, links followed. Runs inside the folder of another run are not looked for."""
    seen = set()
    for folder, inner, files in os.walk(place, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:  # a link to what was looked through, such as a folder above it
            inner.clear()
            continue
        seen.add(real)
        is_run = "status.json" in files or "metrics.json" in files
        if is_run and read_status(Path(folder)).get("action") not in _NO_SCORES:
            inner.clear()
            yield Path(folder)
        inner[:] = sorted((name for name in inner if not name.startswith(".")), key=_natural)


def _why_empty(place: Path) -> str:
    if place.is_dir():
        return "holds no run (a folder with status.json)."
    return f"no such folder (from {Path.cwd()}); a sweep is in multirun/DATE/TIME, a run in outputs/DATE/TIME."


def _natural(name: str) -> list[int | str]:
    """Sorts job 2 before job 10."""
    return [int(digits) if digits.isdigit() else digits for digits in re.split(r"(\d+)", name)]


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())}). Leave the run out.") from error
    if not isinstance(config, dict) or not isinstance(config.get("action"), str):
        raise DataError(f"{path}: not the configuration of a run, which has an action. Leave the run out.")
    return config


def _unusable(folder: Path, status: Mapping[str, Any]) -> str:
    """Why a run cannot be compared; empty where it can."""
    state = status.get("state", "finished")
    if state != "finished":
        error = str(status.get("error") or "").split("\n")[0]
        return f"{state} ({error})" if error else f"{state}, not finished"
    if not (folder / "config.yaml").exists():
        return "no config.yaml"
    if not (folder / "metrics.json").exists() or (folder / "metrics.json").read_text(encoding="utf-8").strip() == "{}":
        return "not evaluated on anything"
    return ""


@dataclass(frozen=True)
class EvaluatedRun:
    """The scores of a run.

    name: its folder, for messages. provenance: that of report.json. tasks: values per question, by task. averages: by
    key, as in metrics.json, which may have another average.
    """

    name: str
    provenance: Mapping[str, Any]
    tasks: Mapping[str, QuestionValues]
    averages: Mapping[str, float]


def read_run(run_dir: Path, average: Average = MACRO) -> EvaluatedRun:
    """Read a run folder's report and values per question. Raises DataError as `read_results` does.

    average: of its averages, one for all runs that are compared, whatever each of them reported.
    """
    results = read_results(run_dir)
    described = results.provenance.get("tasks", {})
    tasks = {
        task: read_question_values(run_dir, task, described[task]["main_metric"], results.rows)
        for task in dict.fromkeys(row.task for row in results.rows)
    }
    return EvaluatedRun(str(run_dir), results.provenance, tasks, aggregate(results.rows, average))


def common_tasks(runs: Sequence[EvaluatedRun]) -> tuple[list[str], list[str]]:
    """The tasks that every run has, and those that only some have.

    Raises DataError, naming every difference, where there is no common task, or the runs were evaluated on different
    revisions, passage transforms, languages or queries of one.
    """
    every = list(dict.fromkeys(task for run in runs for task in run.tasks))
    common = [task for task in every if all(task in run.tasks for run in runs)]
    if not common:
        listed = "; ".join(f"{run.name} has {', '.join(run.tasks)}" for run in runs)
        raise DataError(f"No task that all runs were evaluated on: {listed}. Name runs that share one: runs=[A,B].")
    problems = [problem for task in common for run in runs[1:] for problem in _differences(task, runs[0], run)]
    if problems:
        raise DataError(
            "These runs were not evaluated on the same data, so their scores do not compare:\n"
            + "\n".join(f"  {problem}" for problem in problems)
            + "\nEvaluate them in the same way (action=evaluate), or name those that were: runs=[A,B]."
        )
    return common, [task for task in every if task not in common]


def _differences(task: str, first: EvaluatedRun, other: EvaluatedRun) -> Iterator[str]:
    ours, theirs = first.provenance["tasks"][task], other.provenance["tasks"][task]
    differing = [name for name in _SAME_DATA if ours.get(name) != theirs.get(name)]
    for name in differing:
        yield (f"{task} {name}: {_short(ours.get(name))} in {first.name}, {_short(theirs.get(name))} in {other.name}")
    if differing:
        return
    left, right = first.tasks[task], other.tasks[task]
    if set(left.cells) != set(right.cells):
        odd = sorted(set(left.cells) ^ set(right.cells))[0]
        yield f"{task}: only one of {first.name} and {other.name} has {' '.join(odd)}"
    elif left.questions != right.questions:
        odd_ones = sorted(set(left.questions) ^ set(right.questions))
        yield f"{task}: {len(odd_ones)} questions are in one of {first.name} and {other.name} only: {_short(odd_ones)}"
    elif not np.array_equal(np.isnan(left.values), np.isnan(right.values)):
        yield f"{task}: {first.name} and {other.name} ask different questions of some pool"


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value[:12])) + (" ..." if len(value) > 12 else "")
    return str(value)
