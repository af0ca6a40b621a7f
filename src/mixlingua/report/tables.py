"""The table that a run ends with."""

from collections.abc import Collection, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from mixlingua.evaluation.results import ResultRow
from mixlingua.report.averages import SEEN, ZERO_SHOT, averages

# (setting, metric, label), in the order of the lines; rank distance counts ranks, and lower is better.
_LINES = (
    ("monolingual", "map", "monolingual mAP ↑"),
    ("monolingual", "recall_at_1", "monolingual recall@1 ↑"),
    ("crosslingual", "map", "cross-lingual mAP ↑"),
    ("crosslingual", "recall_at_1", "cross-lingual recall@1 ↑"),
    ("multilingual", "map", "multilingual mAP ↑"),
    ("multilingual", "recall_at_1", "multilingual recall@1 ↑"),
    ("multilingual", "rank_distance", "rank distance ↓"),
    ("monolingual", "accuracy", "accuracy ↑"),
    ("monolingual", "macro_f1", "macro-F1 ↑"),
    ("monolingual", "accuracy_low_resource", "accuracy, low-resource ↑"),
    ("monolingual", "macro_f1_low_resource", "macro-F1, low-resource ↑"),
)


def before_after_table(
    before: Sequence[ResultRow] | None, after: Sequence[ResultRow], seen_languages: Collection[str]
) -> Table:
    """One block for each task: mAP and recall@1 by setting, and rank distance, for seen and zero-shot languages apart.

    before: rows of the untrained model, none for a table of `after` alone. seen_languages: ISO 639-1 codes trained on.
    A cross-lingual pair counts as zero-shot if one of its languages is; a multilingual query by its own language.
    Fits 80 columns.
    """
    old, new = averages(before or (), seen_languages), averages(after, seen_languages)
    groups = [group for group in (SEEN, ZERO_SHOT) if any(key[3] == group for key in new)]
    stages = ["before", "after", "change"] if before else [""]
    unseen = sorted({row.query_language for row in after} - set(seen_languages))
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1), caption=_caption(unseen), caption_justify="left"
    )
    table.add_column("", no_wrap=True)
    for group in groups:
        for stage in stages:
            heading = group if len(groups) > 1 and stage == stages[0] else ""
            table.add_column(f"{heading}\n{stage}" if before else heading, justify="right", no_wrap=True)
    for task in dict.fromkeys(row.task for row in after):
        table.add_row(Text(task, style="bold"))
        for setting, metric, label in _LINES:
            keys = [(task, setting, metric, group) for group in groups]
            if any(key in new for key in keys):
                pairs = [_cells(metric, old.get(key), new.get(key)) for key in keys]
                table.add_row(f"  {label}", *(cell for cells in pairs for cell in (cells if before else cells[1:2])))
        table.add_section()
    return table


def _caption(unseen: Sequence[str]) -> str:
    if not unseen:
        return "Averages over languages or pairs."
    return f"Averages over languages or pairs. Zero-shot: with {', '.join(unseen)}, never trained on."


def _cells(metric: str, old: float | None, new: float | None) -> tuple[str, str, Text]:
    """Before, after and change; green where the change is for the better."""
    ranks = metric == "rank_distance"
    shown = ["" if value is None else f"{value:,.0f}" if ranks else f"{value:.3f}" for value in (old, new)]
    if old is None or new is None:
        return shown[0], shown[1], Text()
    change = new - old
    style = "" if change == 0 else "green" if (change < 0) == ranks else "red"
    return shown[0], shown[1], Text(f"{change:+,.0f}" if ranks else f"{change:+.3f}", style=style)
