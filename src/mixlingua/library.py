"""mixlingua in Python, without Hydra: load an encoder, encode, evaluate it on benchmarks, train it on pairs.

`import mixlingua` offers these names. What they do not cover is in the packages behind them, whose constructors have
the defaults that `python run.py` has.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from reprlib import repr as shown  # of any value, short
from typing import Any

import pytorch_lightning as pl
import yaml
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger
from torch import Tensor

from mixlingua import distributed
from mixlingua.data.batches import view_makers
from mixlingua.data.build import build_store
from mixlingua.data.readers.jsonl import JsonlReader
from mixlingua.data.rows import Reader, Side
from mixlingua.data.tokenizer import sampled_cut
from mixlingua.errors import (
    ConfigError,
    check_choice,
    check_whole,
    raise_problems,
    seed_problems,
    suggest,
    user_error,
)
from mixlingua.evaluation.results import AVERAGES, RANK_DISTANCE, Average, TaskResult, figures_of, without_shares
from mixlingua.evaluation.suite import Task, evaluate_encoder
from mixlingua.files import cache_dir, conf_folder
from mixlingua.languages import check_language
from mixlingua.losses.base import StepLoss, TotalLoss
from mixlingua.losses.infonce import InfoNCE
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder import save_folder
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.report.page import cut_notes
from mixlingua.retrieval.encode import encode, refuse_half_pairs
from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Hybrid, Strategy
from mixlingua.signatures import REQUIRED, TRAINER, needed, signature
from mixlingua.training.callbacks import SeedEachBatch
from mixlingua.training.datamodule import PairDataModule
from mixlingua.training.module import RetrieverModule, Teacher
from mixlingua.training.optimizer import AdamW
from mixlingua.training.processes import trains_in_copies
from mixlingua.training.trainer import build_trainer, clipping_problems

logger = logging.getLogger(__name__)


class Encoder:
    """A bi-encoder with its recipe. module: the torch module, which `train` changes in place."""

    def __init__(self, module: BiEncoder, recipe: PretrainedEncoder) -> None:
        self.module = module
        self.recipe = recipe

    def encode(
        self, texts: str | Sequence[str], side: Side = "query", *, token_budget: int = 2048, precision: str = "32-true"
    ) -> Tensor:
        """(N, D) float32 unit rows on the CPU, one a text; the inner product of a query and a passage is their score.

        side: "query" or "passage", which differ in prefix and length. token_budget: tokens encoded at once. precision:
        as Lightning names it, such as "bf16-mixed", or "int8", which is faster on a CPU. Raises ConfigError for other
        values, DataError for a text with half of a surrogate pair.
        """
        if side not in ("query", "passage"):
            raise ConfigError(f"side={side!r}: it is 'query' or 'passage'.")
        if not isinstance(texts, Iterable):
            raise ConfigError(f"encode({shown(texts)}): a text, or a list of texts, is needed.")
        listed = [texts] if isinstance(texts, str) else list(texts)
        for position, text in enumerate(listed):
            if not isinstance(text, str):
                raise ConfigError(f"encode: text {position} of the list is {shown(text)}; it must be a text.")
        refuse_half_pairs(listed, side)
        return encode(self.module, listed, side, token_budget=token_budget, precision=precision)

    def save(self, folder: str | Path) -> None:
        """Write a sentence-transformers folder, which `load_encoder` and SentenceTransformer load.

        A saved model there is replaced. Raises ConfigError where the folder holds anything else.
        """
        save_folder(self.module, Path(folder))

    def __repr__(self) -> str:
        millions = sum(parameter.numel() for parameter in self.module.parameters()) / 1e6
        return (
            f"Encoder({self.recipe.name_or_path}, {millions:.3g}M parameters, {self.module.embedding_dim} components)"
        )


def load_encoder(name: str | Path, *, seed: int = 0, device: str = "cpu", **options: Any) -> Encoder:
    """An encoder by the name of a recipe (conf/model/NAME.yaml), by its folder, or by its hub id.

    A folder or hub id brings its own pooling, prefixes and lengths. options: arguments of
    `mixlingua.model.pretrained.PretrainedEncoder`, such as max_passage_length=128. seed: of weights that are new.
    Raises ConfigError for an option that it does not take, ModelError for weights that cannot be found or read.
    """
    if not isinstance(name, str | Path):
        raise ConfigError(f"load_encoder({shown(name)}): the name of a recipe, a folder or a hub id is needed.")
    where = f"load_encoder({str(name)!r})"
    raise_problems(seed_problems(seed))
    place = distributed.device_of(device, f"{where}: device")
    recipes = _choices("model")
    if str(name) in recipes:
        arguments = _read("model", str(name)) | options
        del arguments["_target_"]
        if arguments["name_or_path"] == REQUIRED:
            raise ConfigError(f"{where}: give the folder itself, or its hub id.")
    elif isinstance(name, Path) or "/" in name or Path(name).exists():
        arguments = {"name_or_path": str(name)} | options
    else:
        raise ConfigError(
            f"{where}: no such recipe, folder or hub id (owner/name); recipes: "
            f"{', '.join(recipes)}.{suggest(str(name), recipes)}"
        )
    _check_options(f"{PretrainedEncoder.__module__}.{PretrainedEncoder.__qualname__}", where, options)
    recipe = PretrainedEncoder(**arguments)
    module = recipe.load(seed)
    return Encoder(module.to(place), recipe)


def benchmark(name: str, *, data: str | Path = "data", **options: Any) -> Task:
    """A benchmark by its name in conf/evaluation, such as "atlas" or "xquad_r".

    data: the folder of public data sets, looked into before anything is fetched. options: arguments of the benchmark,
    such as benchmark("xquad_r", languages=["de", "en"]). Raises ConfigError for names that are not there, DataError
    for bad files.
    """
    names = _choices("evaluation")
    if name not in names:
        raise ConfigError(f"benchmark({name!r}): it is one of {', '.join(names)}.{suggest(str(name), names)}")
    tree = {"paths": {"data": str(data), "cache": None}, "evaluation": _read("evaluation", name)}
    tasks = OmegaConf.create(tree).evaluation.tasks
    if len(tasks) > 1:
        raise ConfigError(f"benchmark({name!r}): it is several tasks ({', '.join(tasks)}); use action=evaluate.")
    try:
        arguments: Any = OmegaConf.to_container(next(iter(tasks.values())), resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"benchmark({name!r}): it needs a whole configuration; use action=evaluate.") from error
    _check_options(arguments["_target_"], f"benchmark({name!r})", options)
    try:
        return instantiate(arguments | options)
    except InstantiationException as error:
        raise user_error(error) or error from error


class Figures:
    """What an evaluation found. results: one for each task. Prints as a table of its means."""

    def __init__(self, results: Sequence[TaskResult], average: Average) -> None:
        self.results = list(results)
        self.average = average

    def as_dict(self) -> dict[str, float]:
        """Every mean by its key, such as "atlas/multilingual/map"."""
        return figures_of(self.results, self.average)

    def __getitem__(self, key: str) -> float:
        return self.as_dict()[key]

    def __str__(self) -> str:
        mains = {result.task: str(result.provenance["main_metric"]) for result in self.results}
        rows: dict[str, dict[str, float]] = {}
        for key, value in without_shares(self.as_dict()).items():
            task, setting, metric = key.split("/")
            if metric in (*_SHOWN, mains[task]):
                rows.setdefault(f"{task}/{setting}", {})[metric] = value
        columns = dict.fromkeys([*_SHOWN, *mains.values()])
        shown = [metric for metric in columns if any(metric in values for values in rows.values())]
        first = max(map(len, rows), default=0)
        lines = ["  ".join([" " * first, *(f"{metric:>13}" for metric in shown)])]
        for name, values in rows.items():
            cells = (f"{values[metric]:13.4g}" if metric in values else " " * 13 for metric in shown)
            lines.append("  ".join([f"{name:<{first}}", *cells]))
        lines += cut_notes({"tasks": {result.task: result.provenance for result in self.results}})
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__


_SHOWN = ("map", "recall_at_1", "recall_at_10", "ndcg_at_10", RANK_DISTANCE, "f1", "accuracy")


def evaluate(
    encoder: Encoder,
    *tasks: Task,
    average: Average = "macro",
    token_budget: int = 2048,
    precision: str = "32-true",
) -> Figures:
    """The figures of an encoder on one benchmark or several; print them, or ask for one by its key.

    average: "macro" over languages or pairs, which count alike, or "micro" over queries. token_budget, precision: as
    `Encoder.encode` takes them. Raises ConfigError for other values.
    """
    _check_encoder("evaluate", encoder)
    if not tasks:
        raise ConfigError("evaluate: no benchmark is given. Give one or several, such as benchmark('atlas').")
    for task in tasks:
        if not hasattr(task, "name") or not hasattr(task, "main_metric"):
            way = f" Give benchmark({task!r})." if isinstance(task, str) else ""
            way = " Give each by itself: evaluate(encoder, *tasks)." if isinstance(task, list | tuple) else way
            raise ConfigError(f"evaluate: {shown(task)} is no benchmark.{way}")
    check_choice("average", average, AVERAGES)
    return Figures(evaluate_encoder(encoder.module, tasks, token_budget=token_budget, precision=precision), average)


def train(
    encoder: Encoder,
    data: str | Path | Sequence[str | Path] | Mapping[str, str | Path] | Reader | Sequence[Reader],
    *,
    steps: int = 40,
    batch_size: int = 48,
    languages: Sequence[str] | None = None,
    sampler: Strategy | None = None,
    loss: StepLoss | Mapping[str, StepLoss] | None = None,
    optimizer: AdamW | None = None,
    teacher: Encoder | None = None,
    pivot: str = "en",
    max_query_length: int | None = None,
    max_passage_length: int | None = None,
    num_negatives: int = 0,
    seed: int = 0,
    num_workers: int = 0,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
    **trainer: Any,
) -> list[float]:
    """Train an encoder in place on parallel pairs, as `python run.py` does. Returns the loss of each batch, in nats.

    data: a JSONL file of pairs (docs/data.md), several, or one by language; or a reader such as
    `mixlingua.data.readers.squad.SquadReader`, or several.
    steps, batch_size: optimiser steps, and pairs in each. languages: to train on; None: all that the data have.
    sampler: how batches are made; None: `Hybrid()`. loss: one, or several by name; None: `InfoNCE` with the
    temperature of the encoder's recipe. optimizer: None: `AdamW()`. teacher: what losses such as `Distillation` learn
    from; None: the encoder as it is now. pivot: the language in which a teacher reads each row.
    max_query_length, max_passage_length: tokens in training; None: the encoder's own limits. num_negatives: hard
    negatives of each query, which the data must have. seed: decides batches and dropout.
    Texts that are cut are counted, and told in a warning. callbacks, loggers: Lightning's. trainer: further arguments
    of Lightning's Trainer, such as accelerator="gpu" or precision="bf16-mixed"; what is not given is as in
    conf/trainer/cpu.yaml.
    Raises ConfigError for values that cannot work, DataError for bad files, TrainingError where the loss is not finite.
    """
    _check_encoder("train", encoder)
    arguments = {**_read("trainer", "cpu"), "max_steps": steps, **trainer}
    positive = {"steps": steps, "batch_size": batch_size}
    positive["accumulate_grad_batches"] = arguments["accumulate_grad_batches"]
    for name, value in positive.items():
        check_whole(name, value, 1)
    for name, value in {"num_negatives": num_negatives, "num_workers": num_workers}.items():
        check_whole(name, value, 0)
    raise_problems(seed_problems(seed))
    for name, length in {"max_query_length": max_query_length, "max_passage_length": max_passage_length}.items():
        if length is not None:
            check_whole(name, length, 4)
    _check_kind("sampler", sampler, Strategy)
    _check_kind("optimizer", optimizer, AdamW)
    _check_kind("teacher", teacher, Encoder)
    for name, kind, parts in (("callbacks", Callback, callbacks), ("loggers", Logger, loggers)):
        if not isinstance(parts, Iterable) or not all(isinstance(part, kind) for part in parts):
            raise ConfigError(f"train: {name}={shown(parts)}: a list of Lightning's {kind.__name__}s is needed.")
    if languages is not None and (isinstance(languages, str) or not isinstance(languages, Iterable)):
        raise ConfigError(f"train: languages={shown(languages)}: a list of codes is needed, such as ['de', 'en'].")
    for language in languages or ():
        check_language(language, "train: languages")
    check_language(pivot, "train: pivot")
    _check_trainer(trainer)
    raise_problems(clipping_problems(arguments))
    readers = _readers(data)
    stores = [build_store(reader, cache_dir()) for reader in readers]
    chosen = tuple(languages) if languages is not None else tuple(sorted({c for s in stores for c in s.languages}))
    losses = loss if isinstance(loss, Mapping) else {"loss": loss or InfoNCE(temperature=encoder.recipe.temperature)}
    total = TotalLoss(dict(losses))
    reads = None
    if any(view.read_by_teacher for view in total.views):
        reads = Teacher.copy_of(encoder.module) if teacher in (None, encoder) else Teacher(teacher.module)
    elif teacher is not None:
        raise ConfigError(f"train: teacher={teacher}: none of the losses learns from a teacher. Leave it out.")
    lengths = max_query_length, max_passage_length
    tokenizer = encoder.module.tokenizer.limited(*lengths)
    plan = BatchPlan(stores, strategy=sampler or Hybrid(), languages=chosen, batch_size=batch_size, seed=seed)
    for index, store in enumerate(stores):
        for side, cut in sampled_cut(store, tokenizer, chosen, seed=seed, source_index=index).items():
            if note := cut.note(side, sampled=True):
                logger.warning("%s: %s.", store.name, note)
    views = view_makers(
        total.views,
        tokenizer,
        reads.tokenizer.limited(*lengths) if reads else None,
        pivot=pivot,
        languages=chosen,
        seed=seed,
    )
    num_batches = steps * arguments["accumulate_grad_batches"]
    datamodule = PairDataModule(
        plan, tokenizer, num_batches=num_batches, num_negatives=num_negatives, num_workers=num_workers, views=views
    )
    history = _Losses()
    module = RetrieverModule(encoder.module.train(), total, optimizer or AdamW(), reads)
    lightning = build_trainer(arguments, Path.cwd(), [SeedEachBatch(seed), history, *callbacks], loggers)
    if trains_in_copies(lightning.strategy.launcher):
        raise ConfigError(
            f"train: strategy={arguments['strategy']!r}: it trains copies of the encoder in processes of their own. "
            "Use strategy='ddp' in a script, or one device."
        )
    lightning.fit(module, datamodule)
    return history.losses


class _Losses(Callback):
    """Keeps the loss of each batch."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        # What Lightning gives has been divided for the mean over the batches of an optimiser step.
        loss = outputs["loss"] * trainer.accumulate_grad_batches
        self.losses.append(distributed.mean_over_processes(loss).item())


