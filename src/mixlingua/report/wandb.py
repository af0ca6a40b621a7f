"""Every language pair's result for the loggers that can show more than scalars."""

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from wandb.sdk.lib.wbauth import authenticate_session

from mixlingua.errors import ConfigError
from mixlingua.evaluation.metrics import QUALITY
from mixlingua.evaluation.results import SETTINGS, ResultRow
from mixlingua.evaluation.run_folder import RANK_DISTANCE
from mixlingua.files import atomic_write
from mixlingua.report.figures import pair_matrix

logger = logging.getLogger(__name__)
MODES = ("auto", "online", "offline", "disabled")
LOGGED = ("scalars", "tables", "images")
KEY = "wandb login, or WANDB_API_KEY"


class WandbRun(WandbLogger):
    """Lightning's logger with an own W&B run: never one left open by an earlier run of this process."""

    def __init__(
        self,
        run_dir: Path,
        project: str,
        entity: str | None,
        name: str | None,
        group: str | None,
        tags: Sequence[str],
        mode: str,
    ) -> None:
        """mode: auto (WANDB_MODE where set, else online with a key, else offline), online, offline or disabled.

        Raises ConfigError for another mode.
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
            tags=list(tags), mode=known,
        )  # fmt: skip
        self._run_dir = run_dir
        self._logged: dict[str, set[str]] = {kind: set() for kind in LOGGED}

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """As Lightning's, with names that W&B can sort and query: letters, digits and underscores."""
        metrics = {valid_name(name): value for name, value in metrics.items()}
        self._logged["scalars"].update(metrics)
        super().log_metrics(metrics, step)

    @rank_zero_only
    def log_pairs(self, name: str, columns: Sequence[str], cells: Sequence[Sequence[Any]], image: Path) -> None:
        """A table of language pairs and the picture of it, as `name` and `name`_heatmap."""
        table = wandb.Table(columns=list(columns), data=[list(row) for row in cells])
        name, heatmap = valid_name(name), f"{valid_name(name)}_heatmap"
        self._logged["tables"].add(name)
        self._logged["images"].add(heatmap)
        self.experiment.log({name: table, heatmap: wandb.Image(str(image))})

    @rank_zero_only
    def finish(self, exit_code: int) -> None:
        """End the W&B run, so that the next run of this process starts its own; say in RUN/wandb/logged.json what it
        has, for the dashboard."""
        with atomic_write(self._run_dir / "wandb" / "logged.json") as partial:
            partial.write_text(json.dumps({kind: sorted(names) for kind, names in self._logged.items()}), "utf-8")
        self.experiment.finish(exit_code=exit_code)


def valid_name(name: str) -> str:
    """A metric's name in W&B: letters, digits and underscores."""
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def default_entity() -> str:
    """The user or team of the key."""
    return str(wandb.Api().default_entity)


def wandb_mode(mode: str) -> str:
    """What `logger.wandb.mode` comes to: online, offline or disabled. Raises ConfigError for another mode."""
    if mode not in MODES:
        raise ConfigError(f"logger.wandb.mode is '{mode}'; it is one of {', '.join(MODES)}.")
    if mode != "auto":
        return mode
    if "WANDB_MODE" in os.environ:
        return os.environ["WANDB_MODE"]
    host = wandb.setup().settings.base_url
    if authenticate_session(host=host, source="mixlingua", prompt=False) is not None:
        return "online"
    return "offline"


_STEP = "trainer/global_step"  # Lightning's name for the x-axis
_MOST_RUNS = 100  # in one panel; W&B shows 10 unless told otherwise
_USUAL = ("sampler.alpha", "optimizer.lr", "sampler.exponent")  # of the parallel coordinates, besides what differs


