"""The result files of a run folder: metrics.json, report.json, per_query/ and worst_queries.json, written and read."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixlingua.errors import DataError
from mixlingua.evaluation.metrics import Floats
from mixlingua.evaluation.results import (
    AVERAGES,
    MACRO,
    RANK_DISTANCE,
    Average,
    PerQueryTable,
    RankedPassage,
    ResultRow,
    TaskResult,
    WorstQuery,
    aggregate,
    main_figures,
)
from mixlingua.files import atomic_folder, atomic_write, write_json

Stage = Literal["before", "after"]


def write_results(
    run_dir: str | Path,
    results: Sequence[TaskResult],
    provenance: Mapping[str, object],
    stage: Stage = "after",
    average: Average = MACRO,
) -> None:
    """Write the results of all tasks of a run, each file whole; the metrics, which say that a run finished, come last.

    provenance: plain values; the tasks' own and the average are added. stage "before" (training) writes
    metrics_before.json, report_before.json and per_query_before/ in place of metrics.json, report.json and per_query/,
    and neither worst_queries.json nor further files.
    """
    run_dir, suffix = Path(run_dir), "_before" if stage == "before" else ""
    rows = [row for result in results for row in result.rows]
    with atomic_folder(run_dir / f"per_query{suffix}", mark="*.parquet") as folder:
        for result in results:
            for setting, table in result.per_query.items():
                pq.write_table(_arrow(table), folder / f"{result.task}_{setting}.parquet", compression="zstd")
    tasks = {result.task: dict(result.provenance) for result in results}
    report = {"provenance": {**provenance, "average": average, "tasks": tasks}, "rows": [asdict(row) for row in rows]}
    write_json(run_dir / f"report{suffix}.json", report)
    if stage == "after":
        write_json(run_dir / "worst_queries.json", [asdict(entry) for result in results for entry in result.worst])
        for name, content in (item for result in results for item in result.further_files.items()):
            with atomic_write(run_dir / name) as partial:
                partial.write_text(content, encoding="utf-8")
    write_json(run_dir / f"metrics{suffix}.json", aggregate(rows, average))


@dataclass(frozen=True)
class RunResults:
    """A run's results as read back. provenance: the run's, with that of each task's data under "tasks"."""

    provenance: dict[str, Any]
    rows: list[ResultRow]

    @property
    def average(self) -> Average:
        """How the rows were averaged."""
        average: Average = self.provenance["average"]
        return average

    @property
    def main_metrics(self) -> dict[str, str]:
        """Task -> its main metric."""
        return {task: about["main_metric"] for task, about in self.provenance["tasks"].items()}

    def aggregate(self) -> dict[str, float]:
        """Averages and spreads by key, such as "xquad_r/crosslingual/map", as in metrics.json."""
        return aggregate(self.rows, self.average)

    def main_figures(self) -> dict[str, float]:
        """Those of `aggregate` that are each task's main metric, or rank distance."""
        return main_figures(self.aggregate(), self.main_metrics)


def read_results(run_dir: str | Path, stage: Stage = "after") -> RunResults:
    """Read and check what `write_results` wrote.

    Raises DataError, naming the file and the row, where the run did not finish, a row has missing, foreign or
    impossible fields, two rows give the same figure, or metrics.json is not the average of report.json.
    """
    suffix = "_before" if stage == "before" else ""
    metrics_path, report_path = Path(run_dir) / f"metrics{suffix}.json", Path(run_dir) / f"report{suffix}.json"
    metrics, report = _read_json(metrics_path), _read_json(report_path)
    if not isinstance(report, dict) or set(report) != {"provenance", "rows"}:
        raise DataError(f"{report_path}: not a report; it needs exactly the keys provenance and rows.")
    rows = [_row(entry, f"{report_path}: rows[{number}]") for number, entry in enumerate(report["rows"])]
    seen: dict[tuple[str, ...], int] = {}
    for number, row in enumerate(rows):
        if seen.setdefault(row.key, number) != number:
            raise DataError(f"{report_path}: rows[{seen[row.key]}] and rows[{number}] both give {' '.join(row.key)}.")
    results = RunResults(report["provenance"], rows)
    if (average := results.provenance.get("average")) not in AVERAGES:
        raise DataError(f"{report_path}: average is {average!r}, none of {', '.join(AVERAGES)}.")
    if metrics != results.aggregate():
        raise DataError(f"{metrics_path}: not the averages of {report_path.name}; evaluate the run again.")
    return results


def read_worst_queries(run_dir: str | Path) -> list[WorstQuery]:
    """What `write_results` kept of the worst queries.

    Raises DataError, naming the file and the entry, where one has missing or foreign fields.
    """
    path = Path(run_dir) / "worst_queries.json"
    queries = []
    for number, entry in enumerate(_read_json(path)):
        try:
            passages = {name: RankedPassage(**entry[name]) for name in ("first", "relevant")}
            queries.append(WorstQuery(**{**entry, **passages}))
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}: entry {number} is no query ({error}); evaluate the run again.") from error
    return queries


class Cell(NamedTuple):
    """One metric of the queries of a language against one pool."""

    metric: str
    setting: str
    query_language: str
    passage_language: str


@dataclass(frozen=True)
class QuestionValues:
    """questions: C ids, sorted; parallel queries are one. cells: G, sorted. values: (C, G), nan where not asked."""

    questions: tuple[str, ...]
    cells: tuple[Cell, ...]
    values: Floats


