"""What a reader of a comparison must know of its runs."""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixlingua.comparison.compare import LOWER_IS_BETTER, ComparisonRow, Resampling, family_of
from mixlingua.comparison.runs import EvaluatedRun
from mixlingua.comparison.setups import Settings, Setup, settings_of
from mixlingua.errors import ConfigError, suggest
from mixlingua.evaluation.results import SETTINGS
from mixlingua.evaluation.run_folder import RANK_DISTANCE
from mixlingua.report.figures import Panel, Series, Variation, save_curve
from mixlingua.report.page import plain_name, spoken

# A size is no setting but follows from a choice: variable -> the group that is chosen from.
_SIZES = {"model parameters": "model", "training rows": "data.sources"}
# What never counts as following from such a choice.
_OWN = ("model", "sampler", "data")


def variations(groups: Sequence[Setup], systems: Mapping[str, Sequence[EvaluatedRun]]) -> list[Variation]:
    """Each number in which two or more set-ups differ that are equal otherwise, with those set-ups.

    Numbers are settings such as sampler.alpha, and the sizes of model and training data where the runs recorded them.
    Settings that follow from the choice of a model or of data are named, not held equal.
    """
    settings = {group.label: dict(settings_of(group.runs[0])) for group in groups}
    found = [*_by_setting(settings, groups), *_by_size(settings, groups, systems)]
    first: dict[tuple[tuple[str, float], ...], Variation] = {}
    for variation in found:  # settings that are always equal, as one set by the other, give one curve
        first.setdefault(tuple(sorted(variation.values.items())), variation)
    return list(first.values())


def _by_setting(settings: Mapping[str, Settings], groups: Sequence[Setup]) -> Iterator[Variation]:
    for variable in dict.fromkeys(key for known in settings.values() for key in known):
        values = {label: number for label, known in settings.items()
                  if (number := _number(known.get(variable))) is not None}  # fmt: skip
        same = {key for key in _keys(settings, values) if all(settings[name].get(key) == settings[name][variable]
                                                              for name in values)}  # fmt: skip
        yield from _cut(variable, values, same, [], settings, groups)


def _by_size(
    settings: Mapping[str, Settings], groups: Sequence[Setup], systems: Mapping[str, Sequence[EvaluatedRun]]
) -> Iterator[Variation]:
    for variable, choice in _SIZES.items():
        values = {label: size for label, runs in systems.items() if (size := _size(variable, runs)) is not None}
        own = {key for key in _keys(settings, values) if key == choice.split(".")[0] or key.startswith(f"{choice}.")}
        along = [key for key in _keys(settings, values)
                 if key not in own and key.split(".")[0] not in _OWN and _differs(key, values, settings)
                 and _follows(key, own, values, settings)]  # fmt: skip
        yield from _cut(variable, values, own | set(along), along, settings, groups)


def _cut(
    variable: str,
    values: Mapping[str, float],
    free: set[str],
    along: Sequence[str],
    settings: Mapping[str, Settings],
    groups: Sequence[Setup],
) -> Iterator[Variation]:
    """Parts of the set-ups in which all is equal but what is free; those in which the number differs."""
    held = [key for key in _keys(settings, values) if key not in free and key != variable]
    parts: dict[tuple[Hashable, ...], dict[str, float]] = {}
    for label, value in values.items():
        parts.setdefault(tuple(settings[label].get(key) for key in held), {})[label] = value
    said = {group.label: group.parts for group in groups}
    for part in parts.values():
        if len(set(part.values())) > 1:
            shared = [f"{key}={value}" for key, value in said[next(iter(part))].items() if key in held]
            differing = [key for key in along if _differs(key, part, settings)]
            yield Variation(variable, part, " ".join(shared), differing)


def _keys(settings: Mapping[str, Settings], labels: Mapping[str, float]) -> list[str]:
    return list(dict.fromkeys(key for label in labels for key in settings[label]))


def _differs(key: str, labels: Mapping[str, float], settings: Mapping[str, Settings]) -> bool:
    return len({settings[label].get(key) for label in labels}) > 1


def _follows(key: str, choice: set[str], labels: Mapping[str, float], settings: Mapping[str, Settings]) -> bool:
    """Whether equal choices always come with equal values of the key."""
    chosen = {label: tuple(settings[label].get(name) for name in sorted(choice)) for label in labels}
    return len({(chosen[label], settings[label].get(key)) for label in labels}) == len(set(chosen.values()))


def _number(value: Hashable) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _size(variable: str, runs: Sequence[EvaluatedRun]) -> float | None:
    """The recorded size; None where a run has none, as those of earlier versions."""
    if variable == "model parameters":
        sizes = {run.provenance.get("num_parameters") for run in runs}
    else:
        sizes = {sum(run.provenance.get("num_rows", {}).values()) or None for run in runs}
    (size,) = sizes if len(sizes) == 1 else (None,)
    return None if size is None else float(size)


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
                Panel(_title(name), [Series(label, _points(variation, systems, name)) for label, variation in members])
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


_PROVENANCE = {"step": "Steps trained", "mixlingua": "Versions of mixlingua", "commit": "Commits"}


def comparison_notes(
    groups: Sequence[Setup],
    baselines: Mapping[str, str],
    systems: Mapping[str, Sequence[EvaluatedRun]],
    rows: Sequence[ComparisonRow],
    resampling: Resampling,
) -> list[str]:
    """A sentence each for: nothing to test, seeds, differences in provenance, pretraining, too few resamples."""
    notes = [] if baselines else ["There is one set-up, so that there is nothing to test it against."]
    notes += _seeds(groups)
    for key, what in _PROVENANCE.items():
        values = {label: sorted({str(run.provenance.get(key)) for run in runs}) for label, runs in systems.items()}
        if len({value for found in values.values() for value in found}) > 1:
            notes.append(f"{what} differ: {_listed(values)}.")
    texts = dict.fromkeys(run.provenance.get("pretraining") for runs in systems.values() for run in runs)
    notes += [f"Pretrained weights: {text}." for text in texts if text]
    return notes + list(_resolution(rows, resampling))


def _seeds(groups: Sequence[Setup]) -> Iterator[str]:
    seeds = {group.label: [str(seed) for seed in sorted(run.config["seed"] for run in group.runs)] for group in groups}
    if single := [label for label, values in seeds.items() if len(values) == 1]:
        yield f"One seed only, so no interval over seeds: {', '.join(single)}."
    if len({tuple(values) for values in seeds.values()}) > 1:
        yield f"Seeds are not the same everywhere: {_listed(seeds)}."


def _resolution(rows: Sequence[ComparisonRow], resampling: Resampling) -> Iterator[str]:
    """A table with many tests needs many resamples before anything in it can be significant."""
    tests = max(Counter(family_of(row) for row in rows if row.difference).values(), default=0)
    level = 1 - resampling.confidence
    if tests / (resampling.resamples + 1) >= level:
        yield (
            f"{resampling.resamples:,} resamples are too few for a table with {tests} tests: no corrected p-value "
            f"there can be below {level:.2g}. Give comparison.resamples={round(2 * tests / level)} or more."
        )


def _listed(values: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{label}: {', '.join(found)}" for label, found in values.items())
