"""RUN/report.html, what a run found in the order in which a reader asks, and the pictures beside it."""

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mixlingua.evaluation.results import RANK_DISTANCE, SETTINGS, ResultRow, WorstQuery
from mixlingua.evaluation.run_folder import RunResults, read_results, read_worst_queries, values_by_language
from mixlingua.reading import read_status
from mixlingua.report.figures import Picture, Point, loss_picture, spread_picture
from mixlingua.report.groups import group_tables, languages_of
from mixlingua.report.logged import log_outcome
from mixlingua.report.page import choice_text, cut_notes, data_rows, file_rows, provenance_rows, write_page
from mixlingua.report.pairs import (
    difference_matrix,
    language_shares,
    pair_values,
    save_heatmap,
    save_share_heatmap,
    share_matrix,
    value_matrix,
)
from mixlingua.report.plain_table import PlainTable, figure_text, plain_name, spoken
from mixlingua.report.run_tables import SEEN, ZERO_SHOT, averages, headline

_SHOWN = 5  # worst queries of each setting on the page; worst_queries.json has more
# Columns of csv/metrics.csv: the share of a step's batches that are monolingual, and losses.
_MONOLINGUAL, _LOSS, _VALIDATION = "train/monolingual", "train/loss_", "validation/loss"


@dataclass(frozen=True)
class TaskSection:
    """One benchmark on the page.

    pairs: main metric by language pair, and its change. shares: languages of the first ten passages. spread: rank
    distance by query language. worst: queries by setting. figures: every average.
    """

    name: str
    pairs: Sequence[Picture]
    shares: Picture | None
    spread: Picture | None
    worst: Mapping[str, Sequence[WorstQuery]]
    figures: PlainTable


def write_reports(run_dir: Path, loggers: Iterable[object]) -> None:
    """Write the heatmaps and the page of a run folder that has its results, and give them to the loggers."""
    after = read_results(run_dir)
    before = read_results(run_dir, "before").rows if (run_dir / "metrics_before.json").exists() else None
    for task, metric in after.main_metrics.items():
        if pair_values(after.rows, task, metric):
            save_heatmap(run_dir / f"heatmap_{task}.png", task, metric, before, after.rows)
        if shares := language_shares(after.rows, task):
            save_share_heatmap(run_dir / f"languages_{task}.png", task, shares)
    write_run_page(run_dir, _times(read_status(run_dir)))
    log_outcome(loggers, run_dir, after.rows, after.main_metrics)


def _times(status: dict[str, Any]) -> list[tuple[str, str]]:
    """When the run started, and how long it took until now."""
    if "started" not in status:
        return []
    started = datetime.fromisoformat(status["started"])
    minutes, seconds = divmod(round((datetime.now().astimezone() - started).total_seconds()), 60)
    return [("Started", f"{started:%Y-%m-%d %H:%M %Z}"), ("Time until this page", f"{minutes} min {seconds} s")]


def write_run_page(run_dir: Path, times: Sequence[tuple[str, str]]) -> Path:
    """Write report.html from what else is in the run folder, and return its path.

    times: further rows of the provenance, such as when the run started. Raises DataError as `read_results` does.
    """
    after = read_results(run_dir)
    before = read_results(run_dir, "before").rows if (run_dir / "metrics_before.json").exists() else None
    languages = languages_of(after.rows)
    seen = after.provenance.get("training_languages", languages)
    zero_shot = [language for language in languages if language not in seen]
    log = read_training_log(run_dir)
    config = run_dir / "config.yaml"
    tasks: Mapping[str, Mapping[str, Any]] = after.provenance["tasks"]
    content = {
        "title": _title(after.provenance),
        "lead": _lead(after.provenance),
        "pretraining": after.provenance.get("pretraining"),
        "cut_notes": cut_notes(after.provenance),
        "headline": headline(before, after.rows, seen, tasks, after.average),
        "groups": group_tables(before, after.rows, after.main_metrics, after.average),
        "zero_shot": zero_shot,
        "tasks": [_task(run_dir, name, after, before, seen, zero_shot) for name in tasks],
        "log": log,
        "loss": loss_picture(log.losses, log.validation) if log else None,
        "provenance": [*provenance_rows(after.provenance), *times],
        "data": data_rows(tasks),
        "files": list(file_rows(tasks)),
        "config": config.read_text(encoding="utf-8") if config.exists() else "",
    }
    return write_page(run_dir / "report.html", "run.html", content)


def _title(provenance: Mapping[str, Any]) -> str:
    if "sampler" not in provenance:
        return f"{provenance.get('model', 'A model')}, as it is"
    return f"{provenance['model']}, trained with {choice_text(provenance['sampler']).split(' ')[0]} batches"


