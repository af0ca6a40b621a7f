"""Every name on a command line: groups, choices and keys, with the nearest valid one for each that is wrong."""

import itertools
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixlingua.cli.command_line import ACTIONS, config_groups, default_choices, parsed, quoted
from mixlingua.cli.configuration import composer
from mixlingua.errors import ConfigError, first_line, raise_problems, suggest
from mixlingua.signatures import TRAINER, signature

# What holds things by name, each of which may be taken out, as by ~loss.retention.
NAMED = ("loss", "data.sources", "data.validation_sources", "evaluation.tasks", "callbacks", "logger")
_NOT_ADDED = "every key is declared, so '+' would only add one that nothing reads; write {}."
_PLUGINS = {
    "hydra/launcher/joblib": "hydra-joblib-launcher",
    "hydra/launcher/submitit": "hydra-submitit-launcher",
    "hydra/launcher/ray": "hydra-ray-launcher",
}
_STEPS = "a run is one epoch of trainer.max_steps optimiser steps; write trainer.max_steps=N."
_INSTEAD = dict.fromkeys(
    ("epochs", "max_epochs", "num_epochs", "num_train_epochs", "trainer.epochs", "trainer.max_epochs",
     "trainer.min_epochs", "trainer.min_steps", "trainer.limit_train_batches", "trainer.overfit_batches"), _STEPS,
) | {
    "trainer.callbacks": "callbacks are a group: callbacks=[NAME].",
    "trainer.logger": "loggers are a group: logger=[NAME].",
    "trainer.default_root_dir": "a run is written to hydra.run.dir=FOLDER.",
    "trainer.enable_checkpointing": "checkpoint.every_n_steps and checkpoint.save_model say what is saved.",
    "trainer.fast_dev_run": "write trainer.max_steps=2 'evaluation=[]'.",
    "trainer.barebones": "write logger=[] +trainer.enable_progress_bar=false.",
    "trainer.plugins": "trainer.precision and trainer.strategy choose them.",
    "trainer.reload_dataloaders_every_n_epochs": _STEPS,
}  # fmt: skip


def check_command_line(arguments: Sequence[str]) -> bool:
    """Whether the command is a sweep, by -m or by its configuration.

    Raises ConfigError with every override that names no group, choice or key, each with its nearest valid name.
    """
    options = parsed(arguments)
    if options.config_dir is not None and not options.config_dir.is_dir():
        raise ConfigError(f"--config-dir={options.config_dir}: no such folder.")
    multirun = options.multirun or "hydra.mode=MULTIRUN" in options.overrides
    with composer(options.config_dir):
        names = _Names(config_groups(options.config_dir), options.config_name, multirun)
        raise_problems(names.problems(options.overrides))
    return names.multirun


