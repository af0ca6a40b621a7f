"""action=train: measure, train, measure again; action=evaluate: measure a model as it is. Both leave a run folder."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig

from hydra_plugins.mixlingua_optuna import watcher
from mixlingua import distributed
from mixlingua.cli.run_record import checkpoint_of, mark_failed, provenance, run_loggers, training_provenance
from mixlingua.cli.show import announce_evaluation, announce_training, show_outcome
from mixlingua.cli.sources import check_objective, open_stores, open_tasks
from mixlingua.data.batches import View, ViewMaker, view_makers
from mixlingua.data.store import ParallelStore
from mixlingua.data.tokenizer import PairTokenizer, sampled_cut
from mixlingua.errors import ConfigError
from mixlingua.evaluation.results import figures_of, without_shares
from mixlingua.evaluation.run_folder import write_results
from mixlingua.evaluation.suite import evaluate_encoder
from mixlingua.losses.base import TotalLoss
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder import save_folder
from mixlingua.publish.card import write_card
from mixlingua.report.run_page import write_reports
from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Monolingual
from mixlingua.training.averaging import ModelAverage, MovingAverage, StartShare
from mixlingua.training.callbacks import (
    BatchMix,
    EvaluationCallback,
    FreedMemory,
    SeedEachBatch,
    TrainingSpeed,
)
from mixlingua.training.checkpoints import check_resumable, checkpoint_callbacks, copy_from_stopped_run
from mixlingua.training.datamodule import PairDataModule
from mixlingua.training.end_of_training import EndOfTraining, append_postprocess
from mixlingua.training.module import RetrieverModule, Teacher
from mixlingua.training.processes import ends_together
from mixlingua.training.trainer import build_trainer


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
    """The configured teacher, or else the encoder as it is now; None where no loss asks for one.

    Raises ConfigError where one is configured, and no loss asks for it.
    """
    if not any(view.read_by_teacher for view in loss.views):
        if cfg.teacher is not None:
            raise ConfigError(
                f"teacher.name_or_path={cfg.teacher.name_or_path}: none of loss=[{','.join(cfg.loss)}] learns from a "
                "teacher. Choose one that does, such as loss=[infonce,distillation], or model@teacher=null."
            )
        return None
    teacher = Teacher.copy_of(encoder) if cfg.teacher is None else Teacher(instantiate(cfg.teacher).load(cfg.seed))
    if cfg.keep_teacher_vectors:
        teacher.keep(cfg.trainer.precision)
    return teacher


def build_views(
    cfg: DictConfig, loss: TotalLoss, tokenizer: PairTokenizer, teacher: Teacher | None
) -> dict[View, ViewMaker]:
    """How to make the further texts that the losses ask for, cut at the training lengths."""
    return view_makers(
        loss.views,
        tokenizer,
        teacher.tokenizer.limited(cfg.data.max_query_length, cfg.data.max_passage_length) if teacher else None,
        pivot=cfg.data.pivot,
        languages=cfg.data.languages,
        seed=cfg.seed,
    )


def build_postprocess(cfg: DictConfig, stores: Sequence[ParallelStore]) -> Callable[[BiEncoder], None] | None:
    """Appends the configured layer to an encoder; None where none is chosen.

    Raises DataError where the stores have too little text for it.
    """
    if not cfg.postprocess:
        return None
    method = instantiate(cfg.postprocess)
    method.check(stores)
    evaluation = cfg.evaluation
    return partial(
        append_postprocess,
        method=method,
        stores=stores,
        seed=cfg.seed,
        token_budget=evaluation.token_budget,
        precision=evaluation.precision,
    )


def train(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Train as configured and write the run folder. Returns the averaged metrics after training."""
    # The data, and what is measured.
    stores, validation_stores = open_stores(cfg)
    plan, validation_plan = make_plans(cfg, stores, validation_stores)
    augmentation = instantiate(cfg.augmentation).load(cfg.seed) if cfg.augmentation else None
    postprocess = build_postprocess(cfg, stores)
    tasks = open_tasks(cfg)
    check_objective(cfg.objective, tasks)

    # The model before training, which the teacher, the provenance and the share of the start are of.
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    encoder = instantiate(cfg.model).load(cfg.seed)
    loss = build_loss(cfg)
    teacher = build_teacher(cfg, loss, encoder)
    tokenizer = encoder.tokenizer.limited(cfg.data.max_query_length, cfg.data.max_passage_length)
    cuts = {
        store.name: sampled_cut(store, tokenizer, cfg.data.languages, seed=cfg.seed, source_index=index)
        for index, store in enumerate(stores)
    }
    made_with = training_provenance(cfg, encoder, stores, cuts, augmentation)
    averaging = cfg.averaging
    start_share = StartShare(encoder, averaging.start_share) if averaging.start_share else None
    models = ModelAverage(encoder, averaging.models, averaging.weights) if averaging.models else None

    # What is trained, on which batches, and from which state on.
    if cfg.adapter:
        instantiate(cfg.adapter).attach(encoder, cfg.seed)
    module = RetrieverModule(encoder, loss, instantiate(cfg.optimizer), teacher)
    datamodule = PairDataModule(
        plan,
        tokenizer,
        num_batches=cfg.trainer.max_steps * cfg.trainer.accumulate_grad_batches,
        validation_plan=validation_plan,
        num_validation_batches=cfg.data.validation_batches,
        num_negatives=cfg.data.num_negatives,
        num_workers=cfg.data.num_workers,
        views=build_views(cfg, loss, tokenizer, teacher),
        augmentation=augmentation,
    )
    resume = checkpoint_of(cfg.resume) if cfg.resume else None
    if resume is not None:
        check_resumable(resume, module, averages=averaging.ema_decay is not None, max_steps=cfg.trainer.max_steps)

    # What happens while training, and when it has ended.
    evaluation = EvaluationCallback(
        tasks,
        run_dir=run_dir,
        provenance=made_with,
        before=cfg.evaluation.before,
        every_n_steps=cfg.evaluation.every_n_steps,
        average=cfg.evaluation.average,
        token_budget=cfg.evaluation.token_budget,
        precision=cfg.evaluation.precision,
        watch=watcher(cfg.objective),
    )
    validates = validation_plan is not None
    average = MovingAverage(averaging.ema_decay) if averaging.ema_decay is not None else None
    checkpoints = checkpoint_callbacks(
        run_dir,
        every_n_steps=cfg.checkpoint.every_n_steps,
        validates=validates,
        patience=cfg.checkpoint.patience,
        average=average,
    )
    end = EndOfTraining(
        run_dir,
        average=average,
        restore_best=validates,
        start_share=start_share,
        models=models,
        postprocess=postprocess,
        save_model=cfg.checkpoint.save_model,
        evaluation=evaluation,
    )
    callbacks = [SeedEachBatch(cfg.seed), *checkpoints, *([average] if average else [])]
    callbacks += [BatchMix(), TrainingSpeed(), FreedMemory(), evaluation, end]
    callbacks += [instantiate(callback) for callback in cfg.callbacks.values()]

    with run_loggers(cfg, run_dir) as loggers:
        trainer = build_trainer(instantiate(cfg.trainer), run_dir, callbacks, loggers)
        if trainer.is_global_zero:
            announce_training(
                cfg, run_dir, stores, [*plan.notes, *datamodule.notes], augmentation, encoder, tasks, cuts
            )
            if resume is not None:
                copy_from_stopped_run(resume, run_dir)
        with ends_together(trainer, run_dir, partial(mark_failed, run_dir)):
            trainer.fit(module, datamodule, ckpt_path=resume, weights_only=True)
        if distributed.rank() > 0:
            return {}
        if cfg.checkpoint.save_model:
            write_card(run_dir)
        write_reports(run_dir, loggers)
        return show_outcome(run_dir, list(cfg.data.languages))


