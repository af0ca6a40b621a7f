"""The figures that a run ends with, and their table for a terminal."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from mixlingua.evaluation.averages import MACRO, Average
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
    ("monolingual", "success_at_20", "monolingual success@20 ↑"),
    ("monolingual", "success_at_100", "monolingual success@100 ↑"),
    ("crosslingual", "success_at_20", "cross-lingual success@20 ↑"),
    ("crosslingual", "success_at_100", "cross-lingual success@100 ↑"),
    ("monolingual", "accuracy", "accuracy ↑"),
    ("monolingual", "macro_f1", "macro-F1 ↑"),
    ("monolingual", "accuracy_low_resource", "accuracy, low-resource ↑"),
    ("monolingual", "macro_f1_low_resource", "macro-F1, low-resource ↑"),
)
_STYLES = {"better": "green", "worse": "red", "": ""}


@dataclass(frozen=True)
class Figures:
    """One average before and after training; None where there is none."""

    metric: str
    before: float | None
    after: float | None

    @property
    def texts(self) -> tuple[str, str, str]:
        """Before, after and change, empty where there is none."""
        shown = ["" if value is None else figure_text(self.metric, value) for value in (self.before, self.after)]
        if self.before is None or self.after is None:
            return shown[0], shown[1], ""
        change = self.after - self.before
        return shown[0], shown[1], f"{change:+,.0f}" if self.metric == "rank_distance" else f"{change:+.3f}"

    @property
    def verdict(self) -> str:
        """better, worse, or empty where nothing changed or there is nothing to compare."""
        if self.before is None or self.after is None or self.before == self.after:
            return ""
        return "better" if (self.after < self.before) == (self.metric == "rank_distance") else "worse"


@dataclass(frozen=True)
class Headline:
    """groups: seen, zero-shot, or both. blocks: task -> its lines, a label and the figures of each group."""

    groups: Sequence[str]
    has_before: bool
    blocks: dict[str, list[tuple[str, list[Figures]]]]
    note: str


def headline(
    before: Sequence[ResultRow] | None, after: Sequence[ResultRow], seen: Collection[str], average: Average = MACRO
) -> Headline:
    """mAP and recall@1 by setting, and rank distance, for seen and zero-shot languages apart.

    before: rows of the untrained model, none where only `after` was measured. seen: ISO 639-1 codes trained on.
    A cross-lingual pair counts as zero-shot if one of its languages is; a multilingual query by its own language.
    """
    old, new = (averages(rows, seen, average) for rows in (before or (), after))
    groups = [group for group in (SEEN, ZERO_SHOT) if any(key[3] == group for key in new)]
    blocks: dict[str, list[tuple[str, list[Figures]]]] = {task: [] for task in dict.fromkeys(row.task for row in after)}
    for task, lines in blocks.items():
        for setting, metric, label in _LINES:
            keys = [(task, setting, metric, group) for group in groups]
            if any(key in new for key in keys):
                lines.append((label, [Figures(metric, old.get(key), new.get(key)) for key in keys]))
    unseen = sorted({row.query_language for row in after} - set(seen))
    return Headline(groups, bool(before), blocks, _caption(unseen, average))


def before_after_table(
    before: Sequence[ResultRow] | None,
    after: Sequence[ResultRow],
    seen_languages: Collection[str],
    average: Average = MACRO,
) -> Table:
    """One block for each task: the lines of `headline`. Green: a change for the better. Fits 80 columns."""
    shown = headline(before, after, seen_languages, average)
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


def _caption(unseen: Sequence[str], average: Average) -> str:
    over = "languages or pairs" if average == MACRO else "all queries"
    if not unseen:
        return f"Averages over {over}."
    return f"Averages over {over}. Zero-shot: with {', '.join(unseen)}, never trained on."


def _cells(figures: Figures) -> list[Text]:
    before, after, change = figures.texts
    return [Text(before), Text(after), Text(change, style=_STYLES[figures.verdict])]


def figure_text(metric: str, value: float) -> str:
    """A figure as the tables of a run show it."""
    return f"{value:,.0f}" if metric == "rank_distance" else f"{value:.3f}"
