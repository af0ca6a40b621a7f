"""Every problem of a configuration at once, before weights or data are loaded."""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixlingua.cli.run_record import checkpoint_of, translations_of
from mixlingua.errors import MixlinguaError, raise_problems, suggest, user_error
from mixlingua.evaluation.results import AVERAGES
from mixlingua.languages import check_language

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


_INSTANTIATE_KEYS = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}


def binding_problems(node: Any, path: str) -> Iterator[str]:
    """Yield what is wrong with each `_target_` in a nested container, named by its dotted key.

    A node with `_partial_: true` is completed by the caller, so that only unknown keys count there.
    """
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield from _target_problems(node, path)
        for key, value in node.items():
            yield from binding_problems(value, f"{path}.{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from binding_problems(value, f"{path}[{index}]")


def signature_problems(target: Callable[..., Any], keys: Iterable[str], path: str, *, complete: bool) -> Iterator[str]:
    """Yield the keys that `target` does not take, and, where `complete`, the ones it needs and does not get."""
    keys = set(keys)
    parameters = inspect.signature(target).parameters
    name = getattr(target, "__qualname__", str(target))
    taken = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for key in sorted(keys - set(taken)):
            hint = suggest(key, taken) or f" It takes {', '.join(taken)}."
            yield f"{path}.{key}: {name} takes no '{key}'.{hint}"
    if complete:
        for key in taken:
            if parameters[key].default is inspect.Parameter.empty and key not in keys:
                yield f"{path}: {name} needs '{key}', which is not set."


def locate(target: str) -> Any:
    """The object that a dotted path names. Raises ImportError or AttributeError."""
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError:  # the path of a method: module.Class.method
        owner, _, class_name = module.rpartition(".")
        if not owner:
            raise
        return getattr(getattr(import_module(owner), class_name), name)


def _target_problems(node: Mapping[str, Any], path: str) -> Iterator[str]:
    try:
        target = locate(node["_target_"])
    except (ImportError, AttributeError) as error:
        yield f"{path}._target_: cannot import '{node['_target_']}' ({error})."
        return
    keys = set(node) - _INSTANTIATE_KEYS
    yield from signature_problems(target, keys, path, complete=not node.get("_partial_", False))


# Least value of the whole numbers that belong to no constructor; null where a key may be empty is not checked.
_LEAST = {
    "data.batch_size": 1,
    "data.max_rows": 1,
    "data.num_negatives": 0,
    "data.validation_batches": 1,
    "data.num_workers": 0,
    "trainer.max_steps": 1,
    "trainer.accumulate_grad_batches": 1,
    "trainer.num_nodes": 1,
    "checkpoint.every_n_steps": 1,
    "checkpoint.patience": 1,
    "evaluation.every_n_steps": 1,
    "evaluation.token_budget": 1,
}
# What is built to see whether its constructor refuses a value or misses a file: nothing that loads weights or data.
_BUILT = (
    "sampler", "augmentation", "model", "adapter", "teacher", "loss.*", "optimizer", "postprocess", "data.sources.*",
    "data.validation_sources.*",
    "evaluation.tasks.*", "translator", "translation", "mining",
)  # fmt: skip


def check(cfg: DictConfig, uses: Sequence[str], *, multirun: bool) -> list[str]:
    """What is wrong with the parts of a configuration that an action uses; empty where nothing is.

    uses: top-level parts such as "data" and "model"; with a postprocess, which is fitted to data, "data" as well.
    """
    if "postprocess" in uses and cfg.postprocess and "data" not in uses:
        uses = (*uses, "data")
    missing = sorted(key for key in OmegaConf.missing_keys(cfg) if key.split(".")[0] in uses)
    if missing:  # what depends on them cannot be judged
        return [f"{key}: needs a value; add {key}=... to the command." for key in missing]
    try:
        tree: Any = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        return [" ".join(str(error).split())]
    tree = {
        key: value for key, value in tree.items() if key in uses or key in ("action", "seed", "resume", "overwrite")
    }
    binding = [problem for part in uses if part in tree for problem in binding_problems(tree[part], part)]
    found = [*binding, *_number_problems(tree)]
    if "loss" in uses and not tree["loss"]:
        found.append("loss=[]: nothing to train by; choose one or several, such as loss=[infonce,distillation].")
    if "trainer" in uses:
        found += _trainer_problems(tree, multirun)
    if "data" in uses:
        found += _data_problems(tree)
    if "translation" in uses:
        found += _translation_problems(tree)
    if "evaluation" in uses:
        found += average_problems(tree["evaluation"]["average"])
    if "evaluation" in uses and tree["action"] == "evaluate" and not tree["evaluation"]["tasks"]:
        found.append("evaluation=[]: nothing to measure; choose one or several, such as evaluation=xquad_r.")
    if not binding:
        found += _refusals(cfg, tree)
    return found


def average_problems(average: object) -> list[str]:
    """What is wrong with evaluation.average."""
    if average in AVERAGES:
        return []
    return [f"evaluation.average={average}: it is one of {', '.join(AVERAGES)}.{suggest(str(average), AVERAGES)}"]


def _number_problems(tree: dict[str, Any]) -> Iterator[str]:
    for key, least in _LEAST.items():
        part, name = key.split(".")
        value = tree.get(part, {}).get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            yield f"{key}={value}: a whole number of {least} or more is needed."


def _data_problems(tree: dict[str, Any]) -> Iterator[str]:
    data = tree["data"]
    if not data["sources"]:
        yield "data=[]: nothing to train on; choose one or several sources, such as data=[ntrex,lohelp]."
    if not data["languages"]:
        yield "data.languages=[]: no language to train on."
    for language in data["languages"]:
        try:
            check_language(language, where="data.languages")
        except MixlinguaError as error:
            yield str(error)
    twice = sorted({language for language in data["languages"] if data["languages"].count(language) > 1})
    if twice:
        yield f"data.languages: {', '.join(twice)} given more than once."
    if tree["resume"] is not None and tree["action"] != "translate" and not checkpoint_of(tree["resume"]).is_file():
        yield f"resume={tree['resume']}: no checkpoint at {checkpoint_of(tree['resume'])}."


def _translation_problems(tree: dict[str, Any]) -> Iterator[str]:
    from mixlingua.training.trainer import num_processes

    if (processes := num_processes(tree["trainer"])) > 1:
        yield (
            f"trainer.devices: {processes} processes, but action=translate uses one device; start a command for each "
            "device, with some of translation.languages and a hydra.run.dir of its own."
        )
    if tree["resume"] is not None and not translations_of(tree["resume"]).is_dir():
        yield f"resume={tree['resume']}: no translations at {translations_of(tree['resume'])}."


def _trainer_problems(tree: dict[str, Any], multirun: bool) -> Iterator[str]:
    from pytorch_lightning import Trainer

    from mixlingua.training.trainer import device_problems, num_processes, starts_itself_again

    trainer = tree["trainer"]
    yield from signature_problems(Trainer, trainer, "trainer", complete=False)
    yield from device_problems(trainer)
    processes = num_processes(trainer)
    batch_size = tree.get("data", {}).get("batch_size")
    if isinstance(batch_size, int) and processes > 1 and batch_size % processes:
        yield (
            f"data.batch_size={batch_size}: cannot be shared evenly by {processes} processes; "
            f"use {max(batch_size // processes, 1) * processes}."
        )
    if multirun and starts_itself_again(trainer):
        yield (
            f"trainer.strategy={trainer['strategy']} under -m: each process would start the command again, and with it "
            "the whole sweep. Use trainer=ddp_spawn, or one process per job (trainer=cpu, trainer=gpu)."
        )
    started_outside = any(name in os.environ for name in ("SLURM_JOB_ID", "TORCHELASTIC_RUN_ID", "MASTER_ADDR"))
    if trainer["num_nodes"] > 1 and not started_outside:
        yield (
            f"trainer.num_nodes={trainer['num_nodes']}: this is no SLURM job; start it with srun, or with torchrun and "
            "hydra.run.dir=FOLDER so that all processes share one run folder."
        )


def _refusals(cfg: DictConfig, tree: dict[str, Any]) -> Iterator[str]:
    """What constructors say against their values."""
    for path in _BUILT:
        group = path.removesuffix(".*")
        if group.split(".")[0] not in tree:
            continue
        names = [f"{group}.{name}" for name in OmegaConf.select(cfg, group)] if group != path else [group]
        for name in names:
            node = OmegaConf.select(cfg, name)
            if not node or node.get("_partial_", False):
                continue
            if "_target_" not in node:
                part, chosen = group.split(".")[0], name.rpartition(".")[2]
                how = f"{part}=[...,{chosen}]), or take them out with '~{name}'"
                if name == group:
                    how = f"{part}=NAME), or leave it out with {part}=none"
                yield (
                    f"{name}: settings ({', '.join(node)}) of something that is not chosen. Choose it as well ({how}."
                )
                continue
            try:
                instantiate(node)
            except Exception as error:
                yield f"{name}: {user_error(error) or error}"
