"""Set-ups: which runs are replicates of each other, what they are called, and what they are tested against.

Runs that differ in their seed only are one set-up. Its label is what its command line says and those of other set-ups
do not: `status.json` of every run records its overrides.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from mixlingua.comparison.runs import FinishedRun
from mixlingua.errors import ConfigError, suggest
from mixlingua.reading import dotted, within

Settings = Mapping[str, Hashable]

DEFAULT_BASELINE = "hybrid"
NO_SAMPLER = "none"  # the sampler of a model that was only measured
# What the scores of a trained model depend on, but for keys that change where and how a run is computed or written.
_TRAINED = (
    "experiment", "data", "sampler", "augmentation", "model", "adapter", "teacher", "loss", "optimizer", "trainer",
    "checkpoint", "averaging", "postprocess", "evaluation", "callbacks",
)  # fmt: skip
_ASIDE = (
    "data.num_workers", "sampler.max_steps", "sampler.batches_per_step", "checkpoint.every_n_steps",
    "checkpoint.save_model", "evaluation.tasks", "evaluation.average", "evaluation.before", "evaluation.every_n_steps",
    "evaluation.token_budget", "model.pretraining", "model.compile", "model.gradient_checkpointing",
    "model.chunk_size", "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy",
    "trainer.log_every_n_steps", "trainer.deterministic", "trainer.use_distributed_sampler",
)  # fmt: skip
_CHOICES_ASIDE = ("evaluation", "trainer")  # groups whose choice is no difference, while some of their settings are
# What the scores of a model that is only measured depend on, and what those of a fitted postprocess do.
_MEASURED = ("experiment", "model", "evaluation", "postprocess")
_FITTED_TO = ("data.sources", "data.max_rows", "data.validation_fraction")
_FIRST = ("experiment", "sampler", "model", "adapter", "data", "loss", "augmentation", "postprocess")  # in labels


@dataclass(frozen=True)
class Setup:
    """Runs that differ in their seed only.

    model, sampler: as tables name them; the sampler of a model that was only measured is "none". said: key -> value on
    its command line, for keys in which the command lines of the set-ups differ; None where this one has no such key.
    settings: `settings_of`.
    """

    label: str
    model: str
    sampler: str
    said: dict[str, str | None]
    settings: Settings
    runs: tuple[FinishedRun, ...]

    @property
    def overrides(self) -> dict[str, str]:
        """What its command line says."""
        return {key: value for key, value in self.said.items() if value is not None}

    @property
    def names(self) -> set[str]:
        """Every word that means this set-up, perhaps among others."""
        said = self.overrides
        return {self.label, self.model, self.sampler, *said.values(), *(f"{key}={said[key]}" for key in said)}


def setups(runs: Sequence[FinishedRun]) -> tuple[list[Setup], list[str]]:
    """Group runs into set-ups, in order of appearance; a second run with the set-up and seed of another is left out.

    Also a line for each thing that a reader should know: runs left out, settings that differ and are in no label.
    """
    replicates: dict[frozenset[tuple[str, Hashable]], dict[int, FinishedRun]] = {}
    notes = []
    for run in runs:
        by_seed = replicates.setdefault(frozenset(settings_of(run).items()), {})
        seed = run.config["seed"]
        if seed in by_seed:
            notes.append(f"{run.folder} left out: as {by_seed[seed].folder}, with the same seed {seed}.")
        by_seed.setdefault(seed, run)
    groups = [tuple(by_seed.values()) for by_seed in replicates.values()]
    models = _short_names([run.config["model"]["name_or_path"] for run, *_ in groups])
    given = [_overrides_of(run) for run, *_ in groups]
    keys = [key for key in dict.fromkeys(key for overrides in given for key in overrides)
            if len({overrides.get(key) for (run, *_), overrides in zip(groups, given, strict=True)
                    if _matters(key, run)}) > 1]  # fmt: skip
    keys.sort(key=lambda key: ("." in key, _FIRST.index(key) if key in _FIRST else len(_FIRST)))
    labelled = []
    for members, overrides in zip(groups, given, strict=True):
        name = models[members[0].config["model"]["name_or_path"]]
        sampler = _sampler(members[0])
        said = {key: overrides.get(key) for key in keys}
        label = _label(said, name, sampler)
        labelled.append(Setup(label, name, sampler, said, settings_of(members[0]), members))
    found = _told_apart(labelled)
    return found, notes + list(_unsaid(found))


def settings_of(run: FinishedRun) -> Settings:
    """What a run's scores depend on: the values of its configuration by dotted key, and whether it was trained."""
    data_folder = str(run.config["paths"]["data"])
    values = {key: value for key, value in dotted(run.config).items() if _counts(key, run)}
    return {"action": run.action, **{key: _wherever(value, data_folder) for key, value in values.items()}}


def _counts(key: str, run: FinishedRun) -> bool:
    """Whether the scores of a run depend on a key."""
    measured = (*_MEASURED, *(_FITTED_TO if run.config.get("postprocess") else ()))
    return within(key, _TRAINED if run.action == "train" else measured) and not within(key, _ASIDE)


