"""Check what was typed after `python run.py` before Hydra sees it: typos are named with the nearest valid name.

Hydra alone reports the first unknown key only, and suggests `+key`, which would add a key that nothing reads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixlingua.app.problems import raise_problems
from mixlingua.errors import suggest

# What holds things by name, each of which may be taken out, as by ~loss.retention.
_NAMED = ("loss", "data.sources", "data.validation_sources", "evaluation.tasks")


def check_command_line(arguments: list[str], conf: Path) -> None:
    """Raise ConfigError with every override that names no group, choice or key, each with its nearest valid name."""
    args = get_args_parser().parse_args(arguments)
    if args.shell_completion or args.hydra_help or args.info:
        return
    multirun = args.multirun or "hydra.mode=MULTIRUN" in args.overrides
    extra = Path(args.config_dir).absolute() if args.config_dir else None
    with initialize_config_dir(str(conf), version_base="1.3"):
        checker = _Checker(conf, extra, args.config_name or "config", multirun)
        raise_problems(checker.problems(args.overrides))


class _Checker:
    def __init__(self, conf: Path, extra: Path | None, config_name: str, multirun: bool) -> None:
        self.conf = conf
        self.extra = extra
        self.config_name = config_name
        self.multirun = multirun
        self.loader: ConfigLoader = GlobalHydra.instance().config_loader()
        self.parser = OverridesParser.create(config_loader=self.loader)
        self.groups = [group for group in self.loader.list_groups("") if group != "hydra"]
        defaults = OmegaConf.load(conf / "config.yaml").defaults
        chosen = [item for entry in defaults if OmegaConf.is_dict(entry) for item in entry.items()]
        self.list_groups = {group for group, choice in chosen if OmegaConf.is_list(choice)}

    def choices(self, group: str) -> list[str]:
        """Sorted choices of a group; none where there is no such group."""
        own = self.loader.get_group_options(group)
        more = [path.stem for path in (self.extra / group).glob("*.yaml")] if self.extra else []
        return sorted({*own, *more})

    def problems(self, overrides: list[str]) -> list[str]:
        found: list[str] = []
        groups: list[Override] = []
        keys: list[Override] = []
        for text in overrides:
            try:
                override = self.parser.parse_override(text)
            except HydraException as error:
                found.append(f"{text}: not of the form key=value ({str(error).splitlines()[0]}).")
                continue
            misuse = self.misuse(override)
            if misuse:
                found.append(f"{text}: {misuse}")
            elif override.key_or_group not in self.groups and not self.choices(override.key_or_group):
                if not override.is_add() and not override.is_force_add():
                    keys.append(override)
            elif bad := list(self.bad_choices(override)):
                found.extend(bad)
            else:
                groups.append(override)
        try:
            trees = dict(self.trees(groups))
        except HydraException as error:
            return [f"{' '.join(str(error).split())}{_plugin_hint(str(error))}"]
        for override in keys:
            if problem := self.key_problem(override, trees):
                found.append(f"{override.input_line}: {problem}")
        return found or self.composition_problem(groups + keys)

    def misuse(self, override: Override) -> str:
        """What is wrong with the form of an override, whatever it names; empty where nothing is."""
        name = override.key_or_group
        if override.is_add() or override.is_force_add():
            if name.startswith("hydra."):
                return ""  # Hydra has settings that it does not declare
            return f"every key is declared, so '+' would only add one that nothing reads; write {_plain(override)}."
        if override.is_delete() and name.rpartition(".")[0] not in _NAMED:
            empty = f"{name}=[]" if name in self.groups else f"{name}=null"
            return f"keys and groups cannot be deleted; write {empty} where it may be empty."
        if override.is_sweep_override() and not self.multirun:
            listed = f"{name}=[{_plain(override).partition('=')[2]}]"
            together = (
                f"for one run with all of them: {listed}" if name in self.list_groups else "where a key takes a list"
            )
            return f"several values need -m (a job for each), or brackets {together}."
        return ""

    def bad_choices(self, override: Override) -> Iterator[str]:
        group, choices = override.key_or_group, self.choices(override.key_or_group)
        for value in _values(override):
            if isinstance(value, list) and group not in self.list_groups:
                yield f"{override.input_line}: {group} takes one choice; -m {group}=A,B runs a job for each."
                return
            if value is None and group in self.list_groups:
                yield f"{group}=null: write {group}=[] for none."
                return
            for choice in value if isinstance(value, list) else [value]:
                if choice is not None and str(choice) not in choices:
                    hint = suggest(str(choice), choices) + _plugin_hint(f"{group}/{choice}")
                    yield f"{group}={choice}: no '{choice}' in conf/{group}; choices: {', '.join(choices)}.{hint}"

    def trees(self, groups: list[Override]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The composed configuration, as plain containers, for every combination of the swept groups, named by it."""
        swept = [[f"{o.key_or_group}={text}" for text in _texts(o)] for o in groups]
        for combination in itertools.product(*swept):
            cfg = compose(self.config_name, [*combination, *self._search_path()], return_hydra_config=True)
            tree: Any = OmegaConf.to_container(cfg, resolve=False)
            yield " ".join(text for text, values in zip(combination, swept, strict=True) if len(values) > 1), tree

    def key_problem(self, override: Override, trees: dict[str, dict[str, Any]]) -> str:
        """Why a key is refused, by the first of the trees that does not have it; empty where all have it."""
        key = override.key_or_group
        for combination, tree in trees.items():
            known = dict(_keys(tree, hydra=key.startswith("hydra.")))
            if key in known:
                inner = known[key]
                if (
                    not override.is_delete()
                    and isinstance(inner, dict)
                    and inner
                    and not all(isinstance(value, dict) for value in _values(override))
                ):
                    return f"'{key}' holds further keys: {', '.join(inner)}; set one of those."
                continue
            parent = max((name for name in known if key.startswith(f"{name}.")), key=len, default="")
            siblings = [name for name in known.get(parent, {}) if not name.startswith("_")] if parent else []
            listed = f" '{parent}' has {', '.join(siblings)}." if siblings else " `--cfg job` prints every key."
            where = f" with {combination}" if combination else ""
            return f"no key or group '{key}'{where}.{_nearest(key, [*known, *self.groups]) or listed}"
        return ""

    def composition_problem(self, overrides: list[Override]) -> list[str]:
        """What Hydra has against the first job, such as a value of a wrong type; a sweeper that optimises nothing."""
        texts = [f"{override.get_key_element()}={next(_texts(override))}" for override in overrides]
        try:
            cfg = compose(self.config_name, [*texts, *self._search_path()], return_hydra_config=True)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            return [" ".join(str(error).split())]
        sweeper = cfg.hydra.sweeper._target_
        if self.multirun and cfg.objective is None and not sweeper.endswith(".BasicSweeper"):
            return [
                f"objective: needs a value, as {sweeper} optimises a figure; name one, such as "
                "objective=atlas/multilingual/map, and its hydra.sweeper.direction."
            ]
        return []

    def _search_path(self) -> list[str]:
        return [f"hydra.searchpath=[file://{self.extra}]"] if self.extra else []