def evaluate(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Evaluate the configured model on the configured tasks, on one device. Returns the averaged metrics.

    With a postprocess, the model that is measured is a new one; it is saved as after training.
    """
    tasks = open_tasks(cfg)
    check_objective(cfg.objective, tasks)
    encoder = instantiate(cfg.model).load(cfg.seed)
    encoder.to(distributed.local_device(cfg.trainer.accelerator))
    announce_evaluation(cfg, run_dir, tasks)
    if append := build_postprocess(cfg, open_stores(cfg)[0] if cfg.postprocess else ()):
        append(encoder)
        if cfg.checkpoint.save_model:
            save_folder(encoder, run_dir / "model")
    with run_loggers(cfg, run_dir) as loggers:
        results = evaluate_encoder(
            encoder, tasks, token_budget=cfg.evaluation.token_budget, precision=cfg.evaluation.precision
        )
        average = cfg.evaluation.average
        write_results(run_dir, results, provenance(cfg, encoder), average=average)
        figures = figures_of(results, average)
        for logger in loggers:
            logger.log_metrics(without_shares(figures), step=0)
        if cfg.postprocess and cfg.checkpoint.save_model:
            write_card(run_dir)
        write_reports(run_dir, loggers)
        return show_outcome(run_dir, seen_languages=None)
