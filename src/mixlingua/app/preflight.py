"""Every problem of a configuration at once, before weights or data are loaded."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixlingua.app.binding import binding_problems, signature_problems
from mixlingua.app.resume import checkpoint_of, translations_of
from mixlingua.app.user_errors import user_error
from mixlingua.errors import MixlinguaError, suggest
from mixlingua.evaluation.averages import AVERAGES
from mixlingua.languages import check_language

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
    "mining.top_k": 1,
    "mining.num_negatives": 1,
    "mining.shard_size": 1,
}
# What is built to see whether its constructor refuses a value or misses a file: nothing that loads weights or data.
_BUILT = (
    "sampler", "augmentation", "model", "adapter", "teacher", "loss.*", "optimizer", "postprocess", "data.sources.*",
    "data.validation_sources.*",
    "evaluation.tasks.*", "translator", "translation",
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
    if "mining" in uses:
        found += _mining_problems(tree["mining"])
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


def _mining_problems(mining: dict[str, Any]) -> Iterator[str]:
    top_k, num_negatives, margin = mining["top_k"], mining["num_negatives"], mining["margin"]
    if isinstance(top_k, int) and isinstance(num_negatives, int) and top_k < num_negatives:
        yield (
            f"mining.top_k={top_k}: mining.num_negatives={num_negatives} cannot be chosen among so few; raise top_k "
            "well above it, since some of the first passages are filtered out."
        )
    numeric = isinstance(margin, int | float) and not isinstance(margin, bool)
    if margin is not None and not (numeric and 0 <= margin <= 2):
        yield f"mining.margin={margin}: a difference of cosines from 0 to 2 is needed, or null for no limit."
    if not isinstance(mining["across_languages"], bool):
        yield f"mining.across_languages={mining['across_languages']}: it is true or false."


def _translation_problems(tree: dict[str, Any]) -> Iterator[str]:
    from mixlingua.app.trainer import num_processes

    if (processes := num_processes(tree["trainer"])) > 1:
        yield (
            f"trainer.devices: {processes} processes, but action=translate uses one device; start a command for each "
            "device, with some of translation.languages and a hydra.run.dir of its own."
        )
    if tree["resume"] is not None and not translations_of(tree["resume"]).is_dir():
        yield f"resume={tree['resume']}: no translations at {translations_of(tree['resume'])}."


def _trainer_problems(tree: dict[str, Any], multirun: bool) -> Iterator[str]:
    from pytorch_lightning import Trainer

    from mixlingua.app.trainer import device_problems, num_processes, starts_itself_again

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
