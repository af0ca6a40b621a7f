"""action=compare: tables and curves of finished runs, with significance against a baseline; leave a run folder."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.text import Text

from mixlingua.cli.settings import average_problems
from mixlingua.comparison.compare import Resampling, family_of
from mixlingua.comparison.compare import compare as compare_systems
from mixlingua.comparison.runs import common_tasks, find_runs, read_run
from mixlingua.comparison.setups import Setup, baselines, setups
from mixlingua.comparison.variations import comparison_notes, curves, variations
from mixlingua.errors import raise_problems
from mixlingua.report.comparison_page import write_comparison_page
from mixlingua.report.comparison_tables import Labels, comparison_tables, write_comparison
from mixlingua.report.page import PlainTable, rich_table

_WIDE = 160  # columns of a terminal that is none, such as a log file


def compare(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Compare the finished runs in cfg.runs; print the tables and write them to run_dir.

    Returns the numbers of runs, set-ups, tests of the first tables, and those that are significant.
    """
    raise_problems(_problems(cfg))
    places = [str(place) for place in cfg.runs] if OmegaConf.is_list(cfg.runs) else [str(cfg.runs)]
    found, left_out = find_runs(places)
    groups, remarks = setups(found)
    against = baselines(groups, cfg.baseline)
    systems = {group.label: [read_run(run.folder) for run in group.runs] for group in groups}
    tasks, partial = common_tasks([run for runs in systems.values() for run in runs])
    differing = variations(groups, systems)
    figures = curves(differing, groups, systems, tasks, cfg.comparison.curve_metric)
    resampling = Resampling(cfg.comparison.resamples, cfg.comparison.confidence, cfg.seed)
    rows = compare_systems(systems, against, tasks, resampling, cfg.evaluation.average)

    notes = [f"{line}; left out." for line in left_out]
    notes += remarks
    notes += [f"Task {task} is left out: only some of the runs were evaluated on it." for task in partial]
    notes += comparison_notes(groups, against, systems, rows, resampling)
    labels = _labels(groups, set(against.values()))
    tables = comparison_tables(rows, labels, resampling.confidence, cfg.evaluation.average)
    provenance = {
        "runs": {group.label: [str(run.folder) for run in group.runs] for group in groups},
        "baselines": against,
        "tasks": {task: next(iter(systems.values()))[0].provenance["tasks"][task] for task in tasks},
        "average": cfg.evaluation.average,
        "resamples": resampling.resamples,
        "confidence": resampling.confidence,
        "seed": resampling.seed,
    }
    files = write_comparison(run_dir, rows, tables, provenance, notes)
    files.append(write_comparison_page(run_dir, rows, tables, systems, differing, provenance, notes))
    files += [figure.save(run_dir, resampling.confidence) for figure in figures]
    _show([table for table in tables if not table.long], notes, files)
    tests = [row for row in rows if row.difference and family_of(row)[0] == "average"]
    significant = sum(row.significant(resampling.confidence) for row in tests)
    return {"runs": len(found), "setups": len(groups), "tests": len(tests), "significant": significant}


def _problems(cfg: DictConfig) -> list[str]:
    resamples, confidence = cfg.comparison.resamples, cfg.comparison.confidence
    found = average_problems(cfg.evaluation.average)
    if not cfg.runs:
        found.append("runs: needs a value; add runs=multirun/DATE/TIME, a run's folder, or a list: runs=[A,B].")
    if not isinstance(resamples, int) or resamples < 1:
        found.append(f"comparison.resamples={resamples}: a whole number of 1 or more is needed; 10000 is usual.")
    if not isinstance(confidence, float) or not 0 < confidence < 1:
        found.append(f"comparison.confidence={confidence}: a number between 0 and 1 is needed; 0.95 is usual.")
    return found


def _labels(groups: Sequence[Setup], bases: set[str]) -> Labels:
    """Model and sampling, as in the paper, and what else differs."""
    rest = {
        group.label: " ".join(f"{key}={value}" for key, value in group.parts.items() if key not in ("model", "sampler"))
        for group in groups
    }
    further = any(rest.values())
    cells = {}
    for group in groups:
        sampling = f"{group.sampler} (baseline)" if group.label in bases else group.sampler
        cells[group.label] = [group.model, sampling, *([rest[group.label]] if further else [])]
    return Labels(["model", "sampling", *(["set-up"] if further else [])], cells)


def _show(tables: Sequence[PlainTable], notes: Sequence[str], files: Sequence[Path]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    for note in notes:
        console.print(Text(note, style="yellow"))
    for table in tables:
        console.print()
        console.print(rich_table(table))
    console.print(f"Written: {', '.join(map(str, files))}", soft_wrap=True, highlight=False)
