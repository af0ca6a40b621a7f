"""Which set-up each set-up is tested against."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from mixlingua.comparison.runs import FoundRun
from mixlingua.errors import ConfigError, suggest

# Keys, or beginnings of keys, that change where and how a run is computed, watched or written, not what it learns, and
# those that repeat another.
_ASIDE = (
    "action", "seed", "resume", "overwrite", "paths", "runs", "baseline", "comparison", "mining", "translator",
    "translation", "logger", "data.num_workers", "checkpoint.every_n_steps", "checkpoint.save_model",
    "evaluation.tasks", "evaluation.average",
    "evaluation.before", "evaluation.every_n_steps", "evaluation.token_budget", "model.pretraining", "model.compile",
    "model.gradient_checkpointing", "model.chunk_size", "sampler.max_steps", "sampler.batches_per_step",
    "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.log_every_n_steps",
    "trainer.deterministic", "trainer.use_distributed_sampler",
)  # fmt: skip
# What a label always says where it differs, in this order; the first seven stand for the choice of a group.
_SAMPLER, _MODEL, _ADAPTER, _DATA, _LOSS = "sampler", "model", "adapter", "data", "loss"
_AUGMENTATION, _POSTPROCESS = "augmentation", "postprocess"
_ALWAYS = (
    _SAMPLER, _MODEL, _ADAPTER, _DATA, _LOSS, _AUGMENTATION, _POSTPROCESS, "trainer.max_steps", "data.batch_size",
)  # fmt: skip
_NEVER_NOTED = (_SAMPLER, _MODEL, _DATA, _LOSS, _POSTPROCESS)  # where they differ, the label says enough
_ALL_SAID = 3  # set-ups; of more, labels say what differs from the common one, where there is one
NO_SAMPLER = "none"  # a model that was not trained
NO_POSTPROCESS = "none"
_NO_ADAPTER = "none"
# What a model that was not trained owes its data to: a postprocess is fitted to them.
_FITTED_TO = ("data.sources.", "data.max_rows", "data.validation_fraction")
# Keys whose value the name of a choice says already.
_SAID_BY_NAME = (
    "model.name_or_path", "sampler._target_", "augmentation._target_", "augmentation.variant", "postprocess._target_",
    "adapter._target_",
)  # fmt: skip

Settings = dict[str, Hashable]


@dataclass(frozen=True)
class Setup:
    """Runs that differ by their seed only. parts: what sets it apart from the other set-ups, by key."""

    label: str
    model: str
    sampler: str
    parts: dict[str, str]
    runs: tuple[FoundRun, ...]

    @property
    def names(self) -> set[str]:
        """Every word that means this set-up, perhaps among others."""
        return {self.label, self.model, self.sampler, *self.parts.values()} | {
            f"{k}={v}" for k, v in self.parts.items()
        }


def setups(runs: Sequence[FoundRun]) -> tuple[list[Setup], list[str]]:
    """Group runs, in order of appearance; a second run with the set-up and seed of another is left out.

    Also a line for each thing that a reader should know: runs left out, settings that differ along with the labels.
    """
    settings = [dict(settings_of(run)) for run in runs]
    differing = [key for key in _ordered(settings) if _differs(key, settings)]
    chosen = _distinguishing(differing, settings)
    models = _short_names({str(known[_MODEL]) for known in settings})
    groups: dict[tuple[Hashable, ...], list[int]] = {}
    for index, known in enumerate(settings):
        groups.setdefault(tuple(known.get(key) for key in chosen), []).append(index)
    parts_of = [_parts(settings[members[0]], chosen, models) for members in groups.values()]
    labels = _labels(parts_of, chosen)
    found, notes = [], []
    for label, parts, members in zip(labels, parts_of, groups.values(), strict=True):
        known = settings[members[0]]
        by_seed: dict[int, FoundRun] = {}
        for index in members:
            if (seed := runs[index].config["seed"]) in by_seed:
                notes.append(f"{runs[index].folder} left out: as {by_seed[seed].folder}, with the same seed {seed}.")
            by_seed.setdefault(seed, runs[index])
        model, sampler = models[str(known[_MODEL])], str(known[_SAMPLER])
        label = label or (model if sampler == NO_SAMPLER else sampler)
        found.append(Setup(label, model, sampler, parts, tuple(by_seed.values())))
    return found, notes + list(_unsaid(differing, chosen, found))


def _parts(known: Settings, chosen: Sequence[str], models: Mapping[str, str]) -> dict[str, str]:
    return {key: models[str(known[key])] if key == _MODEL else str(known[key]) for key in chosen if key in known}


def _labels(parts_of: Sequence[dict[str, str]], chosen: Sequence[str]) -> list[str]:
    """What is said of each set-up; empty where nothing is to be said of it.

    Where most of them share a value of every key, and one has all of these, as in an ablation, it is the common one,
    and the others are called by what they have in place of its values.
    """
    if len(chosen) == 1 and chosen[0] in (_SAMPLER, _MODEL, _DATA, _LOSS):
        return [parts[chosen[0]] for parts in parts_of]
    full = [" ".join(f"{key}={value}" for key, value in parts.items()) for parts in parts_of]
    counts = {key: Counter(parts.get(key) for parts in parts_of).most_common(1)[0] for key in chosen}
    common = {key: value for key, (value, count) in counts.items() if 2 * count > len(parts_of)}
    if len(parts_of) <= _ALL_SAID or len(common) < len(chosen):
        return full
    short = [" ".join(f"{k}={v}" for k, v in parts.items() if v != common[k]) for parts in parts_of]
    return short if "" in short and len(set(short)) == len(short) else full


def settings_of(run: FoundRun) -> Iterator[tuple[str, Hashable]]:
    """What a run's scores depend on, by dotted key; the choices of groups by their names."""
    data_folder = str(run.config["paths"]["data"])
    trained = run.action == "train"
    postprocess = run.config.get(_POSTPROCESS)  # runs of earlier versions have none
    yield _MODEL, run.config["model"]["name_or_path"]
    yield _SAMPLER, _choice(run.config["sampler"]) if trained else NO_SAMPLER
    yield _POSTPROCESS, _choice(postprocess) if postprocess else NO_POSTPROCESS
    if trained:
        adapter = run.config.get(_ADAPTER)  # as with a postprocess
        yield _ADAPTER, _choice(adapter) if adapter else _NO_ADAPTER
        yield _DATA, "+".join(run.config["data"]["sources"])
        if losses := run.config.get(_LOSS):  # as with a postprocess
            yield _LOSS, "+".join(losses)
        yield _AUGMENTATION, _augmentation(run.config.get("augmentation"))
    elif postprocess:
        yield "postprocess.data", "+".join(run.config["data"]["sources"])
    untrained = ("model.", "evaluation.", *(("postprocess.", *_FITTED_TO) if postprocess else ()))
    for key, value in _leaves(run.config):
        aside = any(key == name or key.startswith(f"{name}.") for name in _ASIDE)
        if aside or key in _SAID_BY_NAME or (key.startswith("loss.") and key.endswith("._target_")):
            continue
        if trained or key.startswith(untrained):
            yield key, value.replace(data_folder, "${paths.data}") if isinstance(value, str) else value


