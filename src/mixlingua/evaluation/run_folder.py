"""The result files of a run folder: metrics.json, report.json and per_query/, or their `_before` counterparts;
worst_queries.json, which has none."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixlingua.errors import DataError
from mixlingua.evaluation.averages import AVERAGES, MACRO, Average, aggregate, means
from mixlingua.evaluation.results import PerQueryTable, ResultRow, TaskResult
from mixlingua.evaluation.worst_query import RankedPassage, WorstQuery
from mixlingua.files import atomic_folder, atomic_write

Stage = Literal["before", "after"]


@dataclass(frozen=True)
class RunResults:
    """A run's results as read back. provenance: the run's, with that of each task's data under "tasks"."""

    provenance: dict[str, Any]
    rows: list[ResultRow]

    @property
    def average(self) -> Average:
        """How the rows were averaged; a report that does not say is older than the choice."""
        average: Average = self.provenance.get("average", MACRO)
        return average

    def aggregate(self) -> dict[str, float]:
        """Averages and spreads by key, such as "xquad_r/crosslingual/map", as in metrics.json."""
        return aggregate(self.rows, self.average)


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
    and no worst_queries.json.
    """
    run_dir, suffix = Path(run_dir), "_before" if stage == "before" else ""
    rows = [row for result in results for row in result.rows]
    with atomic_folder(run_dir / f"per_query{suffix}") as folder:
        for result in results:
            for setting, table in result.per_query.items():
                pq.write_table(_arrow(table), folder / f"{result.task}_{setting}.parquet", compression="zstd")
    tasks = {result.task: dict(result.provenance) for result in results}
    report = {"provenance": {**provenance, "average": average, "tasks": tasks}, "rows": [asdict(row) for row in rows]}
    _write_json(run_dir / f"report{suffix}.json", report)
    if stage == "after":
        _write_json(run_dir / "worst_queries.json", [asdict(entry) for result in results for entry in result.worst])
    _write_json(run_dir / f"metrics{suffix}.json", aggregate(rows, average))


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
    if results.average not in AVERAGES:
        raise DataError(f"{report_path}: average is {results.average!r}, none of {', '.join(AVERAGES)}.")
    # A run of a version without spreads has the means alone.
    if metrics not in (results.aggregate(), means(rows, results.average)):
        raise DataError(f"{metrics_path}: not the averages of {report_path.name}; evaluate the run again.")
    return results


def read_worst_queries(run_dir: str | Path) -> list[WorstQuery]:
    """What `write_results` kept of the worst queries; empty for a run folder of an earlier version.

    Raises DataError, naming the file and the entry, where one has missing or foreign fields.
    """
    path = Path(run_dir) / "worst_queries.json"
    if not path.exists():
        return []
    found = []
    for number, entry in enumerate(_read_json(path)):
        try:
            passages = {name: RankedPassage(**entry[name]) for name in ("first", "relevant")}
            found.append(WorstQuery(**{**entry, **passages}))
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}: entry {number} is no query ({error}); evaluate the run again.") from error
    return found


def _row(entry: Any, where: str) -> ResultRow:
    names = {field.name for field in fields(ResultRow)}
    if not isinstance(entry, dict) or set(entry) != names:
        found = sorted(entry) if isinstance(entry, dict) else entry
        raise DataError(f"{where}: has {found}; a row has exactly {sorted(names)}.")
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
    columns = {name: pa.array(part, pa.string()) for name, part in labels.items()}
    # A value that is not defined (nan) is null, which readers leave out of their means.
    values = {name: pa.array(part.astype(np.float32), from_pandas=True) for name, part in table.values.items()}
    return pa.table({**columns, **values})


def _write_json(path: Path, content: object) -> None:
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: not there; {path.parent} is no run folder, or its run did not finish.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); evaluate the run again.") from error
