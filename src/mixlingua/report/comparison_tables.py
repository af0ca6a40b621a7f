"""The tables of a comparison, and its files: comparison.md, .tex, .csv and .json hold the same rows."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from mixlingua.comparison.compare import AVERAGE, LANGUAGE, PAIR, ComparisonRow, Difference, Interval
from mixlingua.evaluation.results import MACRO, RANK_DISTANCE, SETTINGS, Average, ResultRow
from mixlingua.files import atomic_write
from mixlingua.report.groups import group_means, groups_among, groups_note
from mixlingua.report.plain_table import PlainTable, figure_text, latex, markdown, metric_name

T = TypeVar("T")

SHORT = dict(zip(SETTINGS, ("Mo.", "Cr.", "Mul."), strict=True))
_WIDEST = 4  # systems side by side in a terminal
_EVIDENCE = ("d", "p", "p Holm")


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
    return list(_Tables(rows, labels, confidence, average).in_order())


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


class _Tables:
    """rows: of all scopes. A star marks a significant difference."""

    def __init__(self, rows: Sequence[ComparisonRow], labels: Labels, confidence: float, average: Average) -> None:
        self.rows, self.labels, self.confidence, self.average = rows, labels, confidence, average
        self.percent = f"{100 * confidence:g}%"
        self.level = f"{1 - confidence:.2g}"
        self.tasks = _distinct(row.task for row in rows)
        averages = sorted(
            (row for row in rows if row.scope == AVERAGE),
            key=lambda row: (self.tasks.index(row.task), SETTINGS.index(row.setting)),
        )
        self.main = [row for row in averages if row.metric != RANK_DISTANCE]
        self.distances = [row for row in averages if row.metric == RANK_DISTANCE]
        self.has_baseline = any(row.difference for row in rows)

    def in_order(self) -> Iterator[PlainTable]:
        yield from (self.means(rows) for rows in (self.main, self.distances) if rows)
        yield self.intervals()
        if self.has_baseline:
            yield self.differences()
        yield from map(self.languages, self.tasks)
        yield from (table for task in self.tasks if (table := self.groups(task)))
        if self.has_baseline:
            yield self.wins()
            yield from self.pairs()

    def means(self, rows: Sequence[ComparisonRow]) -> PlainTable:
        """The paper's table 1, or its table 2 where the rows are of rank distance."""
        ranks = rows is self.distances
        by_column = {(row.system, row.task, row.setting): row for row in rows}
        columns = _distinct((row.task, row.setting) for row in rows)
        seeds = {row.system: str(row.num_seeds) for row in self.rows}
        note = f"±: half of the {self.percent} interval over seeds."
        if "1" in seeds.values():
            note += " There is none with one seed."
        if self.has_baseline:
            note += f" *: significant, the Holm-corrected p over this table is below {self.level}."
        metrics = " / ".join(_distinct(metric_name(row.metric) for row in rows))
        heads = [task if ranks else f"{task} {SHORT[setting]}" for task, setting in columns]
        return PlainTable(
            name="rank-distance" if ranks else "quality",
            title=f"Language bias ({metrics})" if ranks else f"Retrieval quality ({metrics})",
            columns=[*self.labels.headings, "seeds", *heads],
            rows=[
                [*cells, seeds[system], *(self._mean(by_column[system, *column]) for column in columns)]
                for system, cells in self.labels.cells.items()
            ],
            labels=len(self.labels.headings),
            note=note,
        )

    def intervals(self) -> PlainTable:
        lines = [
            [row.system, row.task, _figure_name(row), _number(row, row.value), _interval(row, row.interval),
             _interval(row, row.seeds_interval)]
            for row in (*self.main, *self.distances)
        ]  # fmt: skip
        note = (
            "Over questions (bootstrap): what other questions would give these models. Over seeds (Student's t): what "
            "other trainings would give on these questions. There is none with one seed."
        )
        columns = ["system", "task", "metric", "mean", "over questions", "over seeds"]
        return PlainTable("intervals", f"{self.percent} intervals", columns, lines, labels=3, note=note)

    def differences(self) -> PlainTable:
        lines = [
            [f"{row.system} - {difference.baseline}", row.task, _figure_name(row), *self._change(row, difference),
             _interval(row, difference.seeds_interval, with_sign=True), *_evidence(difference)]
            for row, difference in _tested((*self.main, *self.distances))
        ]  # fmt: skip
        note = (
            "p: paired permutation test over questions. d: Cohen's d over questions. Intervals have a confidence of "
            f"{self.percent}: over questions by bootstrap, over seeds by Welch's t. Where the interval over seeds "
            "holds 0, the difference may be that of the seeds."
        )
        columns = ["systems", "task", "metric", "difference", "over questions", "over seeds", *_EVIDENCE]
        return PlainTable("differences", "Differences to the baseline", columns, lines, labels=3, note=note)

    def languages(self, task: str) -> PlainTable:
        """Main metrics by query language, a column for each system."""
        rows = [row for row in self.rows if row.task == task and row.scope == LANGUAGE]
        cells = {(row.system, row.query_language, row.setting): f"{row.value:.3f}{self._star(row)}" for row in rows}
        languages = sorted({row.query_language for row in rows})
        note = ", averaged over the passages' languages."
        if self.has_baseline:
            note += " *: significant, Holm-corrected over this table."
        title = f"{task} {metric_name(rows[0].metric)} by query language"
        return self._by_system(f"languages-{task}", title, rows, languages, cells, note)

    def groups(self, task: str) -> PlainTable | None:
        """Main metrics by groups of languages; None where the languages fall into one."""
        rows = [
            row
            for row in self.rows
            if row.task == task and row.scope == (LANGUAGE if row.setting == "multilingual" else PAIR)
        ]
        if not (groups := groups_among(rows)):
            return None
        cells = {}
        for system in _distinct(row.system for row in rows):
            results = [
                ResultRow(task, row.setting, row.query_language, row.passage_language, row.metric, row.value,
                          row.num_questions)
                for row in rows if row.system == system
            ]  # fmt: skip
            for (setting, group), value in group_means(results, self.average).items():
                cells[system, group, setting] = f"{value:.3f}"
        note = f" {groups_note(rows)} In Mul., the query's language counts. Differences are not tested."
        title = f"{task} {metric_name(rows[0].metric)} by groups of languages"
        return self._by_system(f"groups-{task}", title, rows, groups, cells, note)

    def _by_system(
        self, name: str, title: str, rows: Sequence[ComparisonRow], lines: Sequence[str],
        cells: Mapping[tuple[str, str, str], str], note: str,
    ) -> PlainTable:  # fmt: skip
        """A line for each of `lines`, a column for each system, and in it the cells of (system, line, setting).

        note: what follows the names of the settings.
        """
        systems, settings = _distinct(row.system for row in rows), {row.setting for row in rows}
        shown = [setting for setting in SETTINGS if setting in settings]
        texts = [
            [line, *(" / ".join(cells.get((system, line, setting), "-") for setting in shown) for system in systems)]
            for line in lines
        ]
        note = f"{' / '.join(SHORT[setting] for setting in shown)}{note}"
        long = len(systems) > _WIDEST
        return PlainTable(name.replace("_", "-"), title, ["", *systems], texts, labels=1, note=note, long=long)

    def wins(self) -> PlainTable:
        lines = []
        for row, difference in _tested(self.main):
            scope = LANGUAGE if row.setting == "multilingual" else PAIR
            counted = [
                other
                for other in self.rows
                if (other.system, other.task, other.setting, other.scope) == (row.system, row.task, row.setting, scope)
            ]
            gains = [other.gain for other in counted]
            sure = [other.gain for other in counted if other.significant(self.confidence)]
            lines.append([
                f"{row.system} : {difference.baseline}",
                row.task,
                SHORT[row.setting],
                f"{difference.better:,} / {difference.equal:,} / {difference.worse:,}",
                f"{sum(g > 0 for g in gains)} / {sum(g == 0 for g in gains)} / {sum(g < 0 for g in gains)}",
                f"{sum(g > 0 for g in sure)} / {sum(g < 0 for g in sure)}",
            ])  # fmt: skip
        note = (
            "Queries are those of all language pairs, by their means over seeds. Pairs count by their averages; in "
            "Mul., query languages count in their place. Significant: won / lost with a Holm-corrected p below "
            f"{self.level}, corrected over the task's pairs (Mul.: languages)."
        )
        columns = ["systems", "task", "", "queries", "pairs", "significant"]
        title = "Wins / ties / losses against the baseline"
        return PlainTable("wins", title, columns, lines, labels=3, note=note)

    def pairs(self) -> Iterator[PlainTable]:
        """One table for each task and tested system."""
        tested = list(_tested(row for row in self.rows if row.scope == PAIR))
        columns = ["pair", "mean", "difference", "over questions", "won", "tied", "lost", *_EVIDENCE]
        note = "Query language -> passage language. *: significant, Holm-corrected over this table."
        for task, system in _distinct((row.task, row.system) for row, _ in tested):
            of_system = [(row, difference) for row, difference in tested if (row.task, row.system) == (task, system)]
            first, change = of_system[0]
            title = f"{task} {metric_name(first.metric)} by language pair: {system} - {change.baseline}"
            lines = [
                [f"{row.query_language}->{row.passage_language}", _number(row, row.value),
                 *self._change(row, difference),
                 *(f"{count:,}" for count in (difference.better, difference.equal, difference.worse)),
                 *_evidence(difference)]
                for row, difference in of_system
            ]  # fmt: skip
            name = f"pairs-{task}-{system}".translate(dict.fromkeys(map(ord, "_ ="), "-"))
            yield PlainTable(name, title, columns, lines, labels=1, note=note, long=True)

    def _star(self, row: ComparisonRow) -> str:
        return "*" if row.significant(self.confidence) else ""

    def _mean(self, row: ComparisonRow) -> str:
        ends = row.seeds_interval
        spread = f" ±{_number(row, (ends[1] - ends[0]) / 2)}" if ends else ""
        return f"{_number(row, row.value)}{spread}{self._star(row)}"

    def _change(self, row: ComparisonRow, difference: Difference) -> tuple[str, str]:
        """The difference, and its interval over questions."""
        change = _signed(row, difference.value) + self._star(row)
        return change, _interval(row, difference.interval, with_sign=True)


def _tested(rows: Iterable[ComparisonRow]) -> Iterator[tuple[ComparisonRow, Difference]]:
    return ((row, row.difference) for row in rows if row.difference is not None)


def _distinct(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))


def _figure_name(row: ComparisonRow) -> str:
    name = metric_name(row.metric)
    return name if row.metric == RANK_DISTANCE else f"{SHORT[row.setting]} {name}"


def _number(row: ComparisonRow, value: float) -> str:
    return figure_text(row.metric, value, ranks=1)


def _signed(row: ComparisonRow, value: float) -> str:
    return figure_text(row.metric, value, digits=4, ranks=1, sign="+")


def _interval(row: ComparisonRow, ends: Interval | None, *, with_sign: bool = False) -> str:
    if ends is None:
        return "-"
    form = _signed if with_sign else _number
    return f"{form(row, ends[0])} to {form(row, ends[1])}"


def _evidence(difference: Difference) -> list[str]:
    effect = "-" if difference.effect_size is None else f"{difference.effect_size:+.2f}"
    return [effect, f"{difference.p_value:.4f}", f"{difference.p_holm:.4f}"]
