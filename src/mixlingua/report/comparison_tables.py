"""The tables of a comparison, and its files: comparison.md, .tex, .csv and .json hold the same rows."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from mixlingua.comparison.compare import AVERAGE, LANGUAGE, LOWER_IS_BETTER, PAIR, ComparisonRow, Difference, Interval
from mixlingua.evaluation.results import MACRO, SETTINGS, Average, ResultRow
from mixlingua.evaluation.run_folder import RANK_DISTANCE
from mixlingua.files import atomic_write
from mixlingua.report.page import PlainTable, latex, markdown, plain_name
from mixlingua.report.run_tables import group_means, groups_among, unknown_languages

T = TypeVar("T")

SHORT = dict(zip(SETTINGS, ("Mo.", "Cr.", "Mul."), strict=True))
_WIDEST = 4  # systems side by side in a terminal


@dataclass(frozen=True)
class Labels:
    """headings: of the leading columns, such as model and sampling; cells: system -> its text in each."""

    headings: Sequence[str]
    cells: Mapping[str, Sequence[str]]


def comparison_tables(
    rows: Sequence[ComparisonRow], labels: Labels, confidence: float, average: Average = MACRO
) -> list[PlainTable]:
    """The tables in the order of the files; those of single pairs are long.

    Averages by setting, rank distance, intervals, differences, query languages, groups of languages, wins, and pairs.
    average: that of the rows.
    """
    tables = [_means(rows, labels, confidence, ranks=ranks) for ranks in (False, True) if _average(rows, ranks)]
    tables.append(_intervals(rows, confidence))
    if any(row.difference for row in rows):
        tables.append(_differences(rows, confidence))
    tables += [_languages(rows, task, confidence) for task in _distinct(row.task for row in rows)]
    tables += group_tables(rows, average, _WIDEST)
    if any(row.difference for row in rows):
        tables += [_wins(rows, confidence), *_pairs(rows, confidence)]
    return tables


def write_comparison(
    run_dir: Path,
    rows: Sequence[ComparisonRow],
    tables: Sequence[PlainTable],
    provenance: Mapping[str, object],
    notes: Sequence[str],
) -> list[Path]:
    """Write the four files, each whole, and return their paths. provenance: plain values, for comparison.json."""
    title = "Comparison of runs"
    texts = {
        "md": markdown(tables, title, notes),
        "tex": latex(tables, title, notes),
        "json": json.dumps(
            {"provenance": {**provenance, "notes": list(notes)}, "rows": [row.plain() for row in rows]},
            indent=1, ensure_ascii=False, allow_nan=False,
        ) + "\n",
    }  # fmt: skip
    for suffix, text in texts.items():
        with atomic_write(run_dir / f"comparison.{suffix}") as partial:
            partial.write_text(text, encoding="utf-8")
    lines = [flat(row) for row in rows]
    with (
        atomic_write(run_dir / "comparison.csv") as partial,
        partial.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return [run_dir / f"comparison.{suffix}" for suffix in ("md", "tex", "csv", "json")]


def flat(row: ComparisonRow) -> dict[str, object]:
    """A row as one line: intervals are two columns, the difference's fields stand beside the others (None without)."""
    plain = row.plain()
    difference = plain.pop("difference")
    columns = {"value": "difference", "interval": "difference_interval", "seeds_interval": "difference_seeds_interval"}
    for name in (field.name for field in fields(Difference)):
        plain[columns.get(name, name)] = difference[name] if isinstance(difference, dict) else None
    line: dict[str, object] = {}
    for name, value in plain.items():
        if name.endswith("interval"):
            low, high = value if isinstance(value, tuple) else (None, None)
            prefix = name.removesuffix("interval")
            line |= {f"{prefix}low": low, f"{prefix}high": high}
        else:
            line[name] = value
    return line


def _means(rows: Sequence[ComparisonRow], labels: Labels, confidence: float, *, ranks: bool) -> PlainTable:
    """The paper's table 1, or its table 2 (ranks)."""
    by_column = {(row.system, row.task, row.setting): row for row in _average(rows, ranks)}
    columns = [(task, setting) for task in _distinct(key[1] for key in by_column) for setting in SETTINGS]
    columns = [column for column in columns if any(key[1:] == column for key in by_column)]
    seeds = {row.system: str(row.num_seeds) for row in rows}
    cells = [
        [*labels.cells[system], seeds[system], *(_mean(by_column[system, *column], confidence) for column in columns)]
        for system in labels.cells
    ]
    metrics = " / ".join(_distinct(_metric_name(row) for row in by_column.values()))
    heads = [task if ranks else f"{task} {SHORT[setting]}" for task, setting in columns]
    note = f"±: half of the {_percent(confidence)} interval over seeds."
    if "1" in seeds.values():
        note += " There is none with one seed."
    if any(row.difference for row in by_column.values()):
        note += f" *: significant, the Holm-corrected p over this table is below {1 - confidence:.2g}."
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
        title=f"{_percent(confidence)} intervals",
        columns=["system", "task", "metric", "mean", "over questions", "over seeds"],
        rows=[
            [row.system, row.task, _figure_name(row), _number(row, row.value), _interval(row, row.interval),
             _interval(row, row.seeds_interval)]
            for row in _averages(rows)
        ],
        labels=3,
        note="Over questions (bootstrap): what other questions would give these models. Over seeds (Student's t): what "
        "other trainings would give on these questions. There is none with one seed.",
    )  # fmt: skip


