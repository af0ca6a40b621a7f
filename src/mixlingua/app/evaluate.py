"""action=evaluate: measure a model as it is; leave a run folder."""

from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from mixlingua.app.announce import announce_evaluation
from mixlingua.app.loggers import run_loggers
from mixlingua.app.outcome import show_outcome
from mixlingua.app.provenance import provenance
from mixlingua.evaluation.averages import without_shares
from mixlingua.evaluation.run_folder import write_results
from mixlingua.evaluation.suite import evaluate_encoder


def evaluate(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Evaluate the configured model on the configured tasks, on one device. Returns the averaged metrics."""
    tasks = [instantiate(task) for task in cfg.evaluation.tasks.values()]
    encoder = instantiate(cfg.model).load(cfg.seed)
    encoder.to(torch.device("cpu" if cfg.trainer.accelerator == "cpu" else "cuda"))
    announce_evaluation(cfg, run_dir, tasks)
    with run_loggers(cfg, run_dir) as loggers:
        results = evaluate_encoder(
            encoder, tasks, token_budget=cfg.evaluation.token_budget, precision=cfg.evaluation.precision
        )
        average = cfg.evaluation.average
        write_results(run_dir, results, provenance(cfg, encoder), average=average)
        figures = {key: value for result in results for key, value in result.aggregate(average).items()}
        for logger in loggers:
            logger.log_metrics(without_shares(figures), step=0)
        return show_outcome(cfg, run_dir, loggers, seen_languages=None)