def _augmentation(node: Mapping[str, Any] | None) -> str:
    """The choice, such as "codeswitch_bilingual"; runs of versions that knew no augmentation had none."""
    return f"{node['_target_'].rpartition('.')[2].lower()}_{node['variant']}" if node else "none"


def _choice(node: Mapping[str, Any]) -> str:
    name: str = node["_target_"].rpartition(".")[2].lower()
    return name


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Hashable]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", ",".join(map(str, value)) if isinstance(value, list) else value


def _ordered(settings: Iterable[Settings]) -> list[str]:
    """All keys: names of choices first, then what belongs to them, then the rest."""
    keys = dict.fromkeys(key for known in settings for key in known)
    inner = [key for key in keys if key.startswith(("sampler.", "model.", "loss.", "postprocess.", "data.sources."))]
    return list(dict.fromkeys([*(key for key in _ALWAYS if key in keys), *inner, *keys]))


def _differs(key: str, settings: Sequence[Settings]) -> bool:
    """Whether two runs have different values; to have none is different where the sampler is the same."""
    having = {known[key] for known in settings if key in known}
    by_sampler = {(known.get(_SAMPLER), known.get(key)) for known in settings}
    return len(having) > 1 or len(by_sampler) > len({sampler for sampler, _ in by_sampler})


