"""action=train: measure, train, measure again; leave a run folder."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer

from mixlingua import distributed
from mixlingua.cli.run_record import checkpoint_of, run_loggers, training_provenance
from mixlingua.cli.show import announce_training, show_outcome
from mixlingua.data.batches import view_makers
from mixlingua.data.build import build_store
from mixlingua.data.datamodule import PairDataModule
from mixlingua.data.store import ParallelStore
from mixlingua.errors import ConfigError
from mixlingua.files import cache_dir
from mixlingua.losses.base import TotalLoss
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.lora import MergeAdapters
from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.random import random_subset
from mixlingua.sampling.strategies import Monolingual
from mixlingua.training.callbacks import (
    BatchMix,
    Postprocessing,
    SeedEachBatch,
    StartShare,
    ZeroShotEvaluation,
    moving_average,
)
from mixlingua.training.checkpoints import check_resumable, checkpoint_callbacks, take_over
from mixlingua.training.module import RetrieverModule, Teacher
from mixlingua.training.trainer import build_trainer

logger = logging.getLogger(__name__)


def open_stores(cfg: DictConfig) -> tuple[list[ParallelStore], list[ParallelStore]]:
    """The training and the validation stores of the chosen sources, converted on first use.

    Of each training source, no more than data.max_rows rows. Validation rows come from data.validation_sources, or else
    from the held-out share of each training source.
    Raises ConfigError where no source is chosen.
    """
    if not cfg.data.sources:
        raise ConfigError("data.sources is empty: choose one or several, such as data=[ntrex,tatoeba].")
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
        logger.warning("data.max_rows=%d: %s has %d rows, and all are used.", max_rows, store.name, store.num_rows)
        return store
    return store.subset(random_subset(store.num_rows, max_rows, seed=seed, source_index=source))


def make_plans(
    cfg: DictConfig, stores: Sequence[ParallelStore], validation_stores: Sequence[ParallelStore]
) -> tuple[BatchPlan[ParallelStore], BatchPlan[ParallelStore] | None]:
    """The plans of training, with the configured sampler, and of validation, None where there is no validation.

    Validation batches are monolingual whichever sampler trains: so the losses of two samplers can be compared, and
    English data alone will do, as in arXiv 2408.10536, section 3.
    """
    plan_of = partial(BatchPlan, languages=tuple(cfg.data.languages), batch_size=cfg.data.batch_size, seed=cfg.seed)
    validates = validation_stores and cfg.data.validation_batches
    return (
        plan_of(stores, strategy=instantiate(cfg.sampler)),
        plan_of(validation_stores, strategy=Monolingual()) if validates else None,
    )


def build_loss(cfg: DictConfig) -> TotalLoss:
    """The weighted sum of the chosen losses. Raises ConfigError where none is chosen."""
    return TotalLoss({name: instantiate(loss) for name, loss in cfg.loss.items()})


def build_teacher(cfg: DictConfig, loss: TotalLoss, encoder: BiEncoder) -> Teacher | None:
    """The configured teacher, or else the encoder as it is now; None where no loss asks for one."""
    if not any(view.read_by_teacher for view in loss.views):
        return None
    if cfg.teacher is None:
        return Teacher.copy_of(encoder)
    return Teacher(instantiate(cfg.teacher).load(cfg.seed))


def averages(cfg: DictConfig) -> list[Callback]:
    """What keeps an average of the weights while they are trained."""
    return [moving_average(cfg.averaging.ema_decay)] if cfg.averaging.ema_decay is not None else []


def finishers(cfg: DictConfig, module: RetrieverModule, stores: Sequence[ParallelStore]) -> list[Callback]:
    """What changes the encoder after the last step, in order: adapters are merged, a share of its start, a postprocess.

    module: as it starts, before it has adapters and before any checkpoint is loaded. Raises DataError where there will
    be too little text for the postprocess, ConfigError for a share that is none.
    """
    callbacks: list[Callback] = [MergeAdapters(cfg.adapter.alpha)] if cfg.adapter else []
    if cfg.averaging.start_share != 0:
        callbacks.append(StartShare(module, cfg.averaging.start_share))
    if cfg.postprocess:
        method = instantiate(cfg.postprocess)
        method.check(stores)
        budget, precision = cfg.evaluation.token_budget, cfg.evaluation.precision
        callbacks.append(Postprocessing(method, stores, seed=cfg.seed, token_budget=budget, precision=precision))
    return callbacks


class EndWithoutSteps(Callback):
    """Ends a training that is resumed and has no step left, as of a run that was stopped while it was measured.

    Lightning does nothing there. callbacks: those that end training, in their order.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = list(callbacks)
        self._ended = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Steps were left, and Lightning has told the others."""
        self._ended = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the others where Lightning has not, on every rank; not where a training came to nothing."""
        if not self._ended and trainer.global_step >= trainer.max_steps:
            logger.info("no step left of %d: the resumed run is finished and measured", trainer.global_step)
            for callback in self.callbacks:
                callback.on_train_end(trainer, pl_module)


