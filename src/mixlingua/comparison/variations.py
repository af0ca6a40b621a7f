"""Scores over a number in which set-ups differ: the share of monolingual batches, the size of the model or data.

A variation is a set of set-ups that are equal but for one number; a curve shows a task's scores over it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mixlingua.comparison.runs import EvaluatedRun
from mixlingua.comparison.setups import Setup
from mixlingua.errors import ConfigError, suggest
from mixlingua.evaluation.results import SETTINGS
from mixlingua.evaluation.run_folder import RANK_DISTANCE

Systems = Mapping[str, Sequence[EvaluatedRun]]  # by the label of a set-up

# A size is no setting but follows from a choice: the size -> the group that is chosen from.
_SIZES = {"model parameters": "model", "training rows": "data"}


@dataclass(frozen=True)
class Variation:
    """Set-ups that differ in one number. values: label -> the number. name: what they share, for the legend."""

    variable: str
    values: Mapping[str, float]
    name: str


@dataclass(frozen=True)
class Line:
    """One line of a panel. points: the number -> one value for each run."""

    name: str
    points: Mapping[float, Sequence[float]]


@dataclass(frozen=True)
class Panel:
    """One metric in one setting, over the number."""

    setting: str
    metric: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Curve:
    """A task's scores over one number."""

    task: str
    variable: str
    panels: Sequence[Panel]


def curves(
    differing: Sequence[Variation], systems: Systems, tasks: Sequence[str], metric: str | None = None
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
    by_variable: dict[str, list[Variation]] = {}
    for variation in differing:
        by_variable.setdefault(variation.variable, []).append(variation)
    drawn = []
    for variable, members in by_variable.items():
        for task in tasks:
            panels = [
                Panel(key.split("/")[1], key.split("/")[2],
                      [Line(variation.name, _points(variation, systems, key)) for variation in members])
                for key in _keys_drawn(task, systems, metric)
            ]  # fmt: skip
            if panels:
                drawn.append(Curve(task, variable, panels))
    return drawn


def _keys_drawn(task: str, systems: Systems, metric: str | None) -> list[str]:
    """The averages to draw, such as "xquad_r/multilingual/map": those that every run has."""
    runs = [run for members in systems.values() for run in members]
    main = runs[0].provenance["tasks"][task]["main_metric"]
    wanted = [f"{task}/{setting}/{metric or main}" for setting in SETTINGS]
    if metric is None:
        wanted.append(f"{task}/multilingual/{RANK_DISTANCE}")
    return [key for key in wanted if all(key in run.averages for run in runs)]


def _points(variation: Variation, systems: Systems, key: str) -> dict[float, list[float]]:
    """Set-ups with the same number, such as two models of one size, are pooled."""
    points: dict[float, list[float]] = {}
    for label, number in variation.values.items():
        points.setdefault(number, []).extend(run.averages[key] for run in systems[label])
    return dict(sorted(points.items()))


def variations(groups: Sequence[Setup], systems: Systems) -> list[Variation]:
    """Each number in which two or more set-ups differ that say the same otherwise, with those set-ups.

    Numbers are overrides such as sampler.alpha=0.3, and the recorded sizes of the chosen models and training data.
    """
    said = groups[0].said
    by_setups: dict[tuple[str, ...], Variation] = {}
    for key in said:
        values = {group.label: number for group in groups if (number := _number(group.said[key])) is not None}
        for variation in _equal_otherwise(key, values, groups, {key}):
            by_setups.setdefault(tuple(variation.values), variation)
    for variable, group_name in _SIZES.items():
        values = {label: size for label, runs in systems.items() if (size := _size(variable, runs)) is not None}
        choice = {key for key in said if key.split(".")[0] == group_name}
        for variation in _equal_otherwise(variable, values, groups, choice):
            by_setups.setdefault(
                tuple(variation.values), variation
            )  # unless an override, as data.max_rows, sets the size
    return list(by_setups.values())


def _equal_otherwise(
    variable: str, values: Mapping[str, float], groups: Sequence[Setup], free: Collection[str]
) -> Iterator[Variation]:
    """The set-ups with a number in parts that say the same but for free keys; those parts in which it differs."""
    equal: dict[tuple[tuple[str, str], ...], list[Setup]] = {}
    for group in groups:
        if group.label in values:
            shared = tuple((key, value) for key, value in group.overrides.items() if key not in free)
            equal.setdefault(shared, []).append(group)
    for shared, members in equal.items():
        numbers = {group.label: values[group.label] for group in members}
        if len(set(numbers.values())) > 1:
            only_sampler = {key for key, _ in shared} <= {"sampler"}
            name = members[0].sampler if only_sampler else " ".join(f"{key}={value}" for key, value in shared)
            yield Variation(variable, numbers, name)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _size(variable: str, runs: Sequence[EvaluatedRun]) -> float | None:
    """The size that all runs of a set-up recorded."""
    if variable == "model parameters":
        sizes = {run.provenance.get("num_parameters") for run in runs}
    else:
        sizes = {sum(run.provenance.get("num_rows", {}).values()) or None for run in runs}
    (size,) = sizes if len(sizes) == 1 else (None,)
    return None if size is None else float(size)