def _distinguishing(differing: Sequence[str], settings: Sequence[Settings]) -> list[str]:
    """The keys of a label: those that are always said, and each that sets runs apart that the ones before do not."""
    chosen: list[str] = []
    for key in differing:
        apart = {tuple(known.get(name) for name in chosen) for known in settings}
        further = {tuple(known.get(name) for name in (*chosen, key)) for known in settings}
        if key in _ALWAYS or len(further) > len(apart):
            chosen.append(key)
    return chosen


def _unsaid(differing: Sequence[str], chosen: Sequence[str], found: Sequence[Setup]) -> Iterator[str]:
    """Settings that differ along with the label, so that a difference in scores may be theirs."""
    settings = [dict(settings_of(setup.runs[0])) for setup in found]
    for key in differing:
        values = {setup.label: known[key] for setup, known in zip(found, settings, strict=True) if key in known}
        said = key in _NEVER_NOTED or (key in chosen and (key not in _ALWAYS or len(chosen) == 1))
        if not said and not key.startswith("model.") and len(set(values.values())) > 1:
            listed = ", ".join(f"{value} ({label})" for label, value in values.items())
            yield f"{key} differs along with what is compared: {listed}."


def _short_names(models: set[str]) -> dict[str, str]:
    """Hub ids without their owner, where that is clear."""
    short = {name: PurePath(name).name for name in models}
    return short if len(set(short.values())) == len(models) else {name: name for name in models}


DEFAULT = "hybrid"


def baselines(found: Sequence[Setup], wanted: str | None) -> dict[str, str]:
    """Label -> label of its baseline, for all but the baselines themselves.

    wanted: a label, or words of one, such as "hybrid" or "sampler=hybrid model=labse"; None: "hybrid" if that means
    some of the set-ups, else the first. Where several fit, as one for each model, each set-up is tested against the
    one that it shares most with. Raises ConfigError where none fits, all fit, or two are equally near.
    """
    fitting = _fitting(found, DEFAULT if wanted is None else wanted)
    if wanted is None and len(fitting) in (0, len(found)):
        fitting = [found[0]]
    labels = ", ".join(f"'{setup.label}'" for setup in found)
    if not fitting:
        hint = suggest(str(wanted), {name for setup in found for name in setup.names})
        raise ConfigError(f"baseline={wanted}: none of the set-ups {labels}.{hint}")
    if len(fitting) == len(found) > 1:
        raise ConfigError(f"baseline={wanted} fits every set-up; name one of {labels}.")
    return {setup.label: _nearest(setup, fitting).label for setup in found if setup not in fitting}


def _fitting(found: Sequence[Setup], wanted: str) -> list[Setup]:
    exact = [setup for setup in found if setup.label == wanted]
    return exact or [setup for setup in found if setup.names >= set(wanted.split())]


def _nearest(setup: Setup, fitting: Sequence[Setup]) -> Setup:
    shared = [len(setup.parts.items() & candidate.parts.items()) for candidate in fitting]
    if shared.count(max(shared)) > 1:
        raise ConfigError(
            f"baseline: '{setup.label}' might be compared with {' or '.join(repr(s.label) for s in fitting)}; name one "
            "by its label, in quotes: 'baseline=\"...\"'."
        )
    return fitting[shared.index(max(shared))]
