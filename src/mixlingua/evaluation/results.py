"""What an evaluation found: values per query, their means as validated rows, averages over rows, and worst queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Literal, Self

import numpy as np

from mixlingua.errors import DataError
from mixlingua.evaluation.metrics import Floats, PerQueryMetric

SETTINGS = ("monolingual", "crosslingual", "multilingual")
RANK_DISTANCE = "rank_distance"  # counts ranks; all other metrics are shares
ALL_LANGUAGES = "all"  # the passage language of the multilingual setting
Average = Literal["macro", "micro"]
MACRO: Average = "macro"
AVERAGES: tuple[Average, ...] = (MACRO, "micro")
# The metrics whose spread over query languages is given.
SPREAD = ("recall_at_1", "recall_at_10", "recall_at_100", "success_at_20", "success_at_100")
LOWER_IS_BETTER = frozenset({
    RANK_DISTANCE, "normalised_max_rank", "language_divergence_at_10",
    *(f"{metric}{end}" for metric in SPREAD for end in ("_gap", "_std")),
})  # fmt: skip
ZERO_IS_BEST = frozenset({"map_drop_without_own", "own_language_excess_at_10"})
TOP = 10  # the passages whose languages are counted
# What some queries have no value for: nothing relevant is in another language, or in their own, or nothing at all is.
PARTIAL = frozenset({
    "recall_other_at_10", "recall_other_at_100", "map_drop_without_own", "own_language_excess_at_10",
})  # fmt: skip


def share_metric(language: str) -> str:
    """The key of a language's share of the first 10 passages."""
    return f"share_of_{language}_at_{TOP}"


def share_language(metric: str) -> str | None:
    """The language whose share a key names, None of another metric."""
    language = metric.removeprefix("share_of_").removesuffix(f"_at_{TOP}")
    return language if metric == share_metric(language) else None


@dataclass(frozen=True)
class TaskResult:
    """One task's result. provenance: what identifies its data. per_query: setting -> values. worst: some queries.
    further_rows: figures that are no mean over queries, such as F1. further_files: what the run folder gets beside the
    usual files, by path in it, such as results in another project's format."""

    task: str
    provenance: Mapping[str, object]
    per_query: Mapping[str, PerQueryTable]
    worst: Sequence[WorstQuery] = ()
    further_rows: Sequence[ResultRow] = ()
    further_files: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def rows(self) -> list[ResultRow]:
        """The mean of every metric in every language or pair, and the further rows."""
        of_tables = [row for setting, table in self.per_query.items() for row in self._means(setting, table)]
        return [*of_tables, *self.further_rows]

    def aggregate(self, average: Average = MACRO) -> dict[str, float]:
        """Averages and spreads by key, such as "xquad_r/crosslingual/map"."""
        return aggregate(self.rows, average)

    def _means(self, setting: str, table: PerQueryTable) -> Iterable[ResultRow]:
        pairs = zip(table.query_languages, table.passage_languages, strict=True)
        start = 0
        for (query_language, passage_language), members in groupby(pairs):
            stop = start + sum(1 for _ in members)
            for name, column in table.values.items():
                values = column[start:stop]
                if name in PARTIAL:
                    values = values[~np.isnan(values)]
                if len(values):
                    mean = float(values.mean())
                    yield ResultRow(self.task, setting, query_language, passage_language, name, mean, len(values))
            start = stop


@dataclass(frozen=True)
class PerQueryTable:
    """One setting's values of n queries, sorted by group: the queries in one language against one pool.

    A query is there once for each group that it is in. values: metric -> (n,). A metric of `PARTIAL` is nan where the
    query has nothing that it could measure.
    """

    query_ids: Sequence[str]
    query_languages: Sequence[str]
    passage_languages: Sequence[str]
    values: Mapping[str, Floats]

    @classmethod
    def collected(
        cls, metric: PerQueryMetric, pairs: Sequence[tuple[str, str]], query_ids: Sequence[Sequence[str]]
    ) -> Self:
        """What a metric has collected on all ranks; every rank must call this.

        pairs: query and passage language of each group; query_ids: of each group, the ids of its queries by position.
        """
        keys, values = metric.compute()
        groups, queries = keys[:, 0].tolist(), keys[:, 1].tolist()
        return cls(
            query_ids=[query_ids[group][query] for group, query in zip(groups, queries, strict=True)],
            query_languages=[pairs[group][0] for group in groups],
            passage_languages=[pairs[group][1] for group in groups],
            values={name: values[:, column] for column, name in enumerate(metric.metrics)},
        )


