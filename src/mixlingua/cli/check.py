"""Every problem of a command line, and of the configuration that it makes, at once and before anything loads.

`check_command_line` looks at names: groups, choices and keys, with the nearest valid one for each that is wrong.
`problems` looks at values: constructors are asked to refuse theirs, and only what concerns several of them stands here.
"""

import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixlingua.cli.command_line import config_groups, default_choices, parsed
from mixlingua.cli.configuration import composer, unknown_keys
from mixlingua.cli.run_record import checkpoint_of, translations_of
from mixlingua.cli.settings import below
from mixlingua.cli.signatures import signature
from mixlingua.errors import problems_of, raise_problems, suggest

# What holds things by name, each of which may be taken out, as by ~loss.retention.
NAMED = ("loss", "data.sources", "data.validation_sources", "evaluation.tasks", "callbacks", "logger")
_SECTIONS = ("data", "evaluation")  # constructors of these check values; what they hold by name is built for itself
_EPOCHS = "a run is one epoch of trainer.max_steps optimiser steps; write trainer.max_steps=N."
_INSTEAD = {"trainer.max_epochs": _EPOCHS, "trainer.min_epochs": _EPOCHS, "trainer.min_steps": _EPOCHS}
_NOT_ADDED = "every key is declared, so '+' would only add one that nothing reads; write {}."
_OPTUNA = " pip install hydra-optuna-sweeper==1.3.0 brings it."


def check_command_line(arguments: Sequence[str]) -> None:
    """Raise ConfigError with every override that names no group, choice or key, each with its nearest valid name."""
    options = parsed(arguments)
    if options.about_hydra is None:
        multirun = options.multirun or "hydra.mode=MULTIRUN" in options.overrides
        with composer(options.config_dir):
            line = _CommandLine(config_groups(options.config_dir), options.config_name, multirun)
            raise_problems(line.problems(options.overrides))


