"""From a composed configuration to a finished run: check, record, seed, run the action, clean up."""

import gc
import logging
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mixlingua.cli.check import plain_problems, problems
from mixlingua.cli.command_line import ACTIONS, Action, parts_of
from mixlingua.cli.configuration import CompletedSearchPath
from mixlingua.cli.run_folder import GOES_ON_FROM, check_unused, claim, remove_overwritten, untouched_where_refused
from mixlingua.cli.run_record import is_rank_zero, recorded
from mixlingua.errors import (
    ConfigError,
    PrunedError,
    check_choice,
    errors_on_stderr,
    full_errors,
    interruption_of,
    raise_problems,
    suggest,
    to_stderr,
    user_error,
)
from mixlingua.files import atomic_write, caching_in

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobResult:
    """What became of one run. state: finished, failed or pruned, in a sweep. objective: what a sweeper optimises."""

    run_dir: Path
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: str = "finished"
    error: str = ""
    objective: str | None = None

    def __float__(self) -> float:
        """The objective, for Hydra's sweepers. Raises ValueError where the run has none."""
        if self.objective is None or self.objective not in self.metrics:
            raise ValueError(self.error or f"no figure '{self.objective}' in {', '.join(self.metrics)}")
        return self.metrics[self.objective]


def run_job(cfg: DictConfig) -> JobResult:
    """Run cfg.action in Hydra's output folder.

    In a sweep, a job that fails is named on stderr and returned with its error, so that the others go on; a single run
    ends the process with a message.
    """
    hydra = HydraConfig.get()
    run_dir = Path(hydra.runtime.output_dir)
    overrides: Any = OmegaConf.to_container(hydra.overrides.task, resolve=False)  # as typed, ${...} and all
    _leave_out(cfg, overrides)
    if hydra.mode != RunMode.MULTIRUN:
        with errors_on_stderr():  # before Hydra, which would print a traceback
            return JobResult(run_dir, _run(cfg, run_dir, overrides, multirun=False))
    try:
        return JobResult(run_dir, _run(cfg, run_dir, overrides, multirun=True), objective=cfg.objective)
    except PrunedError as given_up:
        return JobResult(run_dir, state="pruned", error=str(given_up))
    except Exception as error:
        known = user_error(error)
        if known is None or full_errors():
            traceback.print_exc()
        message = str(known or error) or type(error).__name__
        to_stderr(f"job {hydra.job.num} ({' '.join(overrides)}) failed: {message}")
        return JobResult(run_dir, state="failed", error=message)


def _leave_out(cfg: DictConfig, overrides: list[str]) -> None:
    """`GROUP=none` on the command line discards the settings that an experiment has for the group."""
    for group in ("adapter", "augmentation", "postprocess"):
        if f"{group}=none" in overrides and not any(text.lstrip("+").startswith(f"{group}.") for text in overrides):
            cfg[group] = None


def _run(cfg: DictConfig, run_dir: Path, overrides: list[str], *, multirun: bool) -> dict[str, float]:
    raise_problems(plain_problems(cfg))
    check_choice("action", cfg.action, ACTIONS)
    if is_rank_zero():
        claim(run_dir)  # a job of a sweep has not yet
        check_unused(run_dir, cfg, overrides, multirun=multirun)
    action = ACTIONS[cfg.action]
    with (
        caching_in(cfg.paths.cache),
        untouched_where_refused(run_dir, cfg),
        recorded(run_dir, cfg.action, overrides) as metrics,
    ):
        with _without_collection():
            raise_problems(problems(cfg, action, overrides, multirun=multirun))
            act = _prepared(action, cfg.seed)
        if "trainer" in parts_of(action.uses):
            _settle_precision(cfg)
        remove_overwritten(run_dir, cfg)  # before the new config.yaml, which is not theirs
        if is_rank_zero():
            with atomic_write(run_dir / "config.yaml") as partial:
                partial.write_text(OmegaConf.to_yaml(cfg, resolve=True), encoding="utf-8")
        try:
            metrics.update(act(cfg, run_dir))
        except BaseException as error:
            if (interrupted := interruption_of(error)) is None:
                raise
            interrupted.what_next = _what_next(cfg.action, run_dir)
            raise interrupted from None
        finally:
            _release()
        if is_rank_zero() and cfg.objective is not None and cfg.objective not in metrics:
            hint = suggest(cfg.objective, metrics)
            raise ConfigError(f"objective={cfg.objective}: this run has {', '.join(metrics) or 'no figures'}.{hint}")
        return metrics


def _what_next(action: str, run_dir: Path) -> str:
    """How a run that was interrupted is continued."""
    if action not in GOES_ON_FROM or not (kept := run_dir / GOES_ON_FROM[action]).exists():
        return f"{run_dir} holds nothing to go on from; start the command again."
    program = "python run.py" if sys.argv[0].endswith(".py") else Path(sys.argv[0]).name
    config_dir = CompletedSearchPath.config_dir
    option = f" --config-dir={config_dir}" if config_dir else ""
    return f"Go on from {kept} with: {program}{option} resume={run_dir} hydra.run.dir={run_dir}"


def _settle_precision(cfg: DictConfig) -> None:
    """Put what this machine computes natively in the place of precision=auto, so that the run's files say which."""
    from mixlingua.training.trainer import native_precision

    for section in ("trainer", "evaluation"):
        if cfg[section].precision == "auto":
            cfg[section].precision = native_precision(cfg.trainer.accelerator)
            if is_rank_zero():
                logger.info("%s.precision=auto: this machine takes %s", section, cfg[section].precision)


@contextmanager
def _without_collection() -> Iterator[None]:
    """No search for garbage while modules are imported: what they make stays, and to look at it takes a sixth of the
    time. The first job leaves these objects out of later searches as well."""
    first = "torch" not in sys.modules
    gc.disable()
    try:
        yield
    finally:
        if first:
            gc.freeze()
        gc.enable()


def _prepared(action: Action, seed: int) -> Callable[[DictConfig, Path], dict[str, float]]:
    """The action's function, imported, with the random numbers seeded for it."""
    from pytorch_lightning import seed_everything

    module, name = action.function.split(":")
    function: Callable[[DictConfig, Path], dict[str, float]] = getattr(import_module(module), name)
    seed_everything(seed, workers=True, verbose=False)
    return function


def _release() -> None:
    """Free what the job held, the weights above all, before the next job of the sweep."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
