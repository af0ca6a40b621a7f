"""What a configuration names, opened: the stores of its data sources, and its benchmarks."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from reprlib import repr as shown  # of any value, short

from hydra.utils import instantiate
from omegaconf import DictConfig

from mixlingua.data.build import build_store
from mixlingua.data.groups import apart_from, hold_out
from mixlingua.data.store import ParallelStore
from mixlingua.errors import ConfigError, source_named
from mixlingua.evaluation.results import RANK_DISTANCE
from mixlingua.evaluation.suite import Task, refuse_repeated_names
from mixlingua.files import cache_dir
from mixlingua.sampling.random import random_subset

logger = logging.getLogger(__name__)


def open_stores(cfg: DictConfig) -> tuple[list[ParallelStore], list[ParallelStore]]:
    """The training and the validation stores of the chosen sources, converted on first use.

    Of each training source, no more than data.max_rows rows. Validation rows come from data.validation_sources, without
    those that share a text with a training row, or else from the held-out share of the training sources.
    Raises ConfigError where no source is chosen, DataError where no row is left to validate with.
    """
    if not cfg.data.sources:
        raise ConfigError("data.sources is empty: choose one or several, such as data=[ntrex,tatoeba].")
    cache = cache_dir()
    train, validation = _stores(cfg, "sources", cache), _stores(cfg, "validation_sources", cache)
    held_out: list[ParallelStore] = []
    if cfg.data.validation_fraction:
        divided = hold_out(train, cfg.data.validation_fraction, cache)
        train = [rest for rest, _ in divided]
        held_out = [share for _, share in divided]
    train = [_limited(store, cfg.data.max_rows, seed=cfg.seed, source=source) for source, store in enumerate(train)]
    return train, apart_from(train, validation) if validation else held_out


def _stores(cfg: DictConfig, group: str, cache: Path) -> list[ParallelStore]:
    stores = []
    for name, source in cfg.data[group].items():
        with source_named(f"data.{group}.{name}"):
            stores.append(build_store(instantiate(source), cache))
    return stores


def open_tasks(cfg: DictConfig) -> list[Task]:
    """The chosen benchmarks, of which one choice may be several, such as those of mteb.

    Raises what they raise, such as DataError for files that are missing, and ConfigError for what is no task, and where
    two have one name.
    """
    tasks: list[Task] = []
    for name, choice in cfg.evaluation.tasks.items():
        with source_named(f"evaluation.tasks.{name}.source"):
            made = instantiate(choice)
        made = made if isinstance(made, list) else [made]
        if wrong := [each for each in made if not hasattr(each, "main_metric")]:
            raise ConfigError(
                f"evaluation.tasks.{name}: {choice._target_} gave {shown(wrong[0])}, which is no task. It must return "
                "one, such as mixlingua.evaluation.tasks.RetrievalTask, or a list of them."
            )
        tasks += made
    refuse_repeated_names(tasks)
    return tasks


def check_objective(objective: str | None, tasks: Sequence[Task]) -> None:
    """Raise ConfigError, before a run that takes hours, where its main figures will not have the objective."""
    figures = {f"{task.name}/SETTING/{metric}" for task in tasks for metric in (task.main_metric, RANK_DISTANCE)}
    if objective is not None and re.sub("/[^/]*/", "/SETTING/", objective, count=1) not in figures:
        raise ConfigError(f"objective={objective}: this run will have {', '.join(sorted(figures)) or 'no figures'}.")


def _limited(store: ParallelStore, max_rows: int | None, *, seed: int, source: int) -> ParallelStore:
    if max_rows is None:
        return store
    if max_rows >= store.num_rows:
        logger.warning("data.max_rows=%d: %s has %d rows, and all are used.", max_rows, store.name, store.num_rows)
        return store
    return store.subset(random_subset(store.num_rows, max_rows, seed=seed, source_index=source))
