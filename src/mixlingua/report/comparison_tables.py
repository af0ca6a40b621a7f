"""The tables of a comparison: the paper's two, and what stands behind them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mixlingua.evaluation.averages import MACRO, Average
from mixlingua.evaluation.comparison_rows import (
    AVERAGE,
    LANGUAGE,
    PAIR,
    ComparisonRow,
    Difference,
)
from mixlingua.evaluation.question_values import RANK_DISTANCE
from mixlingua.evaluation.settings import SETTINGS
from mixlingua.report.comparison_cells import (
    SHORT,
    evidence,
    figure_name,
    interval,
    marked,
    mean,
    metric_name,
    number,
    percent,
    signed,
    star,
)
from mixlingua.report.comparison_groups import group_tables
from mixlingua.report.plain_table import PlainTable

T = TypeVar("T")
_WIDEST = 4  # systems side by side in a terminal


@dataclass(frozen=True)
class Labels:
    """headings: of the leading columns, such as model and sampling; cells: system -> its text in each."""

    headings: Sequence[str]
    cells: Mapping[str, Sequence[str]]


def comparison_tables(
    rows: Sequence[ComparisonRow], labels: Labels, confidence: float, average: Average = MACRO
) -> list[PlainTable]:
    """Averages by setting, rank distance, intervals, differences, query languages, groups of languages, wins, and each
    pair (long). average: that of the rows."""
    tables = [_means(rows, labels, confidence, ranks=ranks) for ranks in (False, True) if _average(rows, ranks)]
    tables.append(_intervals(rows, confidence))
    if any(row.difference for row in rows):
        tables.append(_differences(rows, confidence))
    tables += [_languages(rows, task, confidence) for task in _distinct(row.task for row in rows)]
    tables += group_tables(rows, average, _WIDEST)
    if any(row.difference for row in rows):
        tables += [_wins(rows, confidence), *_pairs(rows, confidence)]
    return tables


def _means(rows: Sequence[ComparisonRow], labels: Labels, confidence: float, *, ranks: bool) -> PlainTable:
    """The paper's table 1, or its table 2 (ranks)."""
    found = {(row.system, row.task, row.setting): row for row in _average(rows, ranks)}
    columns = [(task, setting) for task in _distinct(key[1] for key in found) for setting in SETTINGS]
    columns = [column for column in columns if any(key[1:] == column for key in found)]
    seeds = {row.system: str(row.num_seeds) for row in rows}
    cells = [
        [*labels.cells[system], seeds[system], *(mean(found[system, *column], confidence) for column in columns)]
        for system in labels.cells
    ]
    metrics = " / ".join(_distinct(metric_name(row) for row in found.values()))
    heads = [task if ranks else f"{task} {SHORT[setting]}" for task, setting in columns]
    note = f"±: half of the {percent(confidence)} interval over seeds" + (
        "; none with one seed." if "1" in seeds.values() else "."
    )
    if any(row.difference for row in found.values()):
        note += " *: differs from the baseline, p < " + f"{1 - confidence:.2g} after Holm's correction over this table."
    return PlainTable(
        name="rank-distance" if ranks else "quality",
        title=f"Language bias ({metrics})" if ranks else f"Retrieval quality ({metrics})",
        columns=[*labels.headings, "seeds", *heads],
        rows=cells,
        labels=len(labels.headings),
        note=note,
    )


def _intervals(rows: Sequence[ComparisonRow], confidence: float) -> PlainTable:
    return PlainTable(
        name="intervals",
        title=f"{percent(confidence)} intervals",
        columns=["system", "task", "metric", "mean", "over questions", "over seeds"],
        rows=[
            [
                row.system,
                row.task,
                figure_name(row),
                number(row, row.value),
                interval(row, row.interval),
                interval(row, row.seeds_interval),
            ]
            for row in _averages(rows)
        ],
        labels=3,
        note="Over questions: other questions, these models (bootstrap). Over seeds: other trainings, these questions "
        "(Student's t); there is none with one seed.",
    )


def _differences(rows: Sequence[ComparisonRow], confidence: float) -> PlainTable:
    lines = []
    for row, difference in _tested(_averages(rows)):
        lines.append([
            f"{row.system} - {difference.baseline}",
            row.task,
            figure_name(row),
            signed(row, difference.value) + star(row, confidence),
            interval(row, difference.interval, with_sign=True),
            interval(row, difference.seeds_interval, with_sign=True),
            *evidence(difference),
        ])  # fmt: skip
    return PlainTable(
        name="differences",
        title="Differences to the baseline",
        columns=["systems", "task", "metric", "difference", "over questions", "over seeds", "d", "p", "p Holm"],
        rows=lines,
        labels=3,
        note="p: paired permutation test over questions; d: Cohen's d over questions. Intervals: "
        f"{percent(confidence)}, over questions by bootstrap, over seeds by Welch's t; where the latter holds 0, the "
        "difference may be that of the seeds.",
    )


