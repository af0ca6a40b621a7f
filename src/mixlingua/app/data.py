"""From the data configuration to stores and batch plans."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from mixlingua.data.build import build_store
from mixlingua.data.store import ParallelStore
from mixlingua.errors import ConfigError
from mixlingua.files import cache_dir
from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Monolingual, Strategy


def open_stores(cfg: DictConfig) -> tuple[list[ParallelStore], list[ParallelStore]]:
    """The training and the validation stores of the chosen sources, converted on first use.

    Validation rows come from data.validation_sources, or else from the held-out share of each training source.
    Raises ConfigError where no source is chosen.
    """
    if not cfg.data.sources:
        raise ConfigError("data.sources is empty: choose one or several, such as data=[ntrex,lohelp].")
    cache = Path(cfg.paths.cache) if cfg.paths.cache else cache_dir()
    fraction = cfg.data.validation_fraction
    pairs = [
        build_store(instantiate(source), cache, validation_fraction=fraction) for source in cfg.data.sources.values()
    ]
    train = [train for train, _ in pairs]
    if cfg.data.validation_sources:
        return train, [build_store(instantiate(source), cache)[0] for source in cfg.data.validation_sources.values()]
    return train, [validation for _, validation in pairs if validation is not None]


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
