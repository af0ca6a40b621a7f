"""From the data configuration to stores and batch plans."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from mixlingua.data.build import build_store
from mixlingua.data.store import ParallelStore
from mixlingua.errors import ConfigError
from mixlingua.files import cache_dir
from mixlingua.sampling.part import rows_of_part
from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Monolingual, Strategy

log = logging.getLogger(__name__)


def open_stores(cfg: DictConfig) -> tuple[list[ParallelStore], list[ParallelStore]]:
    """The training and the validation stores of the chosen sources, converted on first use.

    Of each training source, no more than data.max_rows rows. Validation rows come from data.validation_sources, or else
    from the held-out share of each training source.
    Raises ConfigError where no source is chosen.
    """
    if not cfg.data.sources:
        raise ConfigError("data.sources is empty: choose one or several, such as data=[ntrex,lohelp].")
    cache = Path(cfg.paths.cache) if cfg.paths.cache else cache_dir()
    fraction = cfg.data.validation_fraction
    pairs = [
        build_store(instantiate(source), cache, validation_fraction=fraction) for source in cfg.data.sources.values()
    ]
    train = [
        _limited(train, cfg.data.max_rows, seed=cfg.seed, source=source) for source, (train, _) in enumerate(pairs)
    ]
    if cfg.data.validation_sources:
        return train, [build_store(instantiate(source), cache)[0] for source in cfg.data.validation_sources.values()]
    return train, [validation for _, validation in pairs if validation is not None]


def _limited(store: ParallelStore, max_rows: int | None, *, seed: int, source: int) -> ParallelStore:
    if max_rows is None:
        return store
    if max_rows >= store.num_rows:
        log.warning("data.max_rows=%d: %s has %d rows, and all are used.", max_rows, store.name, store.num_rows)
        return store
    return store.part(rows_of_part(store.num_rows, max_rows, seed=seed, source=source))


def make_plan(
    stores: Sequence[ParallelStore], batch_size: int, seed: int, *, strategy: Strategy, languages: tuple[str, ...]
) -> BatchPlan:
    """The plan of a training or validation pass; at module level, so that spawned processes can be handed it."""
    return BatchPlan(stores, strategy=strategy, languages=languages, batch_size=batch_size, seed=seed)


def plan_makers(cfg: DictConfig) -> tuple[partial[BatchPlan], partial[BatchPlan]]:
    """make_plan for training, with the configured sampler, and for validation, both with the training languages.

    Validation batches are monolingual whichever sampler trains: so the losses of two samplers can be compared, and
    English data alone will do, as in arXiv 2408.10536, section 3.
    """
    languages = tuple(cfg.data.languages)
    training = partial(make_plan, strategy=instantiate(cfg.sampler), languages=languages)
    return training, partial(make_plan, strategy=Monolingual(exponent=1.0), languages=languages)