def _languages(rows: Sequence[ComparisonRow], task: str, confidence: float) -> PlainTable:
    own = [row for row in rows if row.task == task and row.scope == LANGUAGE]
    found = {(row.system, row.query_language, row.setting): row for row in own}
    systems, settings = _distinct(row.system for row in own), {row.setting for row in own}
    shown = [setting for setting in SETTINGS if setting in settings]
    lines = []
    for language in _distinct(row.query_language for row in own):
        cells = [[found.get((system, language, setting)) for setting in shown] for system in systems]
        lines.append([language, *(" / ".join(marked(row, confidence) for row in part) for part in cells)])
    return PlainTable(
        name=f"languages-{task.replace('_', '-')}",
        title=f"{task} {metric_name(own[0])} by query language",
        columns=["", *systems],
        rows=lines,
        labels=1,
        note=f"{' / '.join(SHORT[setting] for setting in shown)}, averaged over the passages' languages."
        + (" *: significant after Holm's correction over this table." if any(row.difference for row in own) else ""),
        long=len(systems) > _WIDEST,
    )


def _wins(rows: Sequence[ComparisonRow], confidence: float) -> PlainTable:
    lines = []
    for row, difference in _tested(row for row in _average(rows, ranks=False)):
        scope = LANGUAGE if row.setting == "multilingual" else PAIR
        parts = [
            part for part in rows
            if (part.system, part.task, part.setting, part.scope) == (row.system, row.task, row.setting, scope)
        ]  # fmt: skip
        gains, sure = [part.gain for part in parts], [part.gain for part in parts if part.significant(confidence)]
        lines.append([
            f"{row.system} : {difference.baseline}",
            row.task,
            SHORT[row.setting],
            f"{difference.better:,} / {difference.equal:,} / {difference.worse:,}",
            f"{sum(g > 0 for g in gains)} / {sum(g == 0 for g in gains)} / {sum(g < 0 for g in gains)}",
            f"{sum(g > 0 for g in sure)} / {sum(g < 0 for g in sure)}",
        ])  # fmt: skip
    return PlainTable(
        name="wins",
        title="Wins / ties / losses against the baseline",
        columns=["systems", "task", "", "queries", "pairs", "significant"],
        rows=lines,
        labels=3,
        note="Queries: of all pairs, by their means over seeds. Pairs: language pairs by their averages; in Mul., "
        "query languages. Significant: won / lost, after Holm's correction over the task's pairs (Mul.: languages).",
    )


def _pairs(rows: Sequence[ComparisonRow], confidence: float) -> Iterator[PlainTable]:
    """One table for each task and tested system."""
    pairs = list(_tested(row for row in rows if row.scope == PAIR))
    for task, system in _distinct((row.task, row.system) for row, _ in pairs):
        own = [(row, difference) for row, difference in pairs if (row.task, row.system) == (task, system)]
        yield PlainTable(
            name=f"pairs-{task}-{system}".replace("_", "-").replace(" ", "-").replace("=", "-"),
            title=f"{task} {metric_name(own[0][0])} by language pair: {system} - {own[0][1].baseline}",
            columns=["pair", "mean", "difference", "over questions", "won", "tied", "lost", "d", "p", "p Holm"],
            rows=[
                [
                    f"{row.query_language}->{row.passage_language}",
                    number(row, row.value),
                    signed(row, difference.value) + star(row, confidence),
                    interval(row, difference.interval, with_sign=True),
                    *(f"{count:,}" for count in (difference.better, difference.equal, difference.worse)),
                    *evidence(difference),
                ]
                for row, difference in own
            ],
            labels=1,
            note="Query language -> passage language. Holm's correction is over this table.",
            long=True,
        )


def _average(rows: Sequence[ComparisonRow], ranks: bool) -> list[ComparisonRow]:
    """The averages over a whole setting, of rank distance or of the main metrics, in the order of SETTINGS."""
    found = [row for row in rows if row.scope == AVERAGE and (row.metric == RANK_DISTANCE) == ranks]
    tasks = _distinct(row.task for row in rows)
    return sorted(found, key=lambda row: (tasks.index(row.task), SETTINGS.index(row.setting)))


def _averages(rows: Sequence[ComparisonRow]) -> list[ComparisonRow]:
    return _average(rows, ranks=False) + _average(rows, ranks=True)


def _tested(rows: Iterable[ComparisonRow]) -> Iterator[tuple[ComparisonRow, Difference]]:
    return ((row, row.difference) for row in rows if row.difference is not None)


def _distinct(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))
