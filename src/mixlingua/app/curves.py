"""Which numeric settings the set-ups of a comparison differ in, and the figures over them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixlingua.app.setups import Setup
from mixlingua.errors import ConfigError, suggest
from mixlingua.evaluation.comparison_rows import LOWER_IS_BETTER
from mixlingua.evaluation.evaluated_run import EvaluatedRun
from mixlingua.evaluation.question_values import RANK_DISTANCE
from mixlingua.evaluation.settings import SETTINGS
from mixlingua.report.curve import Line, Panel, save_curve

_PARAMETERS = "model parameters"  # what stands for a model as a number
_NAMES = ("sampler", "model", "data")  # parts that are understood without their key

Systems = Mapping[str, Sequence[EvaluatedRun]]  # by the label of a set-up


@dataclass(frozen=True)
class Curve:
    """One figure: a task over one setting."""

    task: str
    setting: str
    panels: tuple[Panel, ...]

    def save(self, run_dir: Path, confidence: float) -> Path:
        """Write it to run_dir and return its path."""
        path = run_dir / f"curve_{self.task}_{self.setting.replace('.', '_').replace(' ', '_')}.png"
        title = f"{self.task} over {self.setting}"
        save_curve(path, self.panels, title=title, setting=self.setting, confidence=confidence)
        return path


def curves(groups: Sequence[Setup], systems: Systems, tasks: Sequence[str], metric: str | None) -> list[Curve]:
    """A curve for each task and each setting that is a number and has two values or more where all else is equal.

    metric: in every setting that has it; None: each task's main metric, and rank distance. Set-ups that differ in
    something else are lines of their own. Raises ConfigError where no run has the metric.
    """
    known = {name.split("/")[2] for runs in systems.values() for run in runs for name in run.averages}
    if metric is not None and metric not in known:
        raise ConfigError(
            f"comparison.curve_metric={metric}: the runs have {', '.join(sorted(known))}.{suggest(metric, known)}"
        )
    found = []
    for setting, lines in _settings(groups, systems).items():
        for task in tasks:
            panels = tuple(
                Panel(_title(name), [Line(label, _points(points, systems, name)) for label, points in lines.items()])
                for name in _figures(task, systems, metric)
            )
            if panels:
                found.append(Curve(task, setting, panels))
    return found


def _settings(groups: Sequence[Setup], systems: Systems) -> dict[str, dict[str, dict[float, str]]]:
    """Setting -> label of a line -> value of the setting -> label of the set-up; lines of two values or more."""
    found: dict[str, dict[str, dict[float, str]]] = {}
    for group in groups:
        for key, text in group.parts.items():
            value = _number(systems[group.label][0].provenance.get("num_parameters") if key == "model" else text)
            if value is not None:
                setting = _PARAMETERS if key == "model" else key
                found.setdefault(setting, {}).setdefault(_line(group, key), {})[value] = group.label
    lines = {setting: {label: line for label, line in own.items() if len(line) > 1} for setting, own in found.items()}
    return {setting: own for setting, own in lines.items() if own}


def _line(group: Setup, setting: str) -> str:
    """What the set-ups of a line share."""
    rest = {key: text for key, text in group.parts.items() if key != setting}
    return " ".join(text if key in _NAMES else f"{key}={text}" for key, text in rest.items()) or group.sampler


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _figures(task: str, systems: Systems, metric: str | None) -> list[str]:
    """The keys of the averages to draw, such as "xquad_r/multilingual/map"; those that every run has."""
    runs = [run for members in systems.values() for run in members]
    main = runs[0].provenance["tasks"][task]["main_metric"]
    wanted = [f"{task}/{setting}/{metric or main}" for setting in SETTINGS]
    if metric is None:
        wanted.append(f"{task}/multilingual/{RANK_DISTANCE}")
    return [name for name in wanted if all(name in run.averages for run in runs)]


def _points(points: Mapping[float, str], systems: Systems, name: str) -> dict[float, list[float]]:
    return {value: [run.averages[name] for run in systems[label]] for value, label in points.items()}


def _title(name: str) -> str:
    _, setting, metric = name.split("/")
    shown = {"map": "mAP"}.get(metric, metric.replace("_at_", "@").replace("_", " "))
    return f"{setting} {shown} {'↓' if metric in LOWER_IS_BETTER else '↑'}"