def _readers(data: Any) -> list[Reader]:
    """Raises ConfigError for what is neither files nor readers."""
    listed = list(data.values() if isinstance(data, Mapping) else data if isinstance(data, list | tuple) else [data])
    if listed and all(isinstance(each, str | Path) for each in listed):
        return [JsonlReader(data)]
    for each in listed:
        if isinstance(data, Mapping) or not all(hasattr(each, name) for name in ("name", "fingerprint", "rows")):
            raise ConfigError(
                f"train: {shown(each)} is nothing to train on. Give a JSONL file, a list of files, files by language, "
                "or readers."
            )
    return listed


_OWN = {"max_steps": "steps=N", "logger": "loggers=[...]", "max_epochs": "steps=N: a run is one epoch of so many steps"}


def _check_trainer(arguments: Mapping[str, Any]) -> None:
    """Raise ConfigError for what Lightning's Trainer does not take, or `train` says by other names."""
    for name, value in arguments.items():
        if name in _OWN:
            raise ConfigError(f"train: {name}={shown(value)}: use {_OWN[name]}.")
        if name in AdamW.__dataclass_fields__:
            raise ConfigError(f"train: {name}={shown(value)}: use optimizer=AdamW({name}={shown(value)}).")
    known, own = signature(TRAINER), signature(f"{__name__}.train")
    for name in arguments:
        if known and own and name not in known.defaults:
            near = suggest(name, [*own.defaults, *known.defaults])
            raise ConfigError(f"train: no option '{name}', neither of train nor of Lightning's Trainer.{near}")
    _check_options(TRAINER, "train", arguments)


