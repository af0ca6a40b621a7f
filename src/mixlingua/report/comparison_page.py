"""RUN/report.html of a comparison: the tables of its other files, and pictures of the same rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixlingua.comparison.compare import PAIR, ComparisonRow
from mixlingua.comparison.runs import EvaluatedRun
from mixlingua.report.figures import Picture
from mixlingua.report.page import PlainTable, data_rows, file_rows, plain_name, plain_text, write_page
from mixlingua.report.pairs import Grid, difference_grid


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
        "grids": difference_grids(rows, confidence),
        "curves": curves,
        "confidence": confidence,
        "resampling": f"{provenance['resamples']:,} resamples, seed {provenance['seed']}",
        "runs": _runs(systems),
        "data": data_rows(provenance["tasks"]),
        "files": list(file_rows(provenance["tasks"])),
    }
    return write_page(run_dir / "report.html", "comparison.html", content)


def difference_grids(rows: Sequence[ComparisonRow], confidence: float) -> list[Grid]:
    """For each task and tested set-up: its difference to the baseline by language pair; a star: significant.

    The colours of a task mean the same in all of them.
    """
    pairs = [(row, row.difference) for row in rows if row.scope == PAIR and row.difference is not None]
    grids = []
    for task, system in dict.fromkeys((row.task, row.system) for row, _ in pairs):
        of_system = [(row, difference) for row, difference in pairs if (row.task, row.system) == (task, system)]
        metric, baseline = plain_name(of_system[0][0].metric), of_system[0][1].baseline
        grids.append(
            difference_grid(
                f"{task} {metric}: {system} − {baseline}",
                {(row.query_language, row.passage_language): difference.value for row, difference in of_system},
                marked={
                    (row.query_language, row.passage_language) for row, _ in of_system if row.significant(confidence)
                },
                largest=max(abs(difference.value) for row, difference in pairs if row.task == task),
            )
        )
    return grids


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
