"""Systems side by side: averages over seeds, intervals, and differences to a baseline with their significance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from mixlingua.comparison.runs import EvaluatedRun
from mixlingua.comparison.significance import (
    Design,
    effect_sizes,
    holm,
    percentile_interval,
    sign_flip_p_values,
    t_interval,
    welch_interval,
)
from mixlingua.errors import choice_problems, raise_problems
from mixlingua.evaluation.metrics import Floats
from mixlingua.evaluation.results import ALL_LANGUAGES, AVERAGES, LOWER_IS_BETTER, MACRO, RANK_DISTANCE, Average
from mixlingua.evaluation.run_folder import Cell

AVERAGE, LANGUAGE, PAIR = "average", "language", "pair"  # the scopes of a row
_AVERAGES_AT_ONCE = 500  # whose draws are in memory: 40 MB for each system with 10,000 resamples
_ROUNDING = 1e-9  # equal figures differ by no more: means over seeds and sums over questions are rounded

Interval = tuple[float, float]


@dataclass(frozen=True)
class ComparisonSettings:
    """How systems are compared. Raises ConfigError where a value is out of its range.

    resamples: bootstrap draws, and sign patterns of the permutation test
    confidence: of the intervals; a difference is significant where the Holm-corrected p is below 1 - confidence
    curve_metric: what curves over a number show, such as precision_at_10; null: each task's main metric
    average: over languages or pairs, as evaluation.average. macro: each counts alike; micro: each query does
    seed: of both resamplings; equal seeds give equal figures
    """

    resamples: int = 10_000
    confidence: float = 0.95
    curve_metric: str | None = None
    average: Average = MACRO
    seed: int = 0

    def __post_init__(self) -> None:
        raise_problems(list(self.problems(**asdict(self))))

    @staticmethod
    def problems(*, resamples: object, confidence: object, average: object, **_: object) -> Iterator[str]:
        """What is wrong with values, a sentence each."""
        if not isinstance(resamples, int) or resamples < 1:
            yield f"comparison.resamples={resamples}: give a whole number of 1 or more; 10000 is usual."
        if not isinstance(confidence, float) or not 0 < confidence < 1:
            yield f"comparison.confidence={confidence}: give a number between 0 and 1; 0.95 is usual."
        yield from choice_problems("comparison.average", average, AVERAGES)


@dataclass(frozen=True)
class Difference:
    """A system minus its baseline, for one average.

    interval: over questions (bootstrap); seeds_interval: over seeds (Welch), None where a side has one seed. p_value:
    of the paired permutation test; p_holm: corrected for all tests of its table. effect_size: Cohen's d over
    questions, None where it is not defined. better, equal, worse: queries, by their means over seeds.
    """

    baseline: str
    value: float
    interval: Interval
    seeds_interval: Interval | None
    p_value: float
    p_holm: float
    effect_size: float | None
    better: int
    equal: int
    worse: int


@dataclass(frozen=True)
class ComparisonRow:
    """One average of one system over its seeds.

    scope: "average" over all languages or pairs of a setting; "language": those with the queries in one language;
    "pair": one query and one passage language. Languages that are averaged over are "all". interval: over questions
    (bootstrap); seeds_interval: over seeds (Student's t), None with one seed. difference: None for a baseline.
    """

    system: str
    task: str
    setting: str
    metric: str
    scope: str
    query_language: str
    passage_language: str
    num_questions: int
    num_seeds: int
    value: float
    interval: Interval
    seeds_interval: Interval | None
    difference: Difference | None

    def plain(self) -> dict[str, object]:
        """All fields, as JSON can hold them."""
        return asdict(self)

    def significant(self, confidence: float) -> bool:
        """Whether the corrected p-value is below 1 - confidence."""
        return self.difference is not None and self.difference.p_holm < round(1 - confidence, 12)

    @property
    def gain(self) -> float:
        """The difference to the baseline, above 0 where the system is better; 0 for equals, and without a baseline."""
        value = self.difference.value if self.difference else 0.0
        if abs(value) < _ROUNDING:
            return 0.0
        return -value if self.metric in LOWER_IS_BETTER else value


def family_of(row: ComparisonRow) -> tuple[str, ...]:
    """The table whose tests are corrected together with that of the row.

    One table of main metrics and one of rank distance over all tasks and systems, one by query language for each task,
    one by pair for each task and system.
    """
    if row.scope == AVERAGE:
        return (AVERAGE, RANK_DISTANCE if row.metric == RANK_DISTANCE else "main")
    return (LANGUAGE, row.task) if row.scope == LANGUAGE else (PAIR, row.task, row.system)


def compare(
    systems: Mapping[str, Sequence[EvaluatedRun]],
    baselines: Mapping[str, str],
    tasks: Sequence[str],
    settings: ComparisonSettings,
) -> list[ComparisonRow]:
    """Compare systems, each a list of runs that differ by their seed, on tasks that all have (`common_tasks`).

    baselines: system -> the system that it is tested against; one without an entry is a baseline itself, or untested.
    Equal settings give equal rows.
    """
    return _corrected([row for task in tasks for row in _task_rows(task, systems, baselines, settings)])


@dataclass(frozen=True)
class _CellMean:
    """columns: of the cells that it is the mean of."""

    scope: str
    setting: str
    metric: str
    query_language: str
    passage_language: str
    columns: tuple[int, ...]


@dataclass(frozen=True)
class _System:
    """Means over seeds (C, G), their bootstrap draws (resamples, S), and the averages of each seed (seeds, S)."""

    name: str
    values: Floats
    draws: Floats
    by_seed: Floats


def _task_rows(
    task: str,
    systems: Mapping[str, Sequence[EvaluatedRun]],
    baselines: Mapping[str, str],
    settings: ComparisonSettings,
) -> Iterator[ComparisonRow]:
    """Those of all averages, some at a time: the draws of a hundred languages' pairs would fill the memory."""
    runs = {name: [run.tasks[task] for run in members] for name, members in systems.items()}
    averages = list(_averages(next(iter(runs.values()))[0].cells))
    for start in range(0, len(averages), _AVERAGES_AT_ONCE):
        part = averages[start : start + _AVERAGES_AT_ONCE]
        used = sorted({column for mean in part for column in mean.columns})
        place = {column: number for number, column in enumerate(used)}
        part = [replace(mean, columns=tuple(place[column] for column in mean.columns)) for mean in part]
        values = {name: [run.values[:, used] for run in members] for name, members in runs.items()}
        yield from _rows(task, part, values, baselines, settings)


def _rows(
    task: str,
    averages: Sequence[_CellMean],
    runs: Mapping[str, Sequence[Floats]],
    baselines: Mapping[str, str],
    settings: ComparisonSettings,
) -> Iterator[ComparisonRow]:
    """runs: system -> values (C, G) of each seed."""
    asked = ~np.isnan(next(iter(runs.values()))[0])
    cell_weights = np.ones(asked.shape[1]) if settings.average == MACRO else asked.sum(axis=0).astype(np.float64)
    weights = np.zeros((len(averages), asked.shape[1]))
    for row, mean in enumerate(averages):
        weights_of_mean = cell_weights[list(mean.columns)]
        weights[row, mean.columns] = weights_of_mean / weights_of_mean.sum()
    design = Design(asked, weights)

    means = {name: np.mean(members, axis=0) for name, members in runs.items()}
    draws = design.bootstrap(list(means.values()), resamples=settings.resamples, seed=settings.seed)
    measured = {
        name: _System(name, means[name], draw, np.stack([design.estimates(values) for values in runs[name]]))
        for name, draw in zip(means, draws, strict=True)
    }
    num_questions = design.questions().sum(axis=0)
    for name, system in measured.items():
        baseline = measured[baselines[name]] if name in baselines else None
        differences = _differences(design, averages, system, baseline, settings) if baseline else None
        values = design.estimates(system.values)
        intervals = percentile_interval(system.draws, settings.confidence)
        for index, mean in enumerate(averages):
            yield ComparisonRow(
                system=name,
                task=task,
                setting=mean.setting,
                metric=mean.metric,
                scope=mean.scope,
                query_language=mean.query_language,
                passage_language=mean.passage_language,
                num_questions=int(num_questions[index]),
                num_seeds=len(system.by_seed),
                value=float(values[index]),
                interval=_ends(intervals[index]),
                seeds_interval=t_interval(system.by_seed[:, index].tolist(), settings.confidence),
                difference=differences[index] if differences else None,
            )


def _differences(
    design: Design, averages: Sequence[_CellMean], system: _System, baseline: _System, settings: ComparisonSettings
) -> list[Difference]:
    change = system.values - baseline.values
    shares = design.shares(change)
    p_values = sign_flip_p_values(shares, resamples=settings.resamples, seed=settings.seed)
    intervals = percentile_interval(system.draws - baseline.draws, settings.confidence)
    effects = effect_sizes(design, change)
    differences = []
    for index, mean in enumerate(averages):
        better, equal, worse = _outcomes(change[:, mean.columns], mean.metric)
        ours, theirs = (side.by_seed[:, index].tolist() for side in (system, baseline))
        differences.append(
            Difference(
                baseline=baseline.name,
                value=float(shares[:, index].sum()),
                interval=_ends(intervals[index]),
                seeds_interval=welch_interval(ours, theirs, settings.confidence),
                p_value=float(p_values[index]),
                p_holm=1.0,  # until all tables are there
                effect_size=float(effects[index]) if np.isfinite(effects[index]) else None,
                better=better,
                equal=equal,
                worse=worse,
            )
        )
    return differences


def _averages(cells: Sequence[Cell]) -> Iterator[_CellMean]:
    """The averages of the tables: all of a setting, by query language, and single pairs."""
    everywhere: dict[tuple[str, str], list[int]] = {}
    by_language: dict[tuple[str, str, str], list[int]] = {}
    for column, cell in enumerate(cells):
        everywhere.setdefault((cell.metric, cell.setting), []).append(column)
        by_language.setdefault((cell.metric, cell.setting, cell.query_language), []).append(column)
    for (metric, setting), columns in everywhere.items():
        yield _CellMean(AVERAGE, setting, metric, ALL_LANGUAGES, ALL_LANGUAGES, tuple(columns))
    for (metric, setting, language), columns in by_language.items():
        if metric != RANK_DISTANCE:
            yield _CellMean(LANGUAGE, setting, metric, language, ALL_LANGUAGES, tuple(columns))
    for column, cell in enumerate(cells):
        if cell.metric != RANK_DISTANCE and cell.passage_language != ALL_LANGUAGES:
            yield _CellMean(PAIR, cell.setting, cell.metric, cell.query_language, cell.passage_language, (column,))


def _outcomes(change: Floats, metric: str) -> tuple[int, int, int]:
    """How many queries a system answers better, equally well and worse than the baseline."""
    asked = change[~np.isnan(change)]
    gains = -asked if metric in LOWER_IS_BETTER else asked
    better, worse = int((gains > _ROUNDING).sum()), int((gains < -_ROUNDING).sum())
    return better, len(gains) - better - worse, worse


def _corrected(rows: Sequence[ComparisonRow]) -> list[ComparisonRow]:
    """Holm's correction over all tests of each table."""
    tables: dict[tuple[str, ...], list[tuple[int, Difference]]] = {}
    for index, row in enumerate(rows):
        if row.difference is not None:
            tables.setdefault(family_of(row), []).append((index, row.difference))
    corrected = list(rows)
    for members in tables.values():
        adjusted = holm([difference.p_value for _, difference in members])
        for (index, difference), p_holm in zip(members, adjusted, strict=True):
            corrected[index] = replace(rows[index], difference=replace(difference, p_holm=p_holm))
    return corrected


def _ends(ends: Floats) -> Interval:
    return float(ends[0]), float(ends[1])