def _check_options(target: str, where: str, options: Mapping[str, Any]) -> None:
    """Raise ConfigError for an option that a class or function does not take, or a value of another type."""
    known = signature(target)
    if known is None:
        return
    for name, value in options.items():
        if name not in known.defaults and not known.takes_more:
            takes = f"it takes {', '.join(known.defaults) or 'no options'}"
            raise ConfigError(f"{where}: no option '{name}'; {takes}.{suggest(name, known.defaults)}")
        plain = str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        if name in known.annotations and (kind := needed(plain, known.annotations[name])):
            raise ConfigError(f"{where}: {name}={shown(value)}: {kind.replace('null', 'None')} is needed.")


def _check_kind(name: str, part: object, kind: type) -> None:
    if part is not None and not isinstance(part, kind):
        raise ConfigError(f"train: {name}={shown(part)}: an object of {kind.__module__}.{kind.__name__} is needed.")


def _check_encoder(where: str, encoder: object) -> None:
    if not isinstance(encoder, Encoder):
        way = f"; give load_encoder({encoder!r})" if isinstance(encoder, str) else ""
        raise ConfigError(f"{where}: {shown(encoder)} is no encoder of load_encoder{way}.")


def _choices(group: str) -> list[str]:
    return sorted(file.stem for file in (conf_folder() / group).glob("*.yaml"))


def _read(group: str, name: str) -> dict[str, Any]:
    """The content of a choice, with those that its defaults list names below it."""
    content = yaml.safe_load((conf_folder() / group / f"{name}.yaml").read_text(encoding="utf-8"))
    below = [_read(group, other) for other in content.pop("defaults", []) if other != "_self_"]
    merged: Any = OmegaConf.to_container(OmegaConf.merge(*below, content), resolve=False)
    return merged
