"""action=compare: tables and curves of finished runs, with significance against a baseline; leaves a run folder."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.text import Text

from mixlingua.cli.show import say
from mixlingua.comparison.compare import AVERAGE, ComparisonRow, ComparisonSettings, family_of
from mixlingua.comparison.compare import compare as compare_systems
from mixlingua.comparison.runs import EvaluatedRun, FinishedRun, common_tasks, find_runs, read_run
from mixlingua.comparison.setups import Setup, baselines, settings_of, setups
from mixlingua.comparison.variations import Systems, curves, variations
from mixlingua.report.comparison_page import write_comparison_page
from mixlingua.report.comparison_tables import Labels, comparison_tables, write_comparison
from mixlingua.report.figures import curve_picture
from mixlingua.report.plain_table import PlainTable

_LOG_WIDTH = 160  # columns of the tables where the output is no terminal, such as a log file
_NAMED = ("model", "model.name_or_path", "sampler")  # overrides that the columns "model" and "sampling" say
_PROVENANCE = {"step": "Steps trained", "mixlingua": "Versions of mixlingua", "commit": "Commits"}


def compare(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Compare the finished runs in cfg.runs; print the tables and write them to run_dir.

    Returns the numbers of runs, set-ups, tests of the first tables, and those that are significant.
    """
    settings: ComparisonSettings = instantiate(cfg.comparison)
    runs, left_out = runs_of(cfg)
    groups, remarks = setups(runs)
    against = baselines(groups, cfg.baseline)
    evaluated = {run.folder: read_run(run.folder, settings.average) for run in runs}
    tasks, partial = common_tasks(list(evaluated.values()))  # those of repeated runs, which are left out, included
    remarks += unlike_repetitions(runs, groups, evaluated)
    systems = {group.label: [evaluated[run.folder] for run in group.runs] for group in groups}
    differing = curves(variations(groups, systems), systems, tasks, settings.curve_metric)
    pictures = {_file_of(curve.task, curve.variable): curve_picture(curve, settings.confidence) for curve in differing}
    rows = compare_systems(systems, against, tasks, settings)

    notes = [f"{line}; left out." for line in left_out]
    notes += remarks
    notes += [f"Task {task} is left out: only some of the runs were evaluated on it." for task in partial]
    notes += comparison_notes(groups, against, systems, rows, settings)
    tables = comparison_tables(rows, _labels(groups, set(against.values())), settings.confidence, settings.average)
    provenance = {
        "runs": {group.label: [str(run.folder) for run in group.runs] for group in groups},
        "baselines": against,
        "tasks": {task: next(iter(systems.values()))[0].provenance["tasks"][task] for task in tasks},
        "average": settings.average,
        "resamples": settings.resamples,
        "confidence": settings.confidence,
        "seed": settings.seed,
    }
    files = write_comparison(run_dir, rows, tables, provenance, notes)
    files.append(write_comparison_page(run_dir, rows, tables, systems, list(pictures.values()), provenance, notes))
    for name, picture in pictures.items():
        picture.save(run_dir / name)
        files.append(run_dir / name)
    _show([table for table in tables if not table.long], notes, files)
    tests = [row for row in rows if row.difference and row.scope == AVERAGE]
    significant = sum(row.significant(settings.confidence) for row in tests)
    return {"runs": len(runs), "setups": len(groups), "tests": len(tests), "significant": significant}


def runs_of(cfg: DictConfig) -> tuple[list[FinishedRun], list[str]]:
    """The finished runs in cfg.runs, and a line for each that is left out."""
    return find_runs([str(place) for place in cfg.runs] if OmegaConf.is_list(cfg.runs) else [str(cfg.runs)])


