"""From rows to the figures of a task: averages over languages or pairs, and how far languages lie apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from mixlingua.evaluation.metric_names import share_language

if TYPE_CHECKING:
    from mixlingua.evaluation.results import ResultRow

Average = Literal["macro", "micro"]
MACRO: Average = "macro"
AVERAGES: tuple[Average, ...] = (MACRO, "micro")
# The metrics whose spread over query languages is given.
SPREAD = ("recall_at_1", "recall_at_10", "recall_at_100", "success_at_20", "success_at_100")


def mean_of_rows(rows: Sequence[ResultRow], average: Average) -> float:
    """macro: each language or pair counts alike; micro: each query does."""
    values = [row.value for row in rows]
    if average == MACRO:
        return float(np.mean(values))
    return float(np.average(values, weights=[row.num_queries for row in rows]))


def aggregate(rows: Sequence[ResultRow], average: Average = MACRO) -> dict[str, float]:
    """All figures of a run: its means, then its spreads."""
    return means(rows, average) | spreads(rows, average)


def without_shares(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures by key without the languages' shares, which are a matrix and no scalars for a logger."""
    return {key: value for key, value in figures.items() if share_language(key.rpartition("/")[2]) is None}


def means(rows: Iterable[ResultRow], average: Average) -> dict[str, float]:
    """The mean of the rows of each task, setting and metric, by "task/setting/metric"."""
    return {"/".join(key): mean_of_rows(part, average) for key, part in _by_metric(rows).items()}


def spreads(rows: Iterable[ResultRow], average: Average) -> dict[str, float]:
    """How far query languages lie apart in recall and success, by the key of its mean and "_gap" or "_std".

    gap: the largest minus the smallest mean of a query language; std: the standard deviation of these means. There is
    none of one query language.
    """
    found: dict[str, float] = {}
    for key, part in _by_metric(rows).items():
        by_language: dict[str, list[ResultRow]] = {}
        for row in part:
            by_language.setdefault(row.query_language, []).append(row)
        if key[2] in SPREAD and len(by_language) > 1:
            values = [mean_of_rows(own, average) for own in by_language.values()]
            name = "/".join(key)
            found |= {f"{name}_gap": max(values) - min(values), f"{name}_std": float(np.std(values))}
    return found


def _by_metric(rows: Iterable[ResultRow]) -> dict[tuple[str, str, str], list[ResultRow]]:
    parts: dict[tuple[str, str, str], list[ResultRow]] = {}
    for row in rows:
        parts.setdefault((row.task, row.setting, row.metric), []).append(row)
    return parts
