"""RUN/report.html of a comparison: the tables of its other files, and pictures of the same rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixlingua.comparison.compare import PAIR, ComparisonRow
from mixlingua.comparison.runs import EvaluatedRun
from mixlingua.report.figures import Picture
from mixlingua.report.page import data_rows, file_rows, plain_text, write_page
from mixlingua.report.pairs import difference_matrix
from mixlingua.report.plain_table import PlainTable, plain_name


def write_comparison_page(
    run_dir: Path,
    rows: Sequence[ComparisonRow],
    tables: Sequence[PlainTable],
    systems: Mapping[str, Sequence[EvaluatedRun]],
    curves: Sequence[Picture],
    provenance: Mapping[str, Any],
    notes: Sequence[str],
) -> Path:
    """Write report.html and return its path. tables, provenance, notes: as `write_comparison` takes them."""
    confidence = provenance["confidence"]
    baselines = list(dict.fromkeys(provenance["baselines"].values()))
    content = {
        "title": _title(systems, provenance["tasks"]),
        "lead": f"Tested against {' and '.join(baselines)}." if baselines else "",
        "notes": notes,
        "tables": [table for table in tables if not table.long],
        "long_tables": [table for table in tables if table.long],
        "matrices": difference_pictures(rows, confidence),
        "curves": curves,
        "confidence": confidence,
        "resampling": f"{provenance['resamples']:,} resamples, seed {provenance['seed']}",
        "runs": _runs(systems),
        "data": data_rows(provenance["tasks"]),
        "files": list(file_rows(provenance["tasks"])),
    }
    return write_page(run_dir / "report.html", "comparison.html", content)


def difference_pictures(rows: Sequence[ComparisonRow], confidence: float) -> list[Picture]:
    """For each task and tested set-up: its difference to the baseline by language pair; a star: significant.

    The colours of a task mean the same in all of them.
    """
    tested = [(row, row.difference) for row in rows if row.scope == PAIR and row.difference is not None]
    pictures = []
    for task, system in dict.fromkeys((row.task, row.system) for row, _ in tested):
        of_system = {(row.query_language, row.passage_language): (row, difference)
                     for row, difference in tested if (row.task, row.system) == (task, system)}  # fmt: skip
        row, difference = next(iter(of_system.values()))
        matrix = difference_matrix(
            f"{task} {plain_name(row.metric)}: {system} − {difference.baseline}",
            {pair: difference.value for pair, (_, difference) in of_system.items()},
            marked={pair for pair, (row, _) in of_system.items() if row.significant(confidence)},
            largest=max(abs(difference.value) for row, difference in tested if row.task == task),
        )
        pictures.append(matrix.picture)
    return pictures


def _title(systems: Mapping[str, Sequence[EvaluatedRun]], tasks: Mapping[str, Any]) -> str:
    runs = sum(map(len, systems.values()))
    set_ups = f"{len(systems)} set-up{'s' if len(systems) > 1 else ''}"
    return f"{set_ups} on {', '.join(tasks)}" + (f", {runs} runs" if runs > len(systems) else "")


def _runs(systems: Mapping[str, Sequence[EvaluatedRun]]) -> PlainTable:
    """Where each run comes from; columns that no run has are left out."""
    keys = {
        "seed": "seed", "commit": "commit", "mixlingua": "mixlingua", "model": "model", "revision": "revision",
        "num_parameters": "parameters", "data": "data", "num_rows": "rows", "batch_size": "pairs per step",
        "step": "steps", "precision": "precision", "hardware": "hardware",
    }  # fmt: skip
    lines = [(system, run) for system, runs in systems.items() for run in runs]
    shown = [key for key in keys if any(run.provenance.get(key) is not None for _, run in lines)]
    return PlainTable(
        name="runs",
        title="Runs",
        columns=["set-up", "folder", *(keys[key] for key in shown)],
        rows=[[system, run.name, *(plain_text(run.provenance.get(key)) for key in shown)] for system, run in lines],
        labels=2 + len(shown),
    )
