"""The figures of a comparison over the numbers in which its set-ups differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixlingua.app.setups import Setup
from mixlingua.errors import ConfigError, suggest
from mixlingua.evaluation.comparison_rows import LOWER_IS_BETTER
from mixlingua.evaluation.evaluated_run import EvaluatedRun
from mixlingua.evaluation.question_values import RANK_DISTANCE
from mixlingua.evaluation.settings import SETTINGS
from mixlingua.report.comparison_cells import plain_name, spoken
from mixlingua.report.curve import Line, Panel, save_curve
from mixlingua.report.variation_charts import Variation

Systems = Mapping[str, Sequence[EvaluatedRun]]  # by the label of a set-up


@dataclass(frozen=True)
class Curve:
    """One figure: a task over one number."""

    task: str
    variable: str
    panels: tuple[Panel, ...]

    def save(self, run_dir: Path, confidence: float) -> Path:
        """Write it to run_dir and return its path."""
        path = run_dir / f"curve_{self.task}_{self.variable.replace('.', '_').replace(' ', '_')}.png"
        title = f"{self.task} over {self.variable}"
        save_curve(path, self.panels, title=title, setting=self.variable, confidence=confidence)
        return path


def curves(
    differing: Sequence[Variation], groups: Sequence[Setup], systems: Systems, tasks: Sequence[str], metric: str | None
) -> list[Curve]:
    """A curve for each task and each number in which set-ups differ, with a line for each variation of it.

    metric: in every setting that has it; None: each task's main metric, and rank distance. Raises ConfigError where no
    run has the metric.
    """
    known = {name.split("/")[2] for runs in systems.values() for run in runs for name in run.averages}
    if metric is not None and metric not in known:
        raise ConfigError(
            f"comparison.curve_metric={metric}: the runs have {', '.join(sorted(known))}.{suggest(metric, known)}"
        )
    samplers = {group.label: group.sampler for group in groups}
    lines: dict[str, list[tuple[str, Variation]]] = {}
    for variation in differing:
        sampler = samplers[next(iter(variation.values))]
        label = sampler if variation.fixed in ("", f"sampler={sampler}") else variation.fixed
        lines.setdefault(variation.variable, []).append((label, variation))
    found = []
    for variable, members in lines.items():
        for task in tasks:
            panels = tuple(
                Panel(_title(name), [Line(label, _points(variation, systems, name)) for label, variation in members])
                for name in _figures(task, systems, metric)
            )
            if panels:
                found.append(Curve(task, variable, panels))
    return found


def _figures(task: str, systems: Systems, metric: str | None) -> list[str]:
    """The keys of the averages to draw, such as "xquad_r/multilingual/map"; those that every run has."""
    runs = [run for members in systems.values() for run in members]
    main = runs[0].provenance["tasks"][task]["main_metric"]
    wanted = [f"{task}/{setting}/{metric or main}" for setting in SETTINGS]
    if metric is None:
        wanted.append(f"{task}/multilingual/{RANK_DISTANCE}")
    return [name for name in wanted if all(name in run.averages for run in runs)]


def _points(variation: Variation, systems: Systems, name: str) -> dict[float, list[float]]:
    """Number -> a value for each run; set-ups with the same number, such as two models of one size, are pooled."""
    points: dict[float, list[float]] = {}
    for label, number in variation.values.items():
        points.setdefault(number, []).extend(run.averages[name] for run in systems[label])
    return points


def _title(name: str) -> str:
    _, setting, metric = name.split("/")
    return f"{spoken(setting)} {plain_name(metric)}{' ↓' if metric in LOWER_IS_BETTER else ''}"
