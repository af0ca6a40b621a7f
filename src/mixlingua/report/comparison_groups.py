"""The systems of a comparison side by side, by groups of languages."""

from collections.abc import Sequence

from mixlingua.evaluation.averages import Average
from mixlingua.evaluation.comparison_rows import LANGUAGE, PAIR, ComparisonRow
from mixlingua.evaluation.results import ResultRow
from mixlingua.evaluation.settings import SETTINGS
from mixlingua.report.comparison_cells import SHORT, metric_name
from mixlingua.report.groups import group_means, groups_among, unknown_languages
from mixlingua.report.plain_table import PlainTable


def group_tables(rows: Sequence[ComparisonRow], average: Average, widest: int) -> list[PlainTable]:
    """A table of main metrics for each task whose languages fall into several groups.

    More than `widest` systems are a table for the files only.
    """
    return [
        table
        for task in dict.fromkeys(row.task for row in rows)
        if (table := _table([row for row in rows if row.task == task and _is_cell(row)], average, widest))
    ]


def _is_cell(row: ComparisonRow) -> bool:
    return row.scope == (LANGUAGE if row.setting == "multilingual" else PAIR)


def _table(rows: Sequence[ComparisonRow], average: Average, widest: int) -> PlainTable | None:
    by_system: dict[str, list[ResultRow]] = {}
    for row in rows:
        by_system.setdefault(row.system, []).append(
            ResultRow(
                row.task, row.setting, row.query_language, row.passage_language, row.metric, row.value,
                row.num_questions,
            )
        )  # fmt: skip
    groups = groups_among(rows)
    if not groups:
        return None
    task, settings = rows[0].task, [setting for setting in SETTINGS if any(row.setting == setting for row in rows)]
    means = [group_means(own, average) for own in by_system.values()]
    lines = []
    for group in groups:
        figures = [[found.get((setting, group)) for setting in settings] for found in means]
        lines.append([group, *(" / ".join("-" if v is None else f"{v:.3f}" for v in part) for part in figures)])
    unknown = unknown_languages(rows)
    return PlainTable(
        name=f"groups-{task.replace('_', '-')}",
        title=f"{task} {metric_name(rows[0])} by groups of languages",
        columns=["", *by_system],
        rows=lines,
        labels=1,
        note=f"{' / '.join(SHORT[setting] for setting in settings)} Resources: of a pair's language with less (Joshi "
        "et al. 2020); in Mul., of the query's. Not tested."
        + (f" Not grouped where unknown: {', '.join(unknown)}." if unknown else ""),
        long=len(by_system) > widest,
    )
