"""A run's values per question, as one matrix per task."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixlingua.errors import DataError
from mixlingua.evaluation.metrics import Floats
from mixlingua.evaluation.results import ResultRow

RANK_DISTANCE = "rank_distance"


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
    parts = [
        part
        for setting in dict.fromkeys(cell.setting for cell in reported)
        for part in _read_cells(run_dir / "per_query" / f"{task}_{setting}.parquet", setting, reported)
    ]
    parts.sort(key=lambda part: part[0])
    questions = sorted({question for _, ids, _ in parts for question in ids})
    position = {question: index for index, question in enumerate(questions)}
    values = np.full((len(questions), len(parts)), np.nan)
    for column, (_, ids, part) in enumerate(parts):
        values[[position[question] for question in ids], column] = part
    cells = tuple(cell for cell, _, _ in parts)
    _check_means(run_dir, task, cells, values, reported)
    return QuestionValues(tuple(questions), cells, values)


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
        found = values[~np.isnan(values[:, column]), column]
        if not len(found) or not np.isclose(found.mean(), reported[cell], rtol=1e-5, atol=1e-6):
            mean = f"{found.mean():.6f}" if len(found) else "nothing"
            raise DataError(
                f"{run_dir / 'per_query'}: {task} {' '.join(cell)} gives {mean}, but report.json says "
                f"{reported[cell]:.6f}; the files are not of one evaluation. Evaluate the run again."
            )
