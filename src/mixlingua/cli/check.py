"""Every problem of a composed configuration, at once and before anything loads.

Constructors are asked to refuse their values. Only what concerns several of them, or the machine, stands here.
"""

import ast
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixlingua.cli.command_line import ACTIONS, Action, parts_of
from mixlingua.cli.configuration import unknown_keys, wrong_type, wrong_types
from mixlingua.cli.names import NAMED, no_trainer_argument
from mixlingua.cli.run_folder import GOES_ON_FROM
from mixlingua.cli.run_record import checkpoint_of, translations_of
from mixlingua.cli.settings import below
from mixlingua.errors import (
    first_line,
    full_errors,
    interruption_of,
    problems_of,
    seed_problems,
    source_named,
    suggest_beside,
)
from mixlingua.reading import dotted, within
from mixlingua.signatures import TRAINER, needed

# What the keys of conf/config.yaml take that belong to no constructor.
PLAIN = {
    **dict.fromkeys(("overwrite", "fair", "dry_run", "private", "keep_teacher_vectors"), "bool"),
    **dict.fromkeys(("action", "to", "paths.data"), "str"),
    **dict.fromkeys(("objective", "resume", "query", "language", "baseline", "run", "repo"), "str | None"),
    **{"paths.cache": "str | None", "seed": "int", "k": "int", "runs": "str | list[str] | None"},
}
_COMMON = ("action", "experiment", "hydra", "objective", "overwrite", "paths", "resume", "seed")  # of every action
_SECTIONS = ("data", "evaluation")  # constructors of these check values; what they hold by name is built for itself


def plain_problems(cfg: DictConfig) -> list[str]:
    """What is wrong with the keys that belong to no constructor. They are needed before anything else is looked at."""
    problems = []
    for key, type_ in PLAIN.items():
        try:
            value: Any = OmegaConf.select(cfg, key)
        except OmegaConfBaseException as error:
            problems.append(f"{key}: {first_line(error)}")
            continue
        value = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        if takes := needed(value, ast.parse(type_, mode="eval").body):
            problems.append(wrong_type(key, value, takes))
    return problems or seed_problems(cfg.seed)


def problems(cfg: DictConfig, action: Action, overrides: Sequence[str] = (), *, multirun: bool = False) -> list[str]:
    """What is wrong with the parts of a configuration that an action uses; empty where nothing is.

    overrides: what was typed; files that are named there and missing, and settings that the action does not read, are
    told at once, before what needs torch is looked at.
    """
    if missing := list(_missing_files(overrides)):
        return missing
    if unread := list(_unread(cfg, action, overrides)):
        return unread
    reads = _reads(cfg, action)
    uses = parts_of(reads)
    try:
        missing = sorted(key for key in OmegaConf.missing_keys(cfg) if key.split(".")[0] in uses)
        if missing:  # what depends on them cannot be judged
            return [f"{key}: needs a value; add {key}=... to the command." for key in missing]
        tree: Any = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        return [" ".join(str(error).split())]
    unknown = [problem for part in uses if part in tree for problem in unknown_keys(tree[part], part)]
    targets = {**tree, "trainer": {"_target_": TRAINER, **tree["trainer"]}}
    types = [problem for part in uses if part in tree for problem in wrong_types(targets[part], part)]
    empty = [said for key, said in action.needs.items() if not OmegaConf.select(cfg, key)]
    found = [*unknown, *types, *empty]
    if not types:
        found += _together(tree, uses, multirun)
    return found if unknown or types else [*found, *_refusals(cfg, reads)]


def _missing_files(overrides: Sequence[str]) -> Iterator[str]:
    """Files and folders that are typed as a value and are not there."""
    for text in overrides:
        key, _, value = text.lstrip("+").partition("=")
        path = Path(value.strip("'\""))
        name = key.rpartition(".")[2]
        # One slash may be a hub id; lists, mappings and interpolations are left to who reads them.
        typed = name in ("path", "folder") or (name == "name_or_path" and (value.count("/") > 1 or value[:1] in "./~"))
        if typed and value not in ("", "null", "???") and not set("[]{},$") & set(value) and not path.exists():
            yield f"{key}={value}: no such file or folder.{suggest_beside(path)}"


def _reads(cfg: DictConfig, action: Action) -> tuple[str, ...]:
    """The parts and single keys that an action reads as it is configured."""
    return (*action.uses, *(key for setting, keys in action.only.items() if _holds(cfg, setting) for key in keys))