def _lead(provenance: Mapping[str, Any]) -> str:
    if "sampler" not in provenance:
        return "Measured without any training by this project."
    steps = provenance.get("step", provenance["max_steps"])
    return (
        f"{steps:,} steps of {provenance['batch_size']:,} pairs from {', '.join(provenance['data'])} in "
        f"{len(provenance['training_languages'])} languages ({' '.join(provenance['training_languages'])}), "
        f"seed {provenance['seed']}."
    )


def _task(
    run_dir: Path,
    name: str,
    results: RunResults,
    before: Sequence[ResultRow] | None,
    seen: Collection[str],
    zero_shot: Collection[str],
) -> TaskSection:
    metric = results.main_metrics[name]
    values, old = pair_values(results.rows, name, metric), pair_values(before or (), name, metric)
    change = {pair: value - old[pair] for pair, value in values.items() if pair in old}
    matrices = [value_matrix(f"{name}: {plain_name(metric)}", values, zero_shot)] if values else []
    if change:
        matrices.append(difference_matrix(f"{name}: change of {plain_name(metric)} by training", change, zero_shot))
    shares = language_shares(results.rows, name)
    distances, earlier = (
        values_by_language(run_dir, name, "multilingual", RANK_DISTANCE, stage) for stage in ("after", "before")
    )
    worst = [query for query in read_worst_queries(run_dir) if query.task == name]
    by_setting = {setting: [query for query in worst if query.setting == setting][:_SHOWN] for setting in SETTINGS}
    return TaskSection(
        name=name,
        pairs=[matrix.picture for matrix in matrices],
        shares=share_matrix(name, shares, zero_shot).picture if shares else None,
        spread=spread_picture(f"{name}: rank distance by query language", distances, earlier, zero_shot)
        if distances else None,
        worst={setting: queries for setting, queries in by_setting.items() if queries},
        figures=_figures(name, results, seen),
    )  # fmt: skip


def _figures(task: str, results: RunResults, seen: Collection[str]) -> PlainTable:
    """Every metric in every setting."""
    means = averages((row for row in results.rows if row.task == task), seen, results.average)
    groups = [group for group in (SEEN, ZERO_SHOT) if any(key[3] == group for key in means)]
    lines = list(dict.fromkeys((setting, metric) for _, setting, metric, _ in means))
    return PlainTable(
        name=f"figures-{task.replace('_', '-')}",
        title=f"{task}: every average",
        columns=["setting", "metric", *(groups if len(groups) > 1 else ["value"])],
        rows=[
            [spoken(setting), plain_name(metric), *(
                figure_text(metric, means[task, setting, metric, group])
                if (task, setting, metric, group) in means else "" for group in groups
            )]
            for setting, metric in lines
        ],
        labels=2,
        note="Defined in docs/metrics.md.",
    )  # fmt: skip


@dataclass(frozen=True)
class TrainingLog:
    """losses: kind of batch -> (step, loss), steps from 1. validation: the same of held-out batches. batches, sources:
    the shares of all batches by kind and by source."""

    losses: Mapping[str, Sequence[Point]]
    validation: Sequence[Point]
    batches: Mapping[str, float]
    sources: Mapping[str, float]


def read_training_log(run_dir: Path) -> TrainingLog | None:
    """RUN/csv/metrics.csv; None where the run logged no loss there."""
    path = run_dir / "csv" / "metrics.csv"
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{name: value for name, value in row.items() if name and value} for row in csv.DictReader(file)]
    losses: dict[str, list[Point]] = {}
    shares: dict[str, dict[str, float]] = {"batches": {}, "sources": {}}
    validation = []
    for row in rows:
        share = float(row.get(_MONOLINGUAL, 0))
        for name, text in row.items():
            # Logged under the number of steps before it, and once more in each later row until another of its kind.
            kind = name.removeprefix(_LOSS)
            if name.startswith(_LOSS) and (share > 0 if kind == "monolingual" else share < 1):
                losses.setdefault(kind, []).append((int(row["step"]) + 1, float(text)))
            elif name == _VALIDATION:
                validation.append((int(row["step"]) + 1, float(text)))
        latest = {name: float(text) for name, text in row.items() if name.split("/")[0] in shares}
        if latest:  # shares of all batches so far: the last line counts
            shares = {kind: {name.split("/", 1)[1]: share for name, share in sorted(latest.items())
                             if name.startswith(f"{kind}/")} for kind in shares}  # fmt: skip
    return TrainingLog(dict(sorted(losses.items())), validation, **shares) if losses else None
