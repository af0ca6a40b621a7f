"""Lightning loggers of a run, opened and closed together."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from mixlingua.app.resume import checkpoint_of
from mixlingua.app.status import is_rank_zero
from mixlingua.app.takeover import logged_before


@runtime_checkable
class _HasRun(Protocol):
    """A logger with an own run to end, as W&B's, which is imported only where it is chosen."""

    def finish(self, exit_code: int) -> None: ...


def csv_logger(run_dir: Path, flush_every_n_steps: int) -> CSVLogger:
    """RUN/csv/metrics.csv."""
    return CSVLogger(run_dir, name="", version="csv", flush_logs_every_n_steps=flush_every_n_steps)


def tensorboard_logger(run_dir: Path) -> TensorBoardLogger:
    """RUN/tensorboard."""
    return TensorBoardLogger(run_dir, name="", version="tensorboard")


@contextmanager
def run_loggers(cfg: DictConfig, run_dir: Path) -> Iterator[list[Logger]]:
    """The loggers of cfg.logger, given the resolved configuration, and finished however the body ends.

    The W&B run of a failed body is marked as failed. Runs of a sweep are grouped under its folder's name. The CSV file
    of a resumed run begins with what the stopped one had logged.
    """
    loggers: list[Logger] = []
    earlier = logged_before(checkpoint_of(cfg.resume)) if cfg.resume and is_rank_zero() else []
    try:
        for node in cfg.logger.values():
            grouped = {"group": _sweep_name()} if "group" in node and node.group is None else {}
            loggers.append(instantiate(node, **grouped)(run_dir=run_dir))
        settings: Any = OmegaConf.to_container(cfg, resolve=True)
        for logger in loggers:
            logger.log_hyperparams(settings)
            if isinstance(logger, CSVLogger) and earlier:
                logger.experiment.metrics.extend(earlier)
                logger.save()
        yield loggers
    except BaseException:
        _close(loggers, succeeded=False)
        raise
    _close(loggers, succeeded=True)


def _close(loggers: list[Logger], *, succeeded: bool) -> None:
    for logger in loggers:
        logger.finalize("success" if succeeded else "failed")
        if isinstance(logger, _HasRun):
            logger.finish(exit_code=0 if succeeded else 1)


def _sweep_name() -> str | None:
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return "_".join(Path(HydraConfig.get().sweep.dir).parts[-2:])