def _plugin_hint(text: str) -> str:
    """Where to get what Hydra finds only once it is installed."""
    return " pip install hydra-optuna-sweeper==1.3.0 brings it." if "hydra/sweeper/optuna" in text else ""


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


def _plain(override: Override) -> str:
    return (override.input_line or "").lstrip("+~")


def _keys(tree: dict[str, Any], hydra: bool) -> Iterator[tuple[str, Any]]:
    """Dotted keys of a nested dictionary, inner ones included, with their values; of Hydra's part, or all but that."""
    for name, value in tree.items():
        if hydra == (name == "hydra"):
            yield from _walk(str(name), value)


def _walk(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    yield key, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _walk(f"{key}.{name}", inner)


def _nearest(key: str, known: list[str]) -> str:
    """A hint: the known key whose last part is nearest; of several, the one that shares most of its beginning."""
    candidates = [name for name in known if not key.startswith(f"{name}.")]
    candidates.sort(key=lambda name: (_shared_parts(key, name), -len(name)))
    by_last = {name.rpartition(".")[2]: name for name in candidates}
    near = get_close_matches(key.rpartition(".")[2], by_last, n=1, cutoff=0.7)
    return f" Did you mean '{by_last[near[0]]}'?" if near else ""


def _shared_parts(key: str, other: str) -> int:
    pairs = zip(key.split("."), other.split("."), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
