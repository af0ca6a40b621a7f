"""The tables of a run: before and after training, and of mined negatives."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from mixlingua.evaluation.results import (
    LOWER_IS_BETTER,
    MACRO,
    RANK_DISTANCE,
    SETTINGS,
    Average,
    ResultRow,
    mean_of_rows,
)
from mixlingua.mining.mine import FILTERS
from mixlingua.report.groups import languages_of
from mixlingua.report.plain_table import PlainTable, figure_text, metric_name, spoken

SEEN, ZERO_SHOT = "seen", "zero-shot"


def group_of(row: ResultRow, seen_languages: Collection[str]) -> str:
    """seen: every language of the row was trained on; zero-shot: one of them was not.

    In the multilingual setting, whose pool holds every language, the query's language decides.
    """
    languages = {row.query_language} if row.setting == "multilingual" else {row.query_language, row.passage_language}
    return SEEN if languages <= set(seen_languages) else ZERO_SHOT


def averages(
    rows: Iterable[ResultRow], seen_languages: Collection[str], average: Average = MACRO
) -> dict[tuple[str, str, str, str], float]:
    """(task, setting, metric, group) -> mean over the languages or pairs of the group."""
    by_key: dict[tuple[str, str, str, str], list[ResultRow]] = {}
    for row in rows:
        by_key.setdefault((row.task, row.setting, row.metric, group_of(row, seen_languages)), []).append(row)
    return {key: mean_of_rows(members, average) for key, members in by_key.items()}


# (setting, metric, label), in the order of a setting's lines; rank distance counts ranks, and lower is better.
_LINES = (
    ("monolingual", "map", "monolingual mAP ↑"),
    ("monolingual", "recall_at_1", "monolingual recall@1 ↑"),
    ("crosslingual", "map", "cross-lingual mAP ↑"),
    ("crosslingual", "recall_at_1", "cross-lingual recall@1 ↑"),
    ("multilingual", "map", "multilingual mAP ↑"),
    ("multilingual", "recall_at_1", "multilingual recall@1 ↑"),
    ("multilingual", RANK_DISTANCE, "rank distance ↓"),
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
class Change:
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
        return shown[0], shown[1], figure_text(self.metric, change, sign="+")

    @property
    def verdict(self) -> str:
        """better, worse, or empty where nothing changed or there is nothing to compare."""
        if self.before is None or self.after is None or self.before == self.after:
            return ""
        return "better" if (self.after < self.before) == (self.metric in LOWER_IS_BETTER) else "worse"


@dataclass(frozen=True)
class Headline:
    """groups: seen, zero-shot, or both. blocks: task -> its lines, a label and the figures of each group."""

    groups: Sequence[str]
    has_before: bool
    blocks: dict[str, list[tuple[str, list[Change]]]]
    note: str


def headline(
    before: Sequence[ResultRow] | None,
    after: Sequence[ResultRow],
    seen: Collection[str],
    tasks: Mapping[str, Mapping[str, Any]],
    average: Average = MACRO,
) -> Headline:
    """Each task's main metric, mAP and recall@1 by setting, and rank distance, for seen and zero-shot languages apart.

    before: rows of the untrained model, none where only `after` was measured. seen: ISO 639-1 codes trained on.
    tasks: the provenance of each. A cross-lingual pair counts as zero-shot if one of its languages is; a multilingual
    query by its own language.
    """
    old, new = (averages(rows, seen, average) for rows in (before or (), after))
    groups = [group for group in (SEEN, ZERO_SHOT) if any(key[3] == group for key in new)]
    blocks: dict[str, list[tuple[str, list[Change]]]] = {task: [] for task in dict.fromkeys(row.task for row in after)}
    for task, lines in blocks.items():
        for setting, metric, label in _lines(tasks[task]["main_metric"]):
            keys = [(task, setting, metric, group) for group in groups]
            if any(key in new for key in keys):
                lines.append((label, [Change(metric, old.get(key), new.get(key)) for key in keys]))
    note = f"Averages over {'languages or pairs' if average == MACRO else 'all queries'}."
    if unseen := [language for language in languages_of(after) if language not in seen]:
        note += f" Zero-shot: with {', '.join(unseen)}, which were never trained on."
    for task in dict.fromkeys(key[0] for key in new if key[1:3] == ("multilingual", "recall_at_1")):
        if (most := tasks[task].get("most_recall_at_1", 1)) < 1:
            note += f" Multilingual recall@1 is at most {most:.3f} on {task}, as a mean over its languages: 1/R for a "
            note += "query with R relevant passages."
    return Headline(groups, bool(before), blocks, note)


def _lines(main_metric: str) -> Iterator[tuple[str, str, str]]:
    """Setting, metric and label of each line: the main metric first in its setting, then those that all tasks show."""
    for setting in SETTINGS:
        usual = [line for line in _LINES if line[0] == setting]
        if main_metric not in {metric for _, metric, _ in usual}:
            yield setting, main_metric, f"{spoken(setting)} {metric_name(main_metric)}"
        yield from usual


def before_after_table(
    before: Sequence[ResultRow] | None,
    after: Sequence[ResultRow],
    seen_languages: Collection[str],
    tasks: Mapping[str, Mapping[str, Any]],
    average: Average = MACRO,
) -> Table:
    """One block for each task: the lines of `headline`. Green: a change for the better. Fits 80 columns."""
    shown = headline(before, after, seen_languages, tasks, average)
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
            cells = [zip(each.texts, ("", "", _STYLES[each.verdict]), strict=True) for each in figures]
            texts = [Text(text, style) for of_group in cells for text, style in of_group]
            table.add_row(f"  {label}", *(texts if shown.has_before else texts[1::3]))
        table.add_section()
    return table


# source -> language of the query -> Tally.figures()
Mined = Mapping[str, Mapping[str, Mapping[str, Any]]]


def mining_tables(figures: Mined, *, num_negatives: int, top_k: int, across_languages: bool) -> Iterator[PlainTable]:
    """A table of scores and filters and, where negatives come from several languages, one of these."""
    tallies = [
        (source, language, tally) for source, of_source in figures.items() for language, tally in of_source.items()
    ]
    rows = [
        [source, language, f"{tally['queries']:,}", f"{tally['left_out']:,}", _score(tally["mean_positive"]),
         _score(tally["mean_negative"]), *(f"{tally['removed'][name]:.1%}" for name in FILTERS)]
        for source, language, tally in tallies
    ]  # fmt: skip
    columns = ["source", "query", "queries", "left out", "positive", "negatives", *FILTERS]
    note = (
        f"Queries with fewer than {num_negatives} negatives are left out. Positive and negatives: mean scores of the "
        f"others. {', '.join(FILTERS)}: share of the first {top_k} passages that the filter removed."
    )
    yield PlainTable("mining", "Hard negatives", columns, rows, labels=2, note=note)
    if across_languages:
        found = sorted({name for _, _, tally in tallies for name in tally["negative_languages"]})
        rows = [
            [source, language, *(f"{tally['negative_languages'].get(name, 0):.0%}" for name in found)]
            for source, language, tally in tallies
        ]
        columns = ["source", "query", *found]
        yield PlainTable("mining-languages", "Languages of the negatives", columns, rows, labels=2)


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
