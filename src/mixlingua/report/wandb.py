"""Weights & Biases as a logger: its run, its mode, and the names that it allows."""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from mixlingua.errors import check_choice
from mixlingua.files import write_json
from mixlingua.report.logged import REPORT

logger = logging.getLogger(__name__)
MODES = ("auto", "online", "offline", "disabled")
LOGGED = ("scalars", "tables", "images", "pages")
_FILES = ("report.html", "report.json", "metrics.json", "config.yaml", "worst_queries.json")  # of the artifact
KEY = "wandb login, or WANDB_API_KEY"


class WandbRun(WandbLogger):
    """Lightning's logger with a W&B run of its own: never one left open by an earlier run of this process."""

    def __init__(
        self,
        run_dir: Path,
        project: str = "mixlingua",
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        mode: str = "auto",
        id: str | None = None,
        log_model: bool = False,
    ) -> None:
        """Open a run. Raises ConfigError for an unknown mode.

        run_dir: given when the run starts
        project: of W&B
        entity: user or team; null: that of the key
        name: of the run; null: the run folder's name
        group: null: the sweep's folder under -m, none otherwise
        tags: of the run
        mode: auto (WANDB_MODE where set, else online with a key, else offline), online, offline or disabled
        id: of the run, which is gone on with where it exists; null: that of the run that is resumed, else a new one
        log_model: true: the model folder is an artifact of the run
        """
        if wandb.run is not None:
            wandb.finish()
        # The mode is given to wandb.init: Lightning's `offline=True` would change WANDB_MODE for the whole process.
        known = wandb_mode(mode)
        if mode == "auto" and known == "offline" and "WANDB_MODE" not in os.environ:
            logger.info("W&B: no key (%s), so the run is kept offline; send it later with `wandb sync %s`.",
                     KEY, run_dir / "wandb" / "offline-run-*")  # fmt: skip
        super().__init__(
            save_dir=run_dir, project=project, entity=entity, name=name or run_dir.name, group=group,
            tags=list(tags), mode=known, id=id, resume=None if id is None else "allow",
        )  # fmt: skip
        self._run_dir = run_dir
        self._log_model_folder = log_model
        self._logged: dict[str, set[str]] = {kind: set() for kind in LOGGED}

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """As Lightning's, with names that W&B can sort and query: letters, digits and underscores."""
        metrics = {valid_name(name): value for name, value in metrics.items()}
        self._logged["scalars"].update(metrics)
        super().log_metrics(metrics, step)

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """As Lightning's; the run has begun with it, and RUN/wandb/run.json says which it is, for resuming."""
        super().log_hyperparams(params)
        write_json(run_file(self._run_dir), {"id": self.experiment.id, "project": self.experiment.project})

    @rank_zero_only
    def show_table(self, name: str, columns: Sequence[str], cells: Sequence[Sequence[Any]]) -> None:
        """A table, as `name`."""
        self._log("tables", name, wandb.Table(columns=list(columns), data=[list(row) for row in cells]))

    @rank_zero_only
    def show_picture(self, name: str, image: Path) -> None:
        """A PNG file, as `name`."""
        self._log("images", name, wandb.Image(str(image)))

    @rank_zero_only
    def show_files(self, run_dir: Path) -> None:
        """report.html as a page; it and the results' files as an artifact, and the model where `log_model` asks."""
        self._log("pages", REPORT, wandb.Html((run_dir / "report.html").read_text(encoding="utf-8"), inject=False))
        results = wandb.Artifact(f"results-{self.experiment.id}", type="results")
        for file in _FILES:
            if (run_dir / file).exists():
                results.add_file(str(run_dir / file))
        self.experiment.log_artifact(results)
        if self._log_model_folder and (run_dir / "model").is_dir():
            model = wandb.Artifact(f"model-{self.experiment.id}", type="model")
            model.add_dir(str(run_dir / "model"))
            self.experiment.log_artifact(model)

    def _log(self, kind: str, name: str, value: Any) -> None:
        name = valid_name(name)
        self._logged[kind].add(name)
        self.experiment.log({name: value})

    @rank_zero_only
    def finish(self, exit_code: int) -> None:
        """End the W&B run, so that the next run of this process starts its own; say in RUN/wandb/logged.json what it
        has, for the dashboard."""
        logged = {kind: sorted(names) for kind, names in self._logged.items()}
        write_json(self._run_dir / "wandb" / "logged.json", logged)
        self.experiment.finish(exit_code=exit_code)


def run_file(run_dir: Path) -> Path:
    """Where a run says which run of W&B it is."""
    return run_dir / "wandb" / "run.json"


def valid_name(name: str) -> str:
    """A metric's name in W&B: letters, digits and underscores."""
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def default_entity() -> str:
    """The user or team of the key."""
    return str(wandb.Api().default_entity)


def wandb_mode(mode: str) -> str:
    """What `logger.wandb.mode` comes to: online, offline or disabled. Raises ConfigError for another mode."""
    check_choice("logger.wandb.mode", mode, MODES)
    if mode != "auto":
        return mode
    if "WANDB_MODE" in os.environ:
        return os.environ["WANDB_MODE"]
    return "online" if wandb.login(prompt=False, verify=False) else "offline"