def _differences(rows: Sequence[ComparisonRow], confidence: float) -> PlainTable:
    lines = []
    for row, difference in _tested(_averages(rows)):
        lines.append([
            f"{row.system} - {difference.baseline}",
            row.task,
            _figure_name(row),
            _signed(row, difference.value) + _star(row, confidence),
            _interval(row, difference.interval, with_sign=True),
            _interval(row, difference.seeds_interval, with_sign=True),
            *_evidence(difference),
        ])  # fmt: skip
    return PlainTable(
        name="differences",
        title="Differences to the baseline",
        columns=["systems", "task", "metric", "difference", "over questions", "over seeds", "d", "p", "p Holm"],
        rows=lines,
        labels=3,
        note="p: paired permutation test over questions. d: Cohen's d over questions. "
        f"Intervals have a confidence of {_percent(confidence)}: over questions by bootstrap, over seeds by Welch's t. "
        "Where the interval over seeds holds 0, the difference may be that of the seeds.",
    )


def _languages(rows: Sequence[ComparisonRow], task: str, confidence: float) -> PlainTable:
    of_task = [row for row in rows if row.task == task and row.scope == LANGUAGE]
    by_cell = {(row.system, row.query_language, row.setting): row for row in of_task}
    systems, settings = _distinct(row.system for row in of_task), {row.setting for row in of_task}
    shown = [setting for setting in SETTINGS if setting in settings]
    lines = []
    for language in _distinct(row.query_language for row in of_task):
        cells = [[by_cell.get((system, language, setting)) for setting in shown] for system in systems]
        lines.append([language, *(" / ".join(_marked(row, confidence) for row in cell) for cell in cells)])
    return PlainTable(
        name=f"languages-{task.replace('_', '-')}",
        title=f"{task} {_metric_name(of_task[0])} by query language",
        columns=["", *systems],
        rows=lines,
        labels=1,
        note=f"{' / '.join(SHORT[setting] for setting in shown)}, averaged over the passages' languages."
        + (" *: significant, Holm-corrected over this table." if any(row.difference for row in of_task) else ""),
        long=len(systems) > _WIDEST,
    )


def _wins(rows: Sequence[ComparisonRow], confidence: float) -> PlainTable:
    lines = []
    for row, difference in _tested(row for row in _average(rows, ranks=False)):
        scope = LANGUAGE if row.setting == "multilingual" else PAIR
        counted = [
            other for other in rows
            if (other.system, other.task, other.setting, other.scope) == (row.system, row.task, row.setting, scope)
        ]  # fmt: skip
        gains = [other.gain for other in counted]
        sure = [other.gain for other in counted if other.significant(confidence)]
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
        note="Queries are those of all language pairs, by their means over seeds. Pairs count by their averages; in "
        "Mul., query languages count in their place. Significant: won / lost with a Holm-corrected p below "
        f"{1 - confidence:.2g}, corrected over the task's pairs (Mul.: languages).",
    )


def _pairs(rows: Sequence[ComparisonRow], confidence: float) -> Iterator[PlainTable]:
    """One table for each task and tested system."""
    pairs = list(_tested(row for row in rows if row.scope == PAIR))
    for task, system in _distinct((row.task, row.system) for row, _ in pairs):
        of_system = [(row, difference) for row, difference in pairs if (row.task, row.system) == (task, system)]
        yield PlainTable(
            name=f"pairs-{task}-{system}".replace("_", "-").replace(" ", "-").replace("=", "-"),
            title=f"{task} {_metric_name(of_system[0][0])} by language pair: {system} - {of_system[0][1].baseline}",
            columns=["pair", "mean", "difference", "over questions", "won", "tied", "lost", "d", "p", "p Holm"],
            rows=[
                [
                    f"{row.query_language}->{row.passage_language}",
                    _number(row, row.value),
                    _signed(row, difference.value) + _star(row, confidence),
                    _interval(row, difference.interval, with_sign=True),
                    *(f"{count:,}" for count in (difference.better, difference.equal, difference.worse)),
                    *_evidence(difference),
                ]
                for row, difference in of_system
            ],
            labels=1,
            note="Query language -> passage language. *: significant, Holm-corrected over this table.",
            long=True,
        )


