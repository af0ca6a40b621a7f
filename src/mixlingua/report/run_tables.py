"""The tables of a run: before and after training, by groups of languages, and of mined negatives."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich import box
from rich.table import Table
from rich.text import Text

from mixlingua.evaluation.results import ALL_LANGUAGES, MACRO, SETTINGS, Average, ResultRow, mean_of_rows
from mixlingua.languages import family, resource_class, script
from mixlingua.mining.mine import FILTERS
from mixlingua.report.page import PlainTable, plain_name, spoken

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
    blocks: dict[str, list[tuple[str, list[Change]]]]
    note: str


def headline(
    before: Sequence[ResultRow] | None,
    after: Sequence[ResultRow],
    seen: Collection[str],
    main_metrics: Mapping[str, str],
    average: Average = MACRO,
) -> Headline:
    """Each task's main metric, mAP and recall@1 by setting, and rank distance, for seen and zero-shot languages apart.

    before: rows of the untrained model, none where only `after` was measured. seen: ISO 639-1 codes trained on.
    main_metrics: by task. A cross-lingual pair counts as zero-shot if one of its languages is; a multilingual query by
    its own language.
    """
    old, new = (averages(rows, seen, average) for rows in (before or (), after))
    groups = [group for group in (SEEN, ZERO_SHOT) if any(key[3] == group for key in new)]
    blocks: dict[str, list[tuple[str, list[Change]]]] = {task: [] for task in dict.fromkeys(row.task for row in after)}
    for task, lines in blocks.items():
        for setting, metric, label in _lines(main_metrics[task]):
            keys = [(task, setting, metric, group) for group in groups]
            if any(key in new for key in keys):
                lines.append((label, [Change(metric, old.get(key), new.get(key)) for key in keys]))
    unseen = sorted({row.query_language for row in after} - set(seen))
    note = _before_after_caption(unseen, average)
    if any(key[1:3] == ("multilingual", "recall_at_1") for key in new):
        note += " Multilingual recall@1 is at most 1/R where a query has R relevant passages, such as one per language."
    return Headline(groups, bool(before), blocks, note)


def _lines(main_metric: str) -> Iterator[tuple[str, str, str]]:
    """Setting, metric and label of each line: the main metric first in its setting, then those that all tasks show."""
    for setting in SETTINGS:
        usual = [line for line in _LINES if line[0] == setting]
        if main_metric not in {metric for _, metric, _ in usual}:
            yield setting, main_metric, f"{spoken(setting)} {plain_name(main_metric)} ↑"
        yield from usual


def before_after_table(
    before: Sequence[ResultRow] | None,
    after: Sequence[ResultRow],
    seen_languages: Collection[str],
    main_metrics: Mapping[str, str],
    average: Average = MACRO,
) -> Table:
    """One block for each task: the lines of `headline`. Green: a change for the better. Fits 80 columns."""
    shown = headline(before, after, seen_languages, main_metrics, average)
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
            cells = [_change_cells(each) if shown.has_before else [Text(each.texts[1])] for each in figures]
            table.add_row(f"  {label}", *(cell for group_cells in cells for cell in group_cells))
        table.add_section()
    return table


def _before_after_caption(unseen: Sequence[str], average: Average) -> str:
    over = "languages or pairs" if average == MACRO else "all queries"
    if not unseen:
        return f"Averages over {over}."
    return f"Averages over {over}. Zero-shot: with {', '.join(unseen)}, which were never trained on."


def _change_cells(change: Change) -> list[Text]:
    before, after, difference = change.texts
    return [Text(before), Text(after), Text(difference, style=_STYLES[change.verdict])]


def figure_text(metric: str, value: float) -> str:
    """A figure as the tables of a run show it."""
    return f"{value:,.0f}" if metric == "rank_distance" else f"{value:.3f}"


HIGH, MID, LOW = "high-resource (class 4-5)", "mid-resource (class 3)", "low-resource (class 0-2)"
SAME_SCRIPT, SCRIPTS = "same script", "different scripts"
SAME_FAMILY, FAMILIES = "same family", "different families"
KINDS = ((HIGH, MID, LOW), (SAME_SCRIPT, SCRIPTS), (SAME_FAMILY, FAMILIES))  # in the order of tables


class HasLanguages(Protocol):
    """A row of results, or of a comparison."""

    @property
    def setting(self) -> str: ...
    @property
    def query_language(self) -> str: ...
    @property
    def passage_language(self) -> str: ...


def groups_of(row: HasLanguages) -> Iterator[str]:
    """The groups of a row, at most one of each kind.

    Resources: those of its language with least; in the multilingual setting, whose pool holds every language, of the
    query's. Script and family: of cross-lingual pairs, whether they are the same. A row with a language of which it is
    not known belongs to no group of that kind.
    """
    languages = [row.query_language]
    if row.setting == "crosslingual":
        languages.append(row.passage_language)
    classes = [resource_class(language) for language in languages]
    if None not in classes:
        least = min(known for known in classes if known is not None)
        yield HIGH if least > 3 else MID if least == 3 else LOW
    if row.setting == "crosslingual":
        for of, same, different in ((script, SAME_SCRIPT, SCRIPTS), (family, SAME_FAMILY, FAMILIES)):
            values = {of(language) for language in languages}
            if None not in values:
                yield same if len(values) == 1 else different


def groups_among(rows: Iterable[HasLanguages]) -> list[str]:
    """The groups that rows fall into, in the order of tables; a kind that does not tell any two rows apart has none."""
    present = {group for row in rows for group in groups_of(row)}
    kinds = ([group for group in kind if group in present] for kind in KINDS)
    return [group for kind in kinds if len(kind) > 1 for group in kind]


def unknown_languages(rows: Iterable[HasLanguages]) -> list[str]:
    """The languages of rows whose class, script or family is not known, sorted."""
    named = {language for row in rows for language in (row.query_language, row.passage_language)} - {ALL_LANGUAGES}
    return sorted(code for code in named if None in (resource_class(code), script(code), family(code)))


def group_means(rows: Iterable[ResultRow], average: Average) -> dict[tuple[str, str], float]:
    """(setting, group) -> the mean over the languages or pairs of the group, of the rows of one task and metric."""
    by_group: dict[tuple[str, str], list[ResultRow]] = {}
    for row in rows:
        for group in groups_of(row):
            by_group.setdefault((row.setting, group), []).append(row)
    return {key: mean_of_rows(members, average) for key, members in by_group.items()}


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
    shown = {task: task_rows for task, task_rows in by_task.items() if groups_among(task_rows)}
    if not shown:
        return None
    settings = [
        setting
        for setting in SETTINGS
        if any(row.setting == setting for task_rows in shown.values() for row in task_rows)
    ]
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1), caption_justify="left",
        caption=_group_caption([row for task_rows in shown.values() for row in task_rows]),
    )  # fmt: skip
    table.add_column("", no_wrap=True)
    for setting in settings:
        table.add_column(_HEADINGS[setting] + ("\nafter" if before else ""), justify="right", no_wrap=True)
        if before:
            table.add_column("\nchange", justify="right", no_wrap=True)
    for task, task_rows in shown.items():
        table.add_row(Text(f"{task} {main_metrics[task]}", style="bold"))
        old_rows = [row for row in before or () if (row.task, row.metric) == (task, main_metrics[task])]
        old, new = (group_means(some, average) for some in (old_rows, task_rows))
        for group in groups_among(task_rows):
            cells = (_group_cells(old.get((s, group)), new.get((s, group)), change=bool(before)) for s in settings)
            table.add_row(f"  {group}", *(cell for pair in cells for cell in pair))
        table.add_section()
    return table


def group_page_table(rows: Sequence[ResultRow], task: str, metric: str, average: Average) -> PlainTable | None:
    """The groups of one task; None where its languages fall into one."""
    task_rows = [row for row in rows if (row.task, row.metric) == (task, metric)]
    groups, settings = (
        groups_among(task_rows),
        [name for name in SETTINGS if any(row.setting == name for row in task_rows)],
    )
    means = group_means(task_rows, average)
    if not groups:
        return None
    return PlainTable(
        name=f"groups-{task.replace('_', '-')}",
        title=f"{task}: {plain_name(metric)} by groups of languages",
        columns=["", *map(spoken, settings)],
        rows=[[group, *(_text(means.get((setting, group))) for setting in settings)] for group in groups],
        labels=1,
        note=_group_caption(task_rows),
    )


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _group_cells(old: float | None, new: float | None, *, change: bool) -> Iterator[str | Text]:
    yield _text(new)
    if not change:
        return
    if old is None or new is None:
        yield ""
    else:
        difference = new - old
        yield Text(f"{difference:+.3f}", style="green" if difference > 0 else "red" if difference < 0 else "")


def _group_caption(rows: Sequence[ResultRow]) -> str:
    text = "A pair counts by its language with fewer resources (Joshi et al. 2020)."
    unknown = unknown_languages(rows)
    return text + (f" Not grouped, because unknown: {', '.join(unknown)}." if unknown else "")


# source -> language of the query -> Tally.figures()
Mined = Mapping[str, Mapping[str, Mapping[str, Any]]]


def mining_tables(figures: Mined, *, num_negatives: int, top_k: int, across_languages: bool) -> Iterator[PlainTable]:
    """A table of scores and filters and, where negatives come from several languages, one of these."""
    rows = [
        [source, language, f"{tally['queries']:,}", f"{tally['left_out']:,}", _score(tally["mean_positive"]),
         _score(tally["mean_negative"]), *(f"{tally['removed'][name]:.1%}" for name in FILTERS)]
        for source, by_language in figures.items()
        for language, tally in by_language.items()
    ]  # fmt: skip
    yield PlainTable(
        name="mining",
        title="Hard negatives",
        columns=["source", "query", "queries", "left out", "positive", "negatives", *FILTERS],
        rows=rows,
        labels=2,
        note=f"Queries with fewer than {num_negatives} negatives are left out. Positive and negatives: mean scores of "
        f"the others. {', '.join(FILTERS)}: share of the first {top_k} passages that the filter removed.",
    )
    if across_languages:
        yield _negative_languages(figures)


def _negative_languages(figures: Mined) -> PlainTable:
    languages = sorted(
        {name for by in figures.values() for tally in by.values() for name in tally["negative_languages"]}
    )
    rows = [
        [source, language, *(f"{tally['negative_languages'].get(name, 0):.0%}" for name in languages)]
        for source, by_language in figures.items()
        for language, tally in by_language.items()
    ]
    return PlainTable(
        name="mining-languages", title="Languages of the negatives", columns=["source", "query", *languages], rows=rows,
        labels=2,
    )  # fmt: skip


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