class _Names:
    """multirun: whether the command is a sweep; what the configuration says of it is known after `problems`."""

    def __init__(self, groups: dict[str, list[str]], config_name: str, multirun: bool) -> None:
        self.groups = groups
        self.config_name = config_name
        self.multirun = multirun
        chosen = default_choices()
        self.list_groups = {group for group, choice in chosen.items() if isinstance(choice, list)}
        self.may_be_none = {group for group, choice in chosen.items() if choice is None}
        self.fillers = {group.rpartition("@")[2]: group for group in chosen}  # section -> group, as model@teacher

    def problems(self, texts: Sequence[str]) -> list[str]:
        parser = OverridesParser.create()
        problems: list[str] = []
        choices: list[Override] = []
        keys: list[Override] = []
        for text in texts:
            try:
                override = parser.parse_override(text)
                override.config_loader = GlobalHydra.instance().config_loader()  # which glob(...) asks for choices
            except HydraException as error:
                problems.append(f"{text}: {self.unreadable(text, error)}")
                continue
            group = override.key_or_group
            if misuse := self.misuse(override):
                problems.append(f"{text}: {misuse}")
            elif group in self.groups and (wrong := list(self.wrong_choices(override))):
                problems += wrong
            else:
                (choices if group in self.groups or group.startswith("hydra/") else keys).append(override)
        try:
            trees = dict(self.trees(choices)) if choices or keys else {}
        except HydraException as error:
            package = next((name for choice, name in _PLUGINS.items() if choice in str(error)), None)
            return [*problems, " ".join(str(error).split()) + (f" pip install {package} brings it." if package else "")]
        for override in keys:
            if problem := self.key_problem(override, trees):
                problems.append(f"{override.input_line}: {problem}")
        return problems or self.composition_problems([*choices, *keys])

    def unreadable(self, text: str, error: HydraException) -> str:
        """What to say of an argument that is no override."""
        if "=" in text:
            key, _, value = text.partition("=")
            way = ""
            if value.startswith("~/"):
                way = " Write $HOME in the place of ~."
            elif value[:1] not in ("", *"[{'\"$"):
                way = f' A text with such signs is quoted for the shell and for Hydra: "{key}={quoted(value)}"'
            return f"not of the form key=value ({first_line(error)}).{way}"
        if text in ACTIONS:
            return f"an action is chosen by action={text}."
        return f"not of the form key=value.{suggest(text, ACTIONS) or suggest(text, self.groups)}"

    def misuse(self, override: Override) -> str:
        """What is wrong with the form of an override, whatever it names; empty where nothing is."""
        name = override.key_or_group
        plain = (override.input_line or "").lstrip("+~")
        if _adds(override) and name in self.groups:
            return _NOT_ADDED.format(plain)
        taken_out = override.is_delete() and override.get_key_element().lstrip("~") not in self.may_be_none
        if taken_out and name.rpartition(".")[0] not in NAMED:
            empty = f"{name}=[]" if name in self.groups else f"{name}=null"
            return f"keys and groups cannot be deleted; write {empty} where it may be empty."
        if override.is_sweep_override() and not self.multirun:
            way = "where a key takes a list"
            if name in self.list_groups:
                way = f"for one run with all of them: {name}=[{plain.partition('=')[2]}]"
            return f"several values need -m (a job for each), or brackets {way}."
        if override.is_discrete_sweep() and not list(_values(override)):
            return "it stands for no value at all."
        return ""

    def wrong_choices(self, override: Override) -> Iterator[str]:
        group = override.key_or_group
        known = self.groups[group]
        for value in _values(override):
            if isinstance(value, list) and group not in self.list_groups:
                yield f"{override.input_line}: {group} takes one choice; -m {group}=A,B runs a job for each."
            elif value is None and group in self.list_groups:
                yield f"{group}=null: write {group}=[] for none."
            elif value is None and not override.is_delete():
                yield f"{override.input_line}: null is no choice; choices: {', '.join(known)}."
            elif value is not None:
                chosen = [str(choice) for choice in (value if isinstance(value, list) else [value])]
                for choice in dict.fromkeys(chosen):
                    if chosen.count(choice) > 1:
                        yield f"{override.input_line}: '{choice}' is chosen {chosen.count(choice)} times; name it once."
                    if choice not in known:
                        way = _otherwise(group, choice) or f"choices: {', '.join(known)}.{suggest(choice, known)}"
                        yield f"{override.get_key_element()}={choice}: no '{choice}' in conf/{group}; {way}"

    def trees(self, choices: Sequence[Override]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The composed configuration for every combination of swept choices, named by the combination."""
        swept = [[f"{override.get_key_element()}={text}" for text in _texts(override)] for override in choices]
        for combination in itertools.product(*swept):
            cfg = hydra.compose(self.config_name, list(combination), return_hydra_config=True)
            tree: Any = OmegaConf.to_container(cfg, resolve=False)
            yield " ".join(text for text, values in zip(combination, swept, strict=True) if len(values) > 1), tree

    def key_problem(self, override: Override, trees: dict[str, dict[str, Any]]) -> str:
        """Why a key is refused, by the first of the trees that does not have it; empty where all have it."""
        key = override.key_or_group
        if key in _INSTEAD:
            return _INSTEAD[key]
        if (filler := self.fillers.get(key, key)) != key:
            return f"'{key}' is filled by a choice; write {filler}=NAME."
        if _adds(override) and key.startswith("hydra."):
            return ""  # Hydra has settings that it does not declare
        if _adds(override) and key.startswith("trainer.") and key not in dict(_keys(next(iter(trees.values())))):
            return no_trainer_argument(key.split(".")[1])
        for combination, tree in trees.items():
            known = dict(_keys(tree, hydra=key.startswith("hydra.")))
            if key in known:
                inner = known[key]
                replaced = override.is_delete() or all(isinstance(value, dict) for value in _values(override))
                if isinstance(inner, dict) and inner and not replaced:
                    return f"'{key}' holds further keys: {', '.join(inner)}; set one of those."
                if _adds(override):
                    return _NOT_ADDED.format((override.input_line or "").lstrip("+"))
                continue
            parent = max((name for name in known if key.startswith(f"{name}.")), key=len, default="")
            siblings = [name for name in known.get(parent) or () if not name.startswith("_")]
            listed = f" '{parent}' has {', '.join(siblings)}." if siblings else " `--cfg job` prints every key."
            if parent == "trainer" and not no_trainer_argument(key.split(".")[1]):
                listed = f" Lightning's Trainer has it; add it by '+{override.input_line}'."
                return f"no key '{key}' in conf/trainer.{listed}"
            where = f" with {combination}" if combination else ""
            if parent in self.fillers and not known[parent]:
                return f"nothing is chosen that would have it{where}. Choose it too: {self.fillers[parent]}=NAME."
            group, _, rest = key.partition(".")
            name = rest.removeprefix("sources.").removeprefix("tasks.").partition(".")[0]
            if group in self.list_groups and name in self.groups[group] and parent in (group, *NAMED):
                return f"'{name}' is not chosen{where}. Choose it too, beside the others: {group}=[...,{name}]."
            return f"no key or group '{key}'{where}.{_nearest(key, [*known, *self.groups]) or listed}"
        return ""

    def composition_problems(self, overrides: Sequence[Override]) -> list[str]:
        """What Hydra has against the first job, such as a value of a wrong type; a sweeper that optimises nothing."""
        first = [f"{override.get_key_element()}={next(_texts(override))}" for override in overrides]
        try:
            cfg = hydra.compose(self.config_name, first, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            cause = f" ({first_line(error.__cause__)})" if error.__cause__ else ""
            return [" ".join(str(error).split()) + cause]
        self.multirun = self.multirun or cfg.hydra.mode == RunMode.MULTIRUN
        sweeper = cfg.hydra.sweeper._target_
        if sweeper.endswith(".BasicSweeper"):
            return [
                f"{override.input_line}: a range is for a sweeper that searches, such as hydra/sweeper=optuna. Name "
                f"values: {override.get_key_element()}=A,B."
                for override in overrides
                if override.is_sweep_override() and not override.is_discrete_sweep()
            ]
        if self.multirun and cfg.objective is None:
            return [
                f"objective: needs a value, as {sweeper} optimises a figure; name one, such as "
                "objective=atlas/multilingual/map, and its hydra.sweeper.direction."
            ]
        return []


def _otherwise(group: str, choice: str) -> str:
    """What was probably meant by a choice that is a file, a folder or a hub id."""
    if group == "data" and choice.endswith((".jsonl", ".jsonl.gz")):
        return f"for a file of your own write data=jsonl data.sources.jsonl.path={choice}"
    if group in ("model", "translator") and "/" in choice:
        return f"for a folder or a hub id write {group}=folder {group}.name_or_path={choice}"
    return ""


def no_trainer_argument(key: str) -> str:
    """Why Lightning's Trainer does not take a key; empty where it does."""
    known = signature(TRAINER)
    if known is None or key in known.defaults:
        return ""
    return f"pytorch_lightning.Trainer takes no '{key}'.{suggest(key, known.defaults)}"


def _adds(override: Override) -> bool:
    return override.is_add() or override.is_force_add()


def _values(override: Override) -> Iterator[Any]:
    """Each value of an override: one, or those of a sweep."""
    if override.is_sweep_override() and override.is_discrete_sweep():
        yield from override.sweep_iterator()
    elif not override.is_sweep_override():
        yield override.value()


def _texts(override: Override) -> Iterator[str]:
    """The same, as they would be typed."""
    if override.is_sweep_override() and override.is_discrete_sweep():
        yield from override.sweep_string_iterator()
    elif override.is_sweep_override():
        yield "null"
    else:
        yield override.get_value_element_as_str()


def _keys(tree: dict[str, Any], prefix: str = "", *, hydra: bool = False) -> Iterator[tuple[str, Any]]:
    """Dotted keys of a nested dictionary, inner ones included, with their values; of Hydra's part, or all but that."""
    for name, value in tree.items():
        if prefix or hydra == (name == "hydra"):
            yield f"{prefix}{name}", value
            if isinstance(value, dict):
                yield from _keys(value, f"{prefix}{name}.")


def _nearest(key: str, known: list[str]) -> str:
    """A hint: the known key whose last part is nearest; of several, the one that shares most of its beginning."""
    candidates = [name for name in known if not key.startswith(f"{name}.")]
    candidates.sort(key=lambda name: (_shared(key, name), -len(name)))
    by_last = {name.rpartition(".")[2]: name for name in candidates}
    near = get_close_matches(key.rpartition(".")[2], by_last, n=1, cutoff=0.7)
    return f" Did you mean '{by_last[near[0]]}'?" if near else ""


def _shared(key: str, other: str) -> int:
    """How many parts two dotted keys have in common at their beginning."""
    equal = (mine == theirs for mine, theirs in zip(key.split("."), other.split("."), strict=False))
    return sum(1 for _ in itertools.takewhile(bool, equal))