def _holds(cfg: DictConfig, setting: str) -> bool:
    key, _, said = setting.partition("=")
    try:
        value: Any = OmegaConf.select(cfg, key)
    except OmegaConfBaseException:
        return True  # a reference to nothing, which is told once the whole is resolved
    return bool(value) if said == "NAME" else value == yaml.safe_load(said)


def _unread(cfg: DictConfig, action: Action, overrides: Sequence[str]) -> Iterator[str]:
    """What is typed and is of no part in use, nor among the keys that such parts refer to by ${...}.

    It would change nothing, and who typed it would believe that it does.
    """
    tree: Any = OmegaConf.to_container(cfg, resolve=False)
    values = dotted(tree)
    parts, read = {*_reads(cfg, action), *action.keys, *_COMMON}, set[str]()
    while found := {key for key in values if within(key, parts)} - read:
        read |= found
        for inside in re.findall(r"\$\{([^}]*)", " ".join(str(values[key]) for key in found)):
            parts.update(re.findall(r"\w[\w.]*", inside))  # in arguments too: ${oc.select:data.pivot}
    for text in overrides:
        name = text.lstrip("+~").partition("=")[0]
        key = name.rpartition("@")[2]  # a group's choice may be put elsewhere, as in model@teacher=labse
        key = next((holder for holder in NAMED if holder.partition(".")[0] == key), key)  # evaluation=NAME adds tasks
        if "/" not in name and not within(key, parts) and not any(within(part, (key,)) for part in parts):
            if setting := next((setting for setting, keys in action.only.items() if within(key, keys)), None):
                yield f"{text}: action={cfg.action} reads it with {setting} alone. Leave it out, or say {setting} too."
                continue
            readers = " or ".join(name for name, other in ACTIONS.items() if within(key, other.may_read))
            yield f"{text}: action={cfg.action} does not read it; it is for action={readers}. Leave it out."


def _together(tree: dict[str, Any], uses: Sequence[str], multirun: bool) -> Iterator[str]:
    """What concerns several parts, or the machine."""
    if (resume := tree["resume"]) is not None:
        if (action := tree["action"]) not in GOES_ON_FROM:
            yield (
                f"resume={resume}: action={action} goes on with nothing; {', '.join(GOES_ON_FROM)} do. Start the "
                "command again. For the model of a run: model=folder model.name_or_path=RUN/model."
            )
        elif action == "translate" and not translations_of(resume).is_dir():
            yield f"resume={resume}: no translations at {translations_of(resume)}."
        elif action == "train" and not checkpoint_of(resume).is_file():
            yield f"resume={resume}: no checkpoint at {checkpoint_of(resume)}."
        elif action in ("encode", "index") and not Path(resume).is_dir():
            yield f"resume={resume}: no such folder."
    patience, data = tree["checkpoint"]["patience"], tree["data"]
    validates = data["validation_fraction"] or data["validation_sources"]
    if tree["action"] == "train" and patience is not None and not validates:
        yield (
            f"checkpoint.patience={patience}: it waits for a lower validation loss, and there is none. Hold rows out "
            "(data.validation_fraction=0.1), or leave it out."
        )
    if tree["action"] == "train" and (interval := tree["trainer"]["val_check_interval"]) is not None and not validates:
        yield (
            f"trainer.val_check_interval={interval}: there is no validation loss. Hold rows out "
            "(data.validation_fraction=0.1), or leave it out; evaluation.every_n_steps=N measures the benchmarks."
        )
    if "callbacks" in uses and "learning_rate" in tree["callbacks"] and not tree["logger"]:
        yield "callbacks.learning_rate: it logs, and there is no logger; choose one (logger=[csv]), or leave it out."
    if multirun and "logger" in uses and "WANDB_RUN_ID" in os.environ and "wandb" in tree["logger"]:
        yield (
            f"WANDB_RUN_ID={os.environ['WANDB_RUN_ID']} in the environment: all jobs of the sweep would be this one "
            "run of W&B. Take it out (env -u WANDB_RUN_ID), or run one job without -m."
        )
    if "trainer" in uses:
        yield from _of_trainer(tree, uses, multirun)


