"""Set-ups that differ in one number, for curves over it."""

from collections.abc import Hashable, Iterator, Mapping, Sequence

from mixlingua.app.setups import Settings, Setup, settings_of
from mixlingua.evaluation.evaluated_run import EvaluatedRun
from mixlingua.report.variation_charts import Variation

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
