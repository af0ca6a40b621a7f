"""RUN/report.html: what a run found, in the order in which a reader asks."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlingua.evaluation.query_values import values_by_language
from mixlingua.evaluation.question_values import RANK_DISTANCE
from mixlingua.evaluation.results import ResultRow
from mixlingua.evaluation.run_folder import RunResults, read_results, read_worst_queries
from mixlingua.evaluation.settings import SETTINGS
from mixlingua.evaluation.worst_query import WorstQuery
from mixlingua.report.averages import SEEN, ZERO_SHOT, averages
from mixlingua.report.comparison_cells import plain_name, spoken
from mixlingua.report.grid import Grid, difference_grid, value_grid
from mixlingua.report.group_table import page_table
from mixlingua.report.page import write_page
from mixlingua.report.plain_table import PlainTable
from mixlingua.report.provenance_rows import choice_text, data_rows, file_rows, provenance_rows
from mixlingua.report.shares import language_shares
from mixlingua.report.spread import SpreadChart, spread_chart
from mixlingua.report.tables import figure_text, headline
from mixlingua.report.training_log import loss_chart, read_training_log

_SHOWN = 5  # worst queries of each setting on the page; worst_queries.json has more


@dataclass(frozen=True)
class TaskPart:
    """One benchmark on the page. groups: of languages. shares: languages of the first ten passages. worst: by setting.
    figures: every average."""

    name: str
    note: str
    groups: PlainTable | None
    grids: Sequence[Grid]
    shares: Grid | None
    spread: SpreadChart | None
    worst: Mapping[str, Sequence[WorstQuery]]
    figures: PlainTable


def write_run_page(run_dir: Path, times: Sequence[tuple[str, str]]) -> Path:
    """Write report.html from what else is in the run folder, and return its path.

    times: further rows of the provenance, such as when the run started. Raises DataError as `read_results` does.
    """
    after = read_results(run_dir)
    before = read_results(run_dir, "before").rows if (run_dir / "metrics_before.json").exists() else None
    languages = sorted({row.query_language for row in after.rows})
    seen = after.provenance.get("training_languages", languages)
    zero_shot = [language for language in languages if language not in seen]
    log = read_training_log(run_dir)
    config = run_dir / "config.yaml"
    tasks: Mapping[str, Mapping[str, Any]] = after.provenance["tasks"]
    content = {
        "title": _title(after.provenance),
        "lead": _lead(after.provenance),
        "pretraining": after.provenance.get("pretraining"),
        "headline": headline(before, after.rows, seen, after.average),
        "zero_shot": zero_shot,
        "tasks": [_task(run_dir, name, after, before, seen, zero_shot) for name in tasks],
        "log": log,
        "loss": loss_chart(log) if log else None,
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
) -> TaskPart:
    about = results.provenance["tasks"][name]
    distances = values_by_language(run_dir, name, "multilingual", RANK_DISTANCE)
    earlier = values_by_language(run_dir, name, "multilingual", RANK_DISTANCE, "before")
    shares = language_shares(results.rows, name)
    worst = [query for query in read_worst_queries(run_dir) if query.task == name]
    by_setting = {setting: [query for query in worst if query.setting == setting][:_SHOWN] for setting in SETTINGS}
    return TaskPart(
        name=name,
        note=about["note"],
        groups=page_table(results.rows, name, about["main_metric"], results.average),
        grids=_grids(name, about["main_metric"], before, results.rows, zero_shot),
        shares=value_grid(f"{name}: languages of the first ten passages", shares, zero_shot) if shares else None,
        spread=spread_chart(f"{name}: rank distance by query language", distances, earlier, zero_shot)
        if distances else None,
        worst={setting: queries for setting, queries in by_setting.items() if queries},
        figures=_figures(name, results, seen),
    )  # fmt: skip


def _grids(
    task: str, metric: str, before: Sequence[ResultRow] | None, after: Sequence[ResultRow], zero_shot: Collection[str]
) -> list[Grid]:
    """The main metric by pair, and how training changed it."""
    new, old = _pairs(task, metric, after), _pairs(task, metric, before or ())
    if not new:
        return []
    grids = [value_grid(f"{task}: {plain_name(metric)}", new, zero_shot)]
    change = {pair: value - old[pair] for pair, value in new.items() if pair in old}
    if change:
        grids.append(difference_grid(f"{task}: change of {plain_name(metric)} by training", change, zero_shot))
    return grids


def _pairs(task: str, metric: str, rows: Sequence[ResultRow]) -> dict[tuple[str, str], float]:
    return {
        (row.query_language, row.passage_language): row.value
        for row in rows
        if row.task == task and row.metric == metric and row.setting in ("monolingual", "crosslingual")
    }


def _figures(task: str, results: RunResults, seen: Collection[str]) -> PlainTable:
    """Every metric in every setting."""
    found = averages((row for row in results.rows if row.task == task), seen, results.average)
    groups = [group for group in (SEEN, ZERO_SHOT) if any(key[3] == group for key in found)]
    lines = list(dict.fromkeys((setting, metric) for _, setting, metric, _ in found))
    return PlainTable(
        name=f"figures-{task.replace('_', '-')}",
        title=f"{task}: every average",
        columns=["setting", "metric", *(groups if len(groups) > 1 else ["value"])],
        rows=[
            [spoken(setting), plain_name(metric), *(
                figure_text(metric, found[task, setting, metric, group])
                if (task, setting, metric, group) in found else "" for group in groups
            )]
            for setting, metric in lines
        ],
        labels=2,
        note="Defined in docs/metrics.md.",
    )  # fmt: skip
