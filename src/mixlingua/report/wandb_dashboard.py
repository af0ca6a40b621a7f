"""A W&B workspace and report over the runs of a project (needs wandb-workspaces)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from mixlingua.evaluation.metrics import QUALITY
from mixlingua.evaluation.results import RANK_DISTANCE, SETTINGS
from mixlingua.report.logged import BY_PAIR, LANGUAGES, REPORT, WORST_QUERIES
from mixlingua.report.wandb import valid_name

_STEP = "trainer/global_step"  # Lightning's name for the x-axis
_MOST_RUNS = 100  # in one panel; W&B shows 10 unless told otherwise
_TRAINING = ("loss", "learning_rate", "gradient_norm", "temperature")
_SPEEDS = ("pairs_per_second", "tokens_per_second")
_USUAL = ("sampler.alpha", "optimizer.lr", "sampler.exponent")  # of the parallel coordinates, besides what differs


@dataclass(frozen=True)
class Dashboard:
    """What a dashboard shows.

    averages: keys of metrics.json, such as "xquad_r/multilingual/map". main_metrics: by task. scalars, tables, images,
    pages: names that were logged to W&B. settings: all configuration keys. differing: those in which the runs differ,
    but for the seed.
    """

    project: str
    averages: Sequence[str]
    main_metrics: Mapping[str, str]
    scalars: frozenset[str]
    tables: frozenset[str]
    images: frozenset[str]
    pages: frozenset[str]
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
            ("Language pairs", [*self._media(f"{BY_PAIR}_heatmap"), *self._tables(BY_PAIR)],
             "Queries in one language, passages in another."),
            ("Languages found", list(self._media(LANGUAGES)), "Whose passages are among the first ten."),
            ("Worst queries", list(self._tables(WORST_QUERIES)), "The questions with the lowest values, and why."),
            ("Batch mix", [*self._shares("batches"), *self._shares("sources")], "Shares of all batches so far."),
            ("Training", self._over_steps(f"train/{name}" for name in _TRAINING), "What the optimiser does."),
            ("Loss by kind", self._over_steps(name for name in sorted(self.scalars) if name.startswith("train_loss_")),
             "The loss of each kind of batch."),
            ("Speed", self._over_steps(f"speed/{name}" for name in _SPEEDS), "Of the steps, without what is between."),
            ("Reports", list(self._media(REPORT, self.pages)), "The page of each run."),
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
            for key, name in names.items()
            if name in self.scalars
        ]

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

    def _media(self, end: str, among: frozenset[str] | None = None) -> Iterator[Any]:
        names = sorted(name for name in (self.images if among is None else among) if name.endswith(end))
        if names:
            yield wr.MediaBrowser(title=end.strip("_").replace("_", " "), media_keys=names, num_columns=2)

    def _tables(self, end: str) -> Iterator[Any]:
        for name in sorted(name for name in self.tables if name.endswith(end)):
            yield wr.WeavePanelSummaryTable(table_name=name)

    def _shares(self, what: str) -> Iterator[Any]:
        names: list[Any] = sorted(name for name in self.scalars if name.startswith(f"{what}_"))
        if names:
            yield wr.LinePlot(title=f"{what}: shares", x=_STEP, y=names, max_runs_to_show=_MOST_RUNS)


def _plain(spec: Any) -> Any:
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)
