"""The table that a run ends with."""

from collections.abc import Collection, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from mixlingua.evaluation.results import ResultRow
from mixlingua.report.headline import Figures, headline

_STYLES = {"better": "green", "worse": "red", "": ""}


def before_after_table(
    before: Sequence[ResultRow] | None, after: Sequence[ResultRow], seen_languages: Collection[str]
) -> Table:
    """One block for each task: the lines of `headline`. Green: a change for the better. Fits 80 columns."""
    shown = headline(before, after, seen_languages)
    stages = ["before", "after", "change"] if shown.has_before else [""]
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1), caption=shown.note, caption_justify="left"
    )
    table.add_column("", no_wrap=True)
    for group in shown.groups:
        for stage in stages:
            heading = group if len(shown.groups) > 1 and stage == stages[0] else ""
            table.add_column(f"{heading}\n{stage}" if shown.has_before else heading, justify="right", no_wrap=True)
    for task, lines in shown.blocks.items():
        table.add_row(Text(task, style="bold"))
        for label, figures in lines:
            cells = [_cells(each) if shown.has_before else [Text(each.texts[1])] for each in figures]
            table.add_row(f"  {label}", *(cell for part in cells for cell in part))
        table.add_section()
    return table


def _cells(figures: Figures) -> list[Text]:
    before, after, change = figures.texts
    return [Text(before), Text(after), Text(change, style=_STYLES[figures.verdict])]