@dataclass(frozen=True)
class Dashboard:
    """What a dashboard shows.

    averages: keys of metrics.json, such as "xquad_r/multilingual/map". main_metrics: by task. scalars, tables, images:
    names that were logged to W&B. settings: all configuration keys. differing: those in which the runs differ, but for
    the seed.
    """

    project: str
    averages: Sequence[str]
    main_metrics: Mapping[str, str]
    scalars: frozenset[str]
    tables: frozenset[str]
    images: frozenset[str]
    differing: Sequence[str]
    settings: frozenset[str]

    def workspace(self, entity: str) -> ws.Workspace:
        """A saved view with a section for each question; runs are grouped by sweep, then by what differs."""
        grouping: list[Any] = [ws.Metric("Group"), *(ws.Config(key) for key in self.differing)]
        return ws.Workspace(
            entity=entity,
            project=self.project,
            name="mixlingua",
            sections=[ws.Section(name=name, panels=panels, is_open=True) for name, panels, _ in self._sections()],
            settings=ws.WorkspaceSettings(x_axis=_STEP, max_runs=_MOST_RUNS),
            runset_settings=ws.RunsetSettings(groupby=grouping),
        )

    def report(self, entity: str, runs_of: str) -> wr.Report:
        """The same as a page to read. runs_of: the entity whose runs are shown, looked up in W&B; "": none is."""
        grouping = ["group", *(f"config.{key}" for key in self.differing)]
        blocks: list[Any] = [wr.P("Averages over languages or pairs; rank distance counts ranks, and lower is better.")]
        for name, panels, text in self._sections():
            runset = wr.Runset(entity=runs_of, project=self.project if runs_of else "", groupby=grouping)
            blocks += [wr.H2(name), wr.P(text), wr.PanelGrid(runsets=[runset], panels=panels)]
        return wr.Report(entity=entity, project=self.project, title="mixlingua", blocks=blocks, width="fluid")

    def specification(self, entity: str) -> dict[str, Any]:
        """What would be sent, as plain values. Nothing is looked up."""
        return {
            "workspace": _plain(self.workspace(entity)._to_model().spec),
            "report": _plain(self.report(entity, "")._to_model().spec),
        }

    def publish(self, entity: str) -> list[str]:
        """Save both in W&B, as a new view and a new report; the addresses of the two."""
        return [self.workspace(entity).save().url, self.report(entity, entity).save().url]

    def _sections(self) -> list[tuple[str, list[Any], str]]:
        """Name, panels and explanation of each section that has something to show."""
        sections = [
            ("Quality by setting", self._over_steps(self._quality()), "The main metric of each benchmark."),
            ("Language bias", self._over_steps(self._bias()), "How far the rankings prefer some languages."),
            ("Quality against bias", list(self._scatter()), "Each dot is a run, or a group of them."),
            ("Settings", list(self._coordinates()), "From what was chosen to what came of it."),
            ("Language pairs", list(self._pairs()), "Queries in one language, passages in another."),
            ("Batch mix", [*self._shares("batches"), *self._shares("sources")], "Shares of all batches so far."),
            ("Training", self._over_steps(name for name in sorted(self.scalars) if name.startswith("train_loss")),
             "The loss, over all batches and by their kind."),
        ]  # fmt: skip
        return [section for section in sections if section[1]]

    def _quality(self) -> Iterator[str]:
        for task, metric in self.main_metrics.items():
            yield from (f"{task}/{setting}/{metric}" for setting in SETTINGS)

    def _bias(self) -> Iterator[str]:
        for key in self.averages:
            _, setting, metric = key.split("/")
            if setting == "multilingual" and metric not in QUALITY:
                yield key

    def _over_steps(self, keys: Iterable[str]) -> list[Any]:
        names = {key: valid_name(key) for key in keys}
        return [
            wr.LinePlot(title=key.replace("/", " "), x=_STEP, y=[name], max_runs_to_show=_MOST_RUNS)
            for key, name in names.items() if name in self.scalars
        ]  # fmt: skip

    def _outcomes(self) -> Iterator[tuple[str, str, str]]:
        """Task, quality and rank distance, where both were logged for its multilingual setting."""
        for task, metric in self.main_metrics.items():
            quality, distance = (valid_name(f"{task}/multilingual/{name}") for name in (metric, RANK_DISTANCE))
            if {quality, distance} <= self.scalars:
                yield task, quality, distance

    def _scatter(self) -> Iterator[Any]:
        for task, quality, distance in self._outcomes():
            x, y = wr.SummaryMetric(distance), wr.SummaryMetric(quality)
            yield wr.ScatterPlot(title=f"{task}: quality against rank distance", x=x, y=y)

    def _coordinates(self) -> Iterator[Any]:
        usual = (key for key in _USUAL if key in self.settings)
        keys = list(dict.fromkeys([*self.differing, *usual]))
        for task, quality, distance in self._outcomes():
            columns = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(key)) for key in keys]
            columns.append(wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(distance), inverted=True))
            columns.append(wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(quality)))
            yield wr.ParallelCoordinatesPlot(title=task, columns=columns)

    def _pairs(self) -> Iterator[Any]:
        if self.images:
            yield wr.MediaBrowser(title="by language pair", media_keys=sorted(self.images), num_columns=2)
        for name in sorted(self.tables):
            yield wr.WeavePanelSummaryTable(table_name=name)

    def _shares(self, what: str) -> Iterator[Any]:
        names: list[Any] = sorted(name for name in self.scalars if name.startswith(f"{what}_"))
        if names:
            yield wr.LinePlot(title=f"{what}: shares", x=_STEP, y=names, max_runs_to_show=_MOST_RUNS)


def _plain(spec: Any) -> Any:
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)


@runtime_checkable
class ShowsPairs(Protocol):
    """A logger that shows a table and a picture."""

    def log_pairs(self, name: str, columns: Sequence[str], cells: Sequence[Sequence[object]], image: Path) -> None: ...


def log_pairs(loggers: Iterable[object], rows: Sequence[ResultRow], heatmaps: dict[str, Path]) -> None:
    """Give each task's mAP by language pair, as table and picture, to the loggers that show them.

    heatmaps: task -> its PNG file.
    """
    shown = [logger for logger in loggers if isinstance(logger, ShowsPairs)]
    for task, image in heatmaps.items() if shown else ():
        languages, matrix = pair_matrix(rows, task, "map")
        cells = [[language, *map(float, values)] for language, values in zip(languages, matrix, strict=True)]
        for logger in shown:
            logger.log_pairs(f"{task}/map_by_pair", ["query", *languages], cells, image)