def read_question_values(run_dir: Path, task: str, main_metric: str, rows: Sequence[ResultRow]) -> QuestionValues:
    """The main metric in every setting, and rank distance in those that have it, from the run's per_query folder.

    rows: the run's report. Raises DataError where a file is missing or damaged, a query comes twice, or a mean is not
    that of the report: files of different evaluations.
    """
    reported = {
        Cell(row.metric, row.setting, row.query_language, row.passage_language): row.value
        for row in rows
        if row.task == task and row.metric in (main_metric, RANK_DISTANCE)
    }
    columns = [
        column
        for setting in dict.fromkeys(cell.setting for cell in reported)
        for column in _read_cells(run_dir / "per_query" / f"{task}_{setting}.parquet", setting, reported)
    ]
    columns.sort(key=lambda column: column[0])
    questions = sorted({question for _, ids, _ in columns for question in ids})
    position = {question: index for index, question in enumerate(questions)}
    values = np.full((len(questions), len(columns)), np.nan)
    for number, (_, ids, of_cell) in enumerate(columns):
        values[[position[question] for question in ids], number] = of_cell
    cells = tuple(cell for cell, _, _ in columns)
    _check_means(run_dir, task, cells, values, reported)
    return QuestionValues(tuple(questions), cells, values)


def values_by_language(
    run_dir: Path, task: str, setting: str, metric: str, stage: Stage = "after"
) -> dict[str, Floats] | None:
    """Query language -> the values of its queries; None where the setting or the metric was not measured.

    Raises DataError where the file is damaged.
    """
    path = run_dir / ("per_query_before" if stage == "before" else "per_query") / f"{task}_{setting}.parquet"
    if not path.exists():
        return None
    try:
        if metric not in pq.read_schema(path).names:
            return None
        table = pq.read_table(path, columns=["query_language", metric])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({error}); evaluate the run again.") from error
    languages = np.array(table["query_language"].to_pylist())
    values = table[metric].to_numpy().astype(np.float64)
    return {str(language): values[languages == language] for language in np.unique(languages)}


def _read_cells(
    path: Path, setting: str, wanted: dict[Cell, float]
) -> Iterator[tuple[Cell, list[str], NDArray[np.float32]]]:
    """Each wanted cell of a file with its query ids and values."""
    metrics = list(dict.fromkeys(cell.metric for cell in wanted if cell.setting == setting))
    try:
        table = pq.read_table(path, columns=["query_id", "query_language", "passage_language", *metrics])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({error}); evaluate the run again.") from error
    if missing := [name for name in metrics if name not in table.column_names]:
        raise DataError(f"{path}: no column {', '.join(missing)}, which report.json has; evaluate the run again.")
    ids, pairs = table["query_id"].to_pylist(), _rows_of_pairs(table)
    for metric in metrics:
        values = table[metric].to_numpy()
        for cell in (cell for cell in wanted if (cell.metric, cell.setting) == (metric, setting)):
            rows = pairs.get((cell.query_language, cell.passage_language), np.zeros(0, np.int64))
            names = [ids[row] for row in rows.tolist()]
            if len(set(names)) < len(names):
                raise DataError(f"{path}: a query comes twice in {cell.query_language}->{cell.passage_language}.")
            yield cell, names, values[rows]


def _rows_of_pairs(table: pa.Table) -> dict[tuple[str, str], NDArray[np.int64]]:
    """(query language, passage language) -> the rows of a file that have it."""
    sides = [table[name].combine_chunks().dictionary_encode() for name in ("query_language", "passage_language")]
    names = [side.dictionary.to_pylist() for side in sides]
    codes = sides[0].indices.to_numpy().astype(np.int64) * len(names[1]) + sides[1].indices.to_numpy()
    return {
        (names[0][code // len(names[1])], names[1][code % len(names[1])]): np.flatnonzero(codes == code)
        for code in np.unique(codes).tolist()
    }


def _check_means(run_dir: Path, task: str, cells: Sequence[Cell], values: Floats, reported: dict[Cell, float]) -> None:
    for column, cell in enumerate(cells):
        asked = values[~np.isnan(values[:, column]), column]
        if not len(asked) or not np.isclose(asked.mean(), reported[cell], rtol=1e-5, atol=1e-6):
            mean = f"{asked.mean():.6f}" if len(asked) else "nothing"
            raise DataError(
                f"{run_dir / 'per_query'}: {task} {' '.join(cell)} gives {mean}, but report.json says "
                f"{reported[cell]:.6f}; the files are not of one evaluation. Evaluate the run again."
            )


def _row(entry: Any, where: str) -> ResultRow:
    names = {field.name for field in fields(ResultRow)}
    if not isinstance(entry, dict) or set(entry) != names:
        has = sorted(entry) if isinstance(entry, dict) else entry
        raise DataError(f"{where}: has {has}; a row has exactly {sorted(names)}.")
    try:
        return ResultRow(**entry)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _arrow(table: PerQueryTable) -> pa.Table:
    labels = {
        "query_id": table.query_ids,
        "query_language": table.query_languages,
        "passage_language": table.passage_languages,
    }
    columns = {name: pa.array(column, pa.string()) for name, column in labels.items()}
    # A value that is not defined (nan) is null, which readers leave out of their means.
    values = {name: pa.array(column.astype(np.float32), from_pandas=True) for name, column in table.values.items()}
    return pa.table({**columns, **values})


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: not there; {path.parent} is no run folder, or its run did not finish.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); evaluate the run again.") from error