def _wherever(value: Any, data_folder: str) -> Hashable:
    """A value as it compares: a path in the folder of data without that, since data that were moved are the same data.

    A list is one text; an empty mapping is None.
    """
    if isinstance(value, list):
        return ",".join(str(_wherever(part, data_folder)) for part in value)
    if value == {}:
        return None
    inside = isinstance(value, str) and (value == data_folder or value.startswith(f"{data_folder}/"))
    return f"${{paths.data}}{value.removeprefix(data_folder)}" if inside else value


def _overrides_of(run: FinishedRun) -> dict[str, str]:
    """Key -> value of a command line; numbers as the configuration has them, so that 1e-4 is 0.0001."""
    settings = settings_of(run)
    overrides = {}
    for argument in run.overrides:
        key, _, text = argument.lstrip("+~").partition("=")
        if _matters(key, run):
            choice = text.strip("[]'\"").replace(",", "+")
            overrides[key] = str(settings.get(key, choice)) if "." in key else choice
    if "model.name_or_path" in overrides:
        overrides.pop("model", None)  # such as model=folder
    return overrides


def _matters(key: str, run: FinishedRun) -> bool:
    """Whether the scores of a run depend on a key of the command line; the choice of data fills data.sources."""
    return key not in _CHOICES_ASIDE and _counts("data.sources" if key == "data" else key, run)


def _sampler(run: FinishedRun) -> str:
    if run.action != "train":
        return NO_SAMPLER
    return str(run.config["sampler"]["_target_"]).rpartition(".")[2].lower()


def _short_names(models: Sequence[str]) -> dict[str, str]:
    """Hub ids and paths by their last part, where that is clear."""
    short = {name: PurePath(name).name for name in models}
    return short if len(set(short.values())) == len(short) else {name: name for name in short}


def _label(said: Mapping[str, str | None], model: str, sampler: str) -> str:
    """The overrides, the name alone where one choice is all that differs; for a run that says nothing, what it is."""
    given = {key: value for key, value in said.items() if value is not None}
    if not given:
        return model if sampler == NO_SAMPLER else sampler
    if len(said) == 1 and "." not in next(iter(given)):
        return next(iter(given.values()))
    return " ".join(f"{key}={value}" for key, value in given.items())


def _told_apart(groups: Sequence[Setup]) -> list[Setup]:
    """Set-ups whose command lines say the same, such as runs of two versions, are called by their settings as well."""
    labels = []
    for setup in groups:
        same = [other.settings for other in groups if other.label == setup.label]
        differing = [key for key in setup.settings if len({settings.get(key) for settings in same}) > 1]
        labels.append(" ".join([setup.label, *(f"{key}={setup.settings[key]}" for key in differing)]))
    return [replace(setup, label=label) for setup, label in zip(groups, labels, strict=True)]


def _unsaid(groups: Sequence[Setup]) -> Iterator[str]:
    """Settings that differ, are in no label, and follow from no choice in one: a difference may be theirs."""
    said = set(groups[0].said) | {"action"}
    if "experiment" in said:
        return
    chosen = {key for key in said if "." not in key} | ({"model"} if "model.name_or_path" in said else set())
    for key in dict.fromkeys(key for setup in groups for key in setup.settings):
        values = {setup.label: setup.settings[key] for setup in groups if key in setup.settings}
        if len(set(values.values())) > 1 and key not in said and key.split(".")[0] not in chosen:
            listed = ", ".join(f"{value} ({label})" for label, value in values.items())
            yield f"{key} differs along with what is compared: {listed}."


def baselines(groups: Sequence[Setup], wanted: str | None) -> dict[str, str]:
    """Label -> label of its baseline, for all but the baselines themselves.

    wanted: a label, or words of one, such as "hybrid" or "sampler=hybrid model=labse"; None: "hybrid" if that means
    some of the set-ups, else the first. Where several fit, as one for each model, each set-up is tested against the
    one that it shares most with. Raises ConfigError where none fits, all fit, or two are equally near.
    """
    fitting = _fitting(groups, DEFAULT_BASELINE if wanted is None else wanted)
    if wanted is None and len(fitting) in (0, len(groups)):
        fitting = [groups[0]]
    labels = ", ".join(f"'{setup.label}'" for setup in groups)
    if not fitting:
        hint = suggest(str(wanted), {name for setup in groups for name in setup.names})
        raise ConfigError(f"baseline={wanted}: none of the set-ups {labels}.{hint}")
    if len(fitting) == len(groups) > 1:
        raise ConfigError(f"baseline={wanted} fits every set-up; name one of {labels}.")
    return {setup.label: _nearest(setup, fitting).label for setup in groups if setup not in fitting}


def _fitting(groups: Sequence[Setup], wanted: str) -> list[Setup]:
    exact = [setup for setup in groups if setup.label == wanted]
    return exact or [setup for setup in groups if setup.names >= set(wanted.split())]


def _nearest(setup: Setup, fitting: Sequence[Setup]) -> Setup:
    shared = [len(setup.said.items() & candidate.said.items()) for candidate in fitting]
    if shared.count(max(shared)) > 1:
        raise ConfigError(
            f"baseline: '{setup.label}' might be compared with {' or '.join(repr(s.label) for s in fitting)}; name one "
            "by its label, in quotes: 'baseline=\"...\"'."
        )
    return fitting[shared.index(max(shared))]