def _of_trainer(tree: dict[str, Any], uses: Sequence[str], multirun: bool) -> Iterator[str]:
    from mixlingua.retrieval.encode import AUTOCAST, PLAIN
    from mixlingua.training.trainer import (
        clipping_problems,
        device_problems,
        num_processes,
        precision_problems,
        starts_itself_again,
    )

    trainer = tree["trainer"]
    for key in trainer:
        if said := no_trainer_argument(key):
            yield f"trainer.{key}: {said}"
    if wrong := below("trainer", trainer, max_steps=1, accumulate_grad_batches=1, num_nodes=1, log_every_n_steps=1):
        yield from wrong
        return
    yield from clipping_problems(trainer)
    yield from precision_problems(trainer["precision"])
    if "evaluation" in uses and (measured := tree["evaluation"]["precision"]) != trainer["precision"]:
        yield from precision_problems(measured, "evaluation")
    converted = "loss" in uses and trainer["precision"] in PLAIN and trainer["strategy"] != "fsdp"
    held = trainer["precision"] if converted else "32-true"  # FSDP gathers whole weights in it
    if "evaluation" in uses and (measured := tree["evaluation"]["precision"]) in PLAIN and measured != held:
        yield (
            f"evaluation.precision={measured}: the weights are held in {held}, and are not converted to be measured or "
            f"to encode. Use {held}, or {' or '.join(AUTOCAST)}; where nothing is said, it is trainer.precision."
        )
    if held != "32-true" and tree["postprocess"]:
        yield f"trainer.precision={held}: layers of a postprocess are in 32-true. Use {' or '.join(AUTOCAST)}."
    if trainer["strategy"] == "fsdp" and "averaging" in uses and tree["averaging"]["ema_decay"] is not None:
        yield "averaging.ema_decay: a moving average is not kept of weights that processes share (trainer=fsdp)."
    batch_size = tree["data"]["batch_size"]
    if "sampler" in uses and batch_size == 1 and (idle := _idle_in_batches_of_one(tree)):
        yield (
            f"data.batch_size=1: there is no passage that a query could be told from, so loss={','.join(idle)} would "
            "learn nothing. Use 2 pairs or more."
        )
    if wrong := device_problems(trainer):  # the rest concerns several processes
        yield from wrong
        return
    processes = num_processes(trainer)
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


def _idle_in_batches_of_one(tree: dict[str, Any]) -> list[str]:
    """The losses that tell a row from the others of its batch, and have none there."""
    data = tree["data"]
    validates = data["validation_fraction"] or data["validation_sources"]
    idle = [".Relational"]  # of the teacher's passages, which hard negatives are not
    if not data["num_negatives"] or validates:
        idle += [".InfoNCE", ".MultiPositive", ".LanguageVariants"]
    return [name for name, loss in tree["loss"].items() if str(loss.get("_target_")).endswith(tuple(idle))]


def _refusals(cfg: DictConfig, reads: Sequence[str]) -> Iterator[str]:
    """What constructors say against their values: none of them loads weights or data.

    reads: parts and single keys; of what a part holds by name, only what is read is built.
    """
    for part in parts_of(reads):
        node = cfg.get(part)
        if not isinstance(node, DictConfig) or not node or part == "trainer":
            continue
        if part not in NAMED:
            yield from _refusal(node, part)
        for holder in (name for name in NAMED if name.split(".")[0] == part and within(name, reads)):
            inside: Any = OmegaConf.select(cfg, holder) or {}
            if loose := [name for name, held in inside.items() if not isinstance(held, DictConfig)]:
                yield (
                    f"{holder}: {', '.join(loose)} stand in it by themselves. A configuration file of such a group "
                    f"begins with the line '# @package {holder}.NAME'."
                )
                continue
            for name, held in inside.items():
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
        _check_reportable(error)
        yield f"{path}._target_: cannot import '{node._target_}' ({error.__cause__ or error})."
        return
    if node.get("_partial_", False) or group == "logger":
        return
    try:
        with source_named(f"{path}.source" if group == "evaluation.tasks" else path):
            instantiate(node, _recursive_=path not in _SECTIONS)
    except Exception as error:
        _check_reportable(error)
        for problem in problems_of(error):
            yield problem if problem.startswith(path) else f"{path}: {problem}"


def _check_reportable(error: Exception) -> None:
    """Raise the interruption during which an error was raised, which is no problem of a value; where tracebacks are
    asked for, the error itself."""
    if interrupted := interruption_of(error):
        raise interrupted from None
    if full_errors():
        raise error
