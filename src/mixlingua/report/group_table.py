"""The main metric of a run by groups of languages, for a terminal and for a page."""

from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from mixlingua.evaluation.averages import Average
from mixlingua.evaluation.results import ResultRow
from mixlingua.evaluation.settings import SETTINGS
from mixlingua.report.comparison_cells import plain_name, spoken
from mixlingua.report.groups import group_means, groups_among, unknown_languages
from mixlingua.report.plain_table import PlainTable

_HEADINGS = dict(zip(SETTINGS, ("mono", "cross", "multi"), strict=True))


def group_table(
    before: Sequence[ResultRow] | None,
    after: Sequence[ResultRow],
    main_metrics: Mapping[str, str],
    average: Average,
) -> Table | None:
    """One block for each task whose languages fall into several groups; None where there is no such task.

    before: rows of the untrained model, to show the change; main_metrics: by task. Fits 80 columns.
    """
    rows = [row for row in after if row.metric == main_metrics[row.task]]
    by_task = {task: [row for row in rows if row.task == task] for task in dict.fromkeys(row.task for row in rows)}
    shown = {task: part for task, part in by_task.items() if groups_among(part)}
    if not shown:
        return None
    settings = [
        setting for setting in SETTINGS if any(row.setting == setting for part in shown.values() for row in part)
    ]
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1), caption_justify="left",
        caption=_caption([row for part in shown.values() for row in part]),
    )  # fmt: skip
    table.add_column("", no_wrap=True)
    for setting in settings:
        table.add_column(_HEADINGS[setting] + ("\nafter" if before else ""), justify="right", no_wrap=True)
        if before:
            table.add_column("\nchange", justify="right", no_wrap=True)
    for task, part in shown.items():
        table.add_row(Text(f"{task} {main_metrics[task]}", style="bold"))
        old_rows = [row for row in before or () if (row.task, row.metric) == (task, main_metrics[task])]
        old, new = (group_means(some, average) for some in (old_rows, part))
        for group in groups_among(part):
            cells = (_cells(old.get((s, group)), new.get((s, group)), change=bool(before)) for s in settings)
            table.add_row(f"  {group}", *(cell for pair in cells for cell in pair))
        table.add_section()
    return table


def page_table(rows: Sequence[ResultRow], task: str, metric: str, average: Average) -> PlainTable | None:
    """The groups of one task; None where its languages fall into one."""
    own = [row for row in rows if (row.task, row.metric) == (task, metric)]
    groups, settings = groups_among(own), [name for name in SETTINGS if any(row.setting == name for row in own)]
    means = group_means(own, average)
    if not groups:
        return None
    return PlainTable(
        name=f"groups-{task.replace('_', '-')}",
        title=f"{task}: {plain_name(metric)} by groups of languages",
        columns=["", *map(spoken, settings)],
        rows=[[group, *(_text(means.get((setting, group))) for setting in settings)] for group in groups],
        labels=1,
        note=_caption(own),
    )


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _cells(old: float | None, new: float | None, *, change: bool) -> Iterator[str | Text]:
    yield _text(new)
    if not change:
        return
    if old is None or new is None:
        yield ""
    else:
        difference = new - old
        yield Text(f"{difference:+.3f}", style="green" if difference > 0 else "red" if difference < 0 else "")


def _caption(rows: Sequence[ResultRow]) -> str:
    text = "Resources: of a pair's language with less, Joshi et al. 2020."
    unknown = unknown_languages(rows)
    return text + (f" Not grouped where unknown: {', '.join(unknown)}." if unknown else "")
