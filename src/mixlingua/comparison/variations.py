"""Scores over a number in which set-ups differ: the share of monolingual batches, the size of the model or data.

A variation is a set of set-ups that are equal but for one number; a curve shows a task's scores over it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mixlingua.comparison.runs import EvaluatedRun
from mixlingua.comparison.setups import Setup
from mixlingua.errors import ConfigError, suggest
from mixlingua.evaluation.results import RANK_DISTANCE, SETTINGS

Systems = Mapping[str, Sequence[EvaluatedRun]]  # by the label of a set-up

# A size is no setting but follows from a choice: the size -> the group that is chosen from.
_SIZES = {"model parameters": "model", "training rows": "data"}


@dataclass(frozen=True)
class Variation:
    """Set-ups that differ in one number. values: label -> the number. name: what they share, for the legend."""

    variable: str
    values: Mapping[str, float]
    name: str


# The name of a line, and its points: the number -> one value for each run.
Line = tuple[str, Mapping[float, Sequence[float]]]


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
            panels = []
            for key in _keys_drawn(task, systems, metric):
                _, setting, name = key.split("/")
                lines = [(each.name, _points(each, systems, key)) for each in members]
                panels.append(Panel(setting, name, lines))
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
    numbers = {key: {group.label: _number(group.said[key]) for group in groups} for key in groups[0].said}
    numbers |= {size: {label: _size(size, runs) for label, runs in systems.items()} for size in _SIZES}
    by_setups: dict[tuple[str, ...], Variation] = {}
    for variable, values in numbers.items():
        free = {key for key in groups[0].said if key.split(".")[0] == _SIZES.get(variable)} or {variable}
        for variation in _equal_otherwise(variable, values, groups, free):
            by_setups.setdefault(tuple(variation.values), variation)  # a size may follow from an override before it
    return list(by_setups.values())


def _equal_otherwise(
    variable: str, values: Mapping[str, float | None], groups: Sequence[Setup], free: Collection[str]
) -> Iterator[Variation]:
    """The set-ups with a number in parts that say the same but for free keys; those parts in which it differs."""
    equal: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    samplers = {group.label: group.sampler for group in groups}
    for group in groups:
        if (number := values[group.label]) is not None:
            shared = tuple((key, value) for key, value in group.overrides.items() if key not in free)
            equal.setdefault(shared, {})[group.label] = number
    for shared, numbers in equal.items():
        if len(set(numbers.values())) > 1:
            only_sampler = {key for key, _ in shared} <= {"sampler"}
            name = (
                samplers[next(iter(numbers))] if only_sampler else " ".join(f"{key}={value}" for key, value in shared)
            )
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
    return sizes.pop() if len(sizes) == 1 else None