class _CommandLine:
    def __init__(self, groups: dict[str, list[str]], config_name: str, multirun: bool) -> None:
        self.groups = groups
        self.config_name = config_name
        self.multirun = multirun
        self.list_groups = {group for group, choice in default_choices().items() if isinstance(choice, list)}

    def problems(self, texts: Sequence[str]) -> list[str]:
        parser = OverridesParser.create()
        problems: list[str] = []
        choices: list[Override] = []
        keys: list[Override] = []
        for text in texts:
            try:
                override = parser.parse_override(text)
            except HydraException as error:
                problems.append(f"{text}: not of the form key=value ({str(error).splitlines()[0]}).")
                continue
            if misuse := self.misuse(override):
                problems.append(f"{text}: {misuse}")
            elif override.key_or_group.startswith("hydra/"):
                choices.append(override)
            elif override.key_or_group not in self.groups:
                keys.append(override)
            elif wrong := list(self.wrong_choices(override)):
                problems += wrong
            else:
                choices.append(override)
        try:
            trees = dict(self.trees(choices))
        except HydraException as error:
            return [f"{' '.join(str(error).split())}{_OPTUNA if 'hydra/sweeper/optuna' in str(error) else ''}"]
        for override in keys:
            if problem := self.key_problem(override, trees):
                problems.append(f"{override.input_line}: {problem}")
        return problems or self.composition_problems([*choices, *keys])

    def misuse(self, override: Override) -> str:
        """What is wrong with the form of an override, whatever it names; empty where nothing is."""
        name = override.key_or_group
        plain = (override.input_line or "").lstrip("+~")
        if _adds(override) and name in self.groups:
            return _NOT_ADDED.format(plain)
        if override.is_delete() and name.rpartition(".")[0] not in NAMED:
            empty = f"{name}=[]" if name in self.groups else f"{name}=null"
            return f"keys and groups cannot be deleted; write {empty} where it may be empty."
        if override.is_sweep_override() and not self.multirun:
            way = "where a key takes a list"
            if name in self.list_groups:
                way = f"for one run with all of them: {name}=[{plain.partition('=')[2]}]"
            return f"several values need -m (a job for each), or brackets {way}."
        return ""

    def wrong_choices(self, override: Override) -> Iterator[str]:
        group = override.key_or_group
        for value in _values(override):
            if isinstance(value, list) and group not in self.list_groups:
                yield f"{override.input_line}: {group} takes one choice; -m {group}=A,B runs a job for each."
                return
            if value is None and group in self.list_groups:
                yield f"{group}=null: write {group}=[] for none."
                return
            for choice in value if isinstance(value, list) else [value]:
                if choice is not None and str(choice) not in self.groups[group]:
                    known = self.groups[group]
                    yield (
                        f"{group}={choice}: no '{choice}' in conf/{group}; choices: {', '.join(known)}."
                        f"{suggest(str(choice), known)}"
                    )

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
        if _adds(override) and key.startswith("hydra."):
            return ""  # Hydra has settings that it does not declare
        if key in _INSTEAD:
            return _INSTEAD[key]
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
            siblings = [name for name in known[parent] if not name.startswith("_")] if parent else []
            listed = f" '{parent}' has {', '.join(siblings)}." if siblings else " `--cfg job` prints every key."
            where = f" with {combination}" if combination else ""
            return f"no key or group '{key}'{where}.{_nearest(key, [*known, *self.groups]) or listed}"
        return ""

    def composition_problems(self, overrides: Sequence[Override]) -> list[str]:
        """What Hydra has against the first job, such as a value of a wrong type; a sweeper that optimises nothing."""
        first = [f"{override.get_key_element()}={next(_texts(override))}" for override in overrides]
        try:
            cfg = hydra.compose(self.config_name, first, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            return [" ".join(str(error).split())]
        sweeper = cfg.hydra.sweeper._target_
        if self.multirun and cfg.objective is None and not sweeper.endswith(".BasicSweeper"):
            return [
                f"objective: needs a value, as {sweeper} optimises a figure; name one, such as "
                "objective=atlas/multilingual/map, and its hydra.sweeper.direction."
            ]
        return []


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


def problems(cfg: DictConfig, uses: Sequence[str], *, multirun: bool) -> list[str]:
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
    unknown = [problem for part in uses if part in tree for problem in unknown_keys(tree[part], part)]
    return [*unknown, *_together(tree, uses, multirun), *([] if unknown else _refusals(cfg, uses))]


def _together(tree: dict[str, Any], uses: Sequence[str], multirun: bool) -> Iterator[str]:
    """What concerns several parts, or the machine."""
    if tree["action"] in ("compare", "dashboard") and not tree["runs"]:
        yield "runs: needs a value; add runs=multirun/DATE/TIME, a run's folder, or a list: runs=[A,B]."
    if "loss" in uses and not tree["loss"]:
        yield "loss=[]: nothing to train by; choose one or several, such as loss=[infonce,distillation]."
    if tree["action"] == "evaluate" and not tree["evaluation"]["tasks"]:
        yield "evaluation=[]: nothing to measure; choose one or several, such as evaluation=xquad_r."
    if (resume := tree["resume"]) is not None and "data" in uses:
        if tree["action"] == "translate" and not translations_of(resume).is_dir():
            yield f"resume={resume}: no translations at {translations_of(resume)}."
        if tree["action"] != "translate" and not checkpoint_of(resume).is_file():
            yield f"resume={resume}: no checkpoint at {checkpoint_of(resume)}."
    if "sampler" in uses:
        yield from _of_shared_memory(tree["data"])
    if multirun and "logger" in uses and "WANDB_RUN_ID" in os.environ and "wandb" in tree["logger"]:
        yield (
            f"WANDB_RUN_ID={os.environ['WANDB_RUN_ID']} in the environment: all jobs of the sweep would be this one "
            "run of W&B. Take it out (env -u WANDB_RUN_ID), or run one job without -m."
        )
    if "trainer" in uses:
        yield from _of_trainer(tree, uses, multirun)


def _of_shared_memory(data: dict[str, Any]) -> Iterator[str]:
    """Workers hand their batches over in /dev/shm; where it is full they wait for ever, or die of SIGBUS."""
    settings = (data["num_workers"], data["batch_size"])
    if not Path("/dev/shm").is_dir() or not all(isinstance(value, int) and value > 0 for value in settings):
        return
    lengths = sum(data[key] or 512 for key in ("max_query_length", "max_passage_length"))
    # Two batches a worker; ids and mask, 8 bytes each; and as much again for views and negatives.
    needed = 2 * data["num_workers"] * data["batch_size"] * lengths * 16 * 2
    free = shutil.disk_usage("/dev/shm").free
    if needed > free:
        yield (
            f"data.num_workers={data['num_workers']}: batches waiting in /dev/shm may take {needed / 1e6:,.0f} MB, but "
            f"{free / 1e6:,.0f} MB are free there. Use data.num_workers=0, or give the container more "
            "(docker run --shm-size=1g)."
        )


def _of_trainer(tree: dict[str, Any], uses: Sequence[str], multirun: bool) -> Iterator[str]:
    from mixlingua.training.trainer import device_problems, num_processes, starts_itself_again

    trainer = tree["trainer"]
    if known := signature("pytorch_lightning.trainer.trainer.Trainer"):
        for key in trainer:
            if key not in known.defaults:
                yield f"trainer.{key}: pytorch_lightning.Trainer takes no '{key}'.{suggest(key, known.defaults)}"
    if wrong := below("trainer", trainer, max_steps=1, accumulate_grad_batches=1, num_nodes=1):
        yield from wrong
        return
    yield from device_problems(trainer)
    processes = num_processes(trainer)
    batch_size = tree["data"]["batch_size"]
    if "sampler" in uses and isinstance(batch_size, int) and batch_size % processes:
        yield (
            f"data.batch_size={batch_size}: cannot be shared evenly by {processes} processes; "
            f"use {max(batch_size // processes, 1) * processes}."
        )
    if "translation" in uses and processes > 1:
        yield (
            f"trainer.devices: {processes} processes, but action=translate uses one device; start a command for each "
            "device, with some of translation.languages and a hydra.run.dir of its own."
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


def _refusals(cfg: DictConfig, uses: Sequence[str]) -> Iterator[str]:
    """What constructors say against their values: none of them loads weights or data."""
    for part in uses:
        node = cfg.get(part)
        if not isinstance(node, DictConfig) or not node or part == "trainer":
            continue
        if part not in NAMED:
            yield from _refusal(node, part)
        for holder in (name for name in NAMED if name.split(".")[0] == part):
            for name, held in (OmegaConf.select(cfg, holder) or {}).items():
                yield from _refusal(held, f"{holder}.{name}")


def _refusal(node: DictConfig, path: str) -> Iterator[str]:
    group, _, name = path.rpartition(".")
    if "_target_" not in node:
        part = path.split(".")[0]
        how = f"{part}=[...,{name}]), or take them out with '~{path}'" if group else f"{part}=NAME), or leave it out "
        how += "" if group else f"with {part}=none"
        yield f"{path}: settings ({', '.join(node)}) of something that is not chosen. Choose it as well ({how}."
        return
    try:
        get_object(node._target_)
    except Exception as error:
        yield f"{path}._target_: cannot import '{node._target_}' ({error.__cause__ or error})."
        return
    if node.get("_partial_", False) or group in ("logger", "callbacks"):
        return
    try:
        instantiate(node, _recursive_=path not in _SECTIONS)
    except Exception as error:
        for problem in problems_of(error):
            yield problem if problem.startswith(path) else f"{path}: {problem}"
