"""action=evaluate: measure a model as it is, or with a layer fitted to its vectors; leave a run folder."""

from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from mixlingua.cli.run_record import provenance, run_loggers
from mixlingua.cli.show import announce_evaluation, show_outcome
from mixlingua.cli.train import open_stores
from mixlingua.evaluation.results import without_shares
from mixlingua.evaluation.run_folder import write_results
from mixlingua.evaluation.suite import evaluate_encoder
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder import save_folder
from mixlingua.training.end_of_training import append_postprocess


def evaluate(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Evaluate the configured model on the configured tasks, on one device. Returns the averaged metrics.

    With a postprocess, the model that is measured is a new one; it is saved as after training.
    """
    tasks = [instantiate(task) for task in cfg.evaluation.tasks.values()]
    encoder = instantiate(cfg.model).load(cfg.seed)
    encoder.to(torch.device("cpu" if cfg.trainer.accelerator == "cpu" else "cuda"))
    announce_evaluation(cfg, run_dir, tasks)
    if cfg.postprocess:
        _postprocess(cfg, run_dir, encoder)
    with run_loggers(cfg, run_dir) as loggers:
        results = evaluate_encoder(
            encoder, tasks, token_budget=cfg.evaluation.token_budget, precision=cfg.evaluation.precision
        )
        average = cfg.evaluation.average
        write_results(run_dir, results, provenance(cfg, encoder), average=average)
        figures = {key: value for result in results for key, value in result.aggregate(average).items()}
        for logger in loggers:
            logger.log_metrics(without_shares(figures), step=0)
        return show_outcome(run_dir, loggers, seen_languages=None)


def _postprocess(cfg: DictConfig, run_dir: Path, encoder: BiEncoder) -> None:
    stores, _ = open_stores(cfg)
    append_postprocess(
        encoder,
        instantiate(cfg.postprocess),
        stores,
        seed=cfg.seed,
        token_budget=cfg.evaluation.token_budget,
        precision=cfg.evaluation.precision,
    )
    if cfg.checkpoint.save_model:
        save_folder(encoder, run_dir / "model")