def train(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Train as configured and write the run folder. Returns the averaged metrics after training."""
    stores, validation_stores = open_stores(cfg)
    plan, validation_plan = make_plans(cfg, stores, validation_stores)
    augmentation = instantiate(cfg.augmentation).load(cfg.seed) if cfg.augmentation else None
    tasks = [instantiate(task) for task in cfg.evaluation.tasks.values()]
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    encoder = instantiate(cfg.model).load(cfg.seed)
    loss = build_loss(cfg)
    teacher = build_teacher(cfg, loss, encoder)
    module = RetrieverModule(encoder, loss, instantiate(cfg.optimizer), teacher)
    provenance = training_provenance(cfg, encoder, stores, augmentation)
    finishing = finishers(cfg, module, stores)
    if cfg.adapter:  # what comes before it is of the model as it is without
        instantiate(cfg.adapter).attach(encoder, cfg.seed)
    resume = checkpoint_of(cfg.resume) if cfg.resume else None
    if resume is not None:
        check_resumable(resume, module)
    lengths = cfg.data.max_query_length, cfg.data.max_passage_length
    tokenizer = encoder.tokenizer.limited(*lengths)
    views = view_makers(
        loss.views,
        tokenizer,
        teacher.tokenizer.limited(*lengths) if teacher else None,
        pivot=cfg.data.pivot,
        languages=cfg.data.languages,
        seed=cfg.seed,
    )
    datamodule = PairDataModule(
        plan,
        tokenizer,
        num_batches=cfg.trainer.max_steps * cfg.trainer.accumulate_grad_batches,
        validation_plan=validation_plan,
        num_validation_batches=cfg.data.validation_batches,
        num_negatives=cfg.data.num_negatives,
        num_workers=cfg.data.num_workers,
        views=views,
        augmentation=augmentation,
    )
    callbacks = checkpoint_callbacks(
        run_dir,
        every_n_steps=cfg.checkpoint.every_n_steps,
        validates=bool(validation_stores),
        patience=cfg.checkpoint.patience,
        save_model=cfg.checkpoint.save_model,
        average=averages(cfg),
        finishing=finishing,
    )
    callbacks += [SeedEachBatch(cfg.seed), BatchMix(), _evaluation(cfg, run_dir, tasks, provenance)]
    callbacks += [instantiate(callback) for callback in cfg.callbacks.values()]
    callbacks.append(EndWithoutSteps(callbacks))
    with run_loggers(cfg, run_dir) as loggers:
        trainer = build_trainer(cfg.trainer, run_dir, callbacks, loggers)
        if trainer.is_global_zero:
            announce_training(cfg, run_dir, stores, plan.notes, augmentation, encoder, tasks)
            if resume is not None:
                take_over(resume, run_dir)
        trainer.fit(module, datamodule, ckpt_path=resume, weights_only=True)
        if distributed.rank() > 0:
            return {}
        return show_outcome(run_dir, loggers, list(cfg.data.languages))


def _evaluation(cfg: DictConfig, run_dir: Path, tasks: list, provenance: dict[str, object]) -> ZeroShotEvaluation:
    return ZeroShotEvaluation(
        tasks,
        run_dir=run_dir,
        provenance=provenance,
        before=cfg.evaluation.before,
        at_end=True,
        every_n_steps=cfg.evaluation.every_n_steps,
        average=cfg.evaluation.average,
        token_budget=cfg.evaluation.token_budget,
        precision=cfg.evaluation.precision,
    )
