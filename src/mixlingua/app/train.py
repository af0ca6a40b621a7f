"""action=train: measure, train, measure again; leave a run folder."""

from pathlib import Path

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig

from mixlingua.app.announce import announce_training
from mixlingua.app.batch_mix import BatchMix
from mixlingua.app.data import open_stores, plan_makers
from mixlingua.app.finishing import EndWithoutSteps, averages, finishers
from mixlingua.app.learning import build_loss, build_teacher, build_views
from mixlingua.app.loggers import run_loggers
from mixlingua.app.outcome import show_outcome
from mixlingua.app.provenance import training_provenance
from mixlingua.app.resume import checkpoint_of
from mixlingua.app.takeover import take_over
from mixlingua.app.trainer import build_trainer
from mixlingua.data.datamodule import PairDataModule
from mixlingua.evaluation.callback import ZeroShotEvaluation
from mixlingua.model import distributed
from mixlingua.model.checkpoints import check_resumable, checkpoint_callbacks
from mixlingua.model.module import RetrieverModule
from mixlingua.model.seeding import SeedEachBatch


def train(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Train as configured and write the run folder. Returns the averaged metrics after training."""
    stores, validation_stores = open_stores(cfg)
    make_plan, make_validation_plan = plan_makers(cfg)
    notes = make_plan(stores, cfg.data.batch_size, cfg.seed).notes
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
    datamodule = PairDataModule(
        stores,
        validation_stores,
        encoder.tokenizer.limited(cfg.data.max_query_length, cfg.data.max_passage_length),
        make_plan,
        make_validation_plan,
        augmentation=augmentation,
        batch_size=cfg.data.batch_size,
        num_batches=cfg.trainer.max_steps * cfg.trainer.accumulate_grad_batches,
        num_validation_batches=cfg.data.validation_batches,
        num_negatives=cfg.data.num_negatives,
        num_workers=cfg.data.num_workers,
        seed=cfg.seed,
        views=build_views(cfg, loss, encoder, teacher),
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
    callbacks.append(EndWithoutSteps(callbacks))
    with run_loggers(cfg, run_dir) as loggers:
        trainer = build_trainer(cfg.trainer, run_dir, callbacks, loggers)
        if trainer.is_global_zero:
            announce_training(cfg, run_dir, stores, notes, augmentation, encoder, tasks)
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