@dataclass(frozen=True)
class ResultRow:
    """The mean of a metric over the queries of one language against one pool: those in which it is defined.

    passage_language: "all" in the multilingual setting, whose pool holds every language.
    Raises DataError where the setting is unknown, does not fit the languages, or the value is not finite.
    """

    task: str
    setting: str
    query_language: str
    passage_language: str
    metric: str
    value: float
    num_queries: int

    def __post_init__(self) -> None:
        for name, kind in (("task", str), ("setting", str), ("metric", str), ("value", float), ("num_queries", int)):
            if type(getattr(self, name)) is not kind:
                raise DataError(
                    f"result row: {name} is {getattr(self, name)!r}, not a {kind.__name__}: {self._plain()}"
                )
        fits = {
            "monolingual": self.query_language == self.passage_language,
            "crosslingual": self.passage_language not in (self.query_language, ALL_LANGUAGES),
            "multilingual": self.passage_language == ALL_LANGUAGES,
        }
        if self.setting not in fits:
            raise DataError(f"result row: setting '{self.setting}' is none of {', '.join(SETTINGS)}: {self._plain()}")
        if not fits[self.setting]:
            pair = f"{self.query_language}->{self.passage_language}"
            raise DataError(f"result row: {pair} is no {self.setting} pair: {self._plain()}")
        if not np.isfinite(self.value) or self.num_queries < 1:
            raise DataError(f"result row: needs a finite value over 1 query or more: {self._plain()}")

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What no two rows of a report share."""
        return self.task, self.setting, self.query_language, self.passage_language, self.metric

    def _plain(self) -> dict[str, object]:
        return asdict(self)


def aggregate(rows: Sequence[ResultRow], average: Average = MACRO) -> dict[str, float]:
    """All figures of a run: its means, then its spreads."""
    return means(rows, average) | spreads(rows, average)


def figures_of(results: Iterable[TaskResult], average: Average = MACRO) -> dict[str, float]:
    """All figures of several tasks."""
    return {key: value for result in results for key, value in result.aggregate(average).items()}


def main_figures(figures: Mapping[str, float], main_metrics: Mapping[str, str]) -> dict[str, float]:
    """Of figures by key those of each task's main metric, and rank distance."""
    parts = ((key, *key.split("/")) for key in figures)
    return {key: figures[key] for key, task, _, metric in parts if metric in (main_metrics[task], RANK_DISTANCE)}


def means(rows: Iterable[ResultRow], average: Average) -> dict[str, float]:
    """The mean of the rows of each task, setting and metric, by "task/setting/metric"."""
    return {"/".join(key): mean_of_rows(of_metric, average) for key, of_metric in _by_metric(rows).items()}


def spreads(rows: Iterable[ResultRow], average: Average) -> dict[str, float]:
    """How far query languages lie apart in recall and success, by the key of its mean and "_gap" or "_std".

    gap: the largest minus the smallest mean of a query language; std: the standard deviation of these means. There is
    none of one query language.
    """
    figures: dict[str, float] = {}
    for key, of_metric in _by_metric(rows).items():
        by_language: dict[str, list[ResultRow]] = {}
        for row in of_metric:
            by_language.setdefault(row.query_language, []).append(row)
        if key[2] in SPREAD and len(by_language) > 1:
            values = [mean_of_rows(of_language, average) for of_language in by_language.values()]
            name = "/".join(key)
            figures |= {f"{name}_gap": max(values) - min(values), f"{name}_std": float(np.std(values))}
    return figures


def mean_of_rows(rows: Sequence[ResultRow], average: Average) -> float:
    """macro: each language or pair counts alike; micro: each query does."""
    values = [row.value for row in rows]
    if average == MACRO:
        return float(np.mean(values))
    return float(np.average(values, weights=[row.num_queries for row in rows]))


def _by_metric(rows: Iterable[ResultRow]) -> dict[tuple[str, str, str], list[ResultRow]]:
    by_metric: dict[tuple[str, str, str], list[ResultRow]] = {}
    for row in rows:
        by_metric.setdefault((row.task, row.setting, row.metric), []).append(row)
    return by_metric


def without_shares(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures by key without the languages' shares, which are a matrix and no scalars for a logger."""
    return {key: value for key, value in figures.items() if share_language(key.rpartition("/")[2]) is None}


@dataclass(frozen=True)
class RankedPassage:
    """rank: from 1, ties counted against the system. score: the inner product with the query."""

    id: str
    language: str
    text: str
    rank: int
    score: float


@dataclass(frozen=True)
class WorstQuery:
    """A query against one pool of `pool_size` passages, `num_relevant` of them relevant.

    value: of the task's main metric, `metric`. first: what was ranked first. relevant: the relevant passage that came
    nearest to that; the last relevant one has last_rank.
    """

    task: str
    setting: str
    query_id: str
    query_language: str
    passage_language: str
    query: str
    metric: str
    value: float
    pool_size: int
    num_relevant: int
    last_rank: int
    first: RankedPassage
    relevant: RankedPassage


def badness(entry: WorstQuery) -> tuple[float, int, str, str, str]:
    """Sorts the worst first: by value, then by how late the first relevant passage comes; never by chance."""
    return entry.value, -entry.relevant.rank, entry.query_language, entry.passage_language, entry.query_id