def unlike_repetitions(
    runs: Sequence[FinishedRun], groups: Sequence[Setup], evaluated: Mapping[Path, EvaluatedRun]
) -> Iterator[str]:
    """A line for each run that repeats the settings and seed of another, and has other figures of the same tasks."""
    for run in runs:
        settings, seed = settings_of(run), run.config["seed"]
        (group,) = (group for group in groups if group.settings == settings)
        (kept,) = (member for member in group.runs if member.config["seed"] == seed)
        ours, theirs = evaluated[kept.folder].averages, evaluated[run.folder].averages
        if any(ours[key] != theirs[key] for key in ours.keys() & theirs.keys()):
            yield (
                f"{run.folder} has other figures than {kept.folder}, with equal settings. Their data, versions or "
                "machines may differ: compare the provenance in their report.json."
            )


def comparison_notes(
    groups: Sequence[Setup],
    baselines: Mapping[str, str],
    systems: Systems,
    rows: Sequence[ComparisonRow],
    settings: ComparisonSettings,
) -> list[str]:
    """What a reader must know: nothing to test, seeds, provenance that differs, pretraining, too few resamples."""
    notes = [] if baselines else ["There is one set-up, so that there is nothing to test it against."]
    notes += _seeds(groups)
    for key, what in _PROVENANCE.items():
        values = {
            label: sorted({str(run.provenance.get(key, "none")) for run in of_setup})
            for label, of_setup in systems.items()
        }
        if len({value for each in values.values() for value in each}) > 1:
            notes.append(f"{what} differ: {_listed(values)}.")
    texts = dict.fromkeys(run.provenance.get("pretraining") for runs in systems.values() for run in runs)
    notes += [f"Pretrained weights: {text}." for text in texts if text]
    return notes + list(_resolution(rows, settings))


def _seeds(groups: Sequence[Setup]) -> Iterator[str]:
    seeds = {group.label: [str(seed) for seed in sorted(run.config["seed"] for run in group.runs)] for group in groups}
    if single := [label for label, values in seeds.items() if len(values) == 1]:
        yield f"One seed only, so no interval over seeds: {', '.join(single)}."
    if len({tuple(values) for values in seeds.values()}) > 1:
        yield f"Seeds are not the same everywhere: {_listed(seeds)}."


def _resolution(rows: Sequence[ComparisonRow], settings: ComparisonSettings) -> Iterator[str]:
    """A table with many tests needs many resamples before anything in it can be significant."""
    tests = max(Counter(family_of(row) for row in rows if row.difference).values(), default=0)
    level = 1 - settings.confidence
    if tests / (settings.resamples + 1) >= level:
        yield (
            f"{settings.resamples:,} resamples are too few for a table with {tests} tests: no corrected p-value "
            f"there can be below {level:.2g}. Give comparison.resamples={round(2 * tests / level)} or more."
        )


def _listed(values: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{label}: {', '.join(of_setup)}" for label, of_setup in values.items())


def _labels(groups: Sequence[Setup], bases: set[str]) -> Labels:
    """Model and sampling, as in the paper, and what else differs; the label where that is in no command line."""
    rest = {
        group.label: " ".join(f"{key}={value}" for key, value in group.overrides.items() if key not in _NAMED)
        for group in groups
    }
    alike = Counter((group.model, group.sampler, rest[group.label]) for group in groups)
    for group in groups:
        if alike[group.model, group.sampler, rest[group.label]] > 1:
            rest[group.label] = group.label
    further = any(rest.values())
    cells = {}
    for group in groups:
        sampling = f"{group.sampler} (baseline)" if group.label in bases else group.sampler
        cells[group.label] = [group.model, sampling, *([rest[group.label]] if further else [])]
    return Labels(["model", "sampling", *(["set-up"] if further else [])], cells)


def _file_of(task: str, variable: str) -> str:
    return f"curve_{task}_{variable.replace('.', '_').replace(' ', '_')}.png"


def _show(tables: Sequence[PlainTable], notes: Sequence[str], files: Sequence[Path]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_LOG_WIDTH)
    for note in notes:
        console.print(Text(note, style="yellow"))
    for table in tables:
        console.print("", table)
    say(f"Written: {', '.join(map(str, files))}")