def _average(rows: Sequence[ComparisonRow], ranks: bool) -> list[ComparisonRow]:
    """The averages over a whole setting, of rank distance or of the main metrics, in the order of SETTINGS."""
    averages = [row for row in rows if row.scope == AVERAGE and (row.metric == RANK_DISTANCE) == ranks]
    tasks = _distinct(row.task for row in rows)
    return sorted(averages, key=lambda row: (tasks.index(row.task), SETTINGS.index(row.setting)))


def _averages(rows: Sequence[ComparisonRow]) -> list[ComparisonRow]:
    return _average(rows, ranks=False) + _average(rows, ranks=True)


def _tested(rows: Iterable[ComparisonRow]) -> Iterator[tuple[ComparisonRow, Difference]]:
    return ((row, row.difference) for row in rows if row.difference is not None)


def _distinct(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))


def group_tables(rows: Sequence[ComparisonRow], average: Average, widest: int) -> list[PlainTable]:
    """A table of main metrics for each task whose languages fall into several groups.

    More than `widest` systems are a table for the files only.
    """
    return [
        table
        for task in dict.fromkeys(row.task for row in rows)
        if (table := _group_table([row for row in rows if row.task == task and _is_cell(row)], average, widest))
    ]


def _is_cell(row: ComparisonRow) -> bool:
    return row.scope == (LANGUAGE if row.setting == "multilingual" else PAIR)


def _group_table(rows: Sequence[ComparisonRow], average: Average, widest: int) -> PlainTable | None:
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
    means = [group_means(of_system, average) for of_system in by_system.values()]
    lines = []
    for group in groups:
        figures = [[of_system.get((setting, group)) for setting in settings] for of_system in means]
        lines.append([group, *(" / ".join("-" if v is None else f"{v:.3f}" for v in cell) for cell in figures)])
    unknown = unknown_languages(rows)
    return PlainTable(
        name=f"groups-{task.replace('_', '-')}",
        title=f"{task} {_metric_name(rows[0])} by groups of languages",
        columns=["", *by_system],
        rows=lines,
        labels=1,
        note=f"{' / '.join(SHORT[setting] for setting in settings)}. A pair counts by its language with fewer "
        "resources (Joshi et al. 2020); in Mul., the query's language counts. Differences are not tested."
        + (f" Not grouped, because unknown: {', '.join(unknown)}." if unknown else ""),
        long=len(by_system) > widest,
    )


# Texts of the cells.
def _metric_name(row: ComparisonRow) -> str:
    return f"{plain_name(row.metric)} {'↓' if row.metric in LOWER_IS_BETTER else '↑'}"


def _figure_name(row: ComparisonRow) -> str:
    return _metric_name(row) if row.metric == RANK_DISTANCE else f"{SHORT[row.setting]} {_metric_name(row)}"


def _mean(row: ComparisonRow, confidence: float) -> str:
    ends = row.seeds_interval
    spread = f" ±{_number(row, (ends[1] - ends[0]) / 2)}" if ends else ""
    return f"{_number(row, row.value)}{spread}{_star(row, confidence)}"


def _marked(row: ComparisonRow | None, confidence: float) -> str:
    return _number(row, row.value) + _star(row, confidence) if row else "-"


def _star(row: ComparisonRow, confidence: float) -> str:
    return "*" if row.significant(confidence) else ""


def _number(row: ComparisonRow, value: float) -> str:
    return f"{value:,.1f}" if row.metric == RANK_DISTANCE else f"{value:.3f}"


def _signed(row: ComparisonRow, value: float) -> str:
    text = f"{value:+,.1f}" if row.metric == RANK_DISTANCE else f"{value:+.4f}"
    return text if any(digit in text for digit in "123456789") else text[1:]  # no "-0.0000"


def _interval(row: ComparisonRow, ends: Interval | None, *, with_sign: bool = False) -> str:
    if ends is None:
        return "-"
    form = _signed if with_sign else _number
    return f"{form(row, ends[0])} to {form(row, ends[1])}"


def _evidence(difference: Difference) -> list[str]:
    effect = "-" if difference.effect_size is None else f"{difference.effect_size:+.2f}"
    return [effect, f"{difference.p_value:.4f}", f"{difference.p_holm:.4f}"]


def _percent(confidence: float) -> str:
    return f"{100 * confidence:g}%"
