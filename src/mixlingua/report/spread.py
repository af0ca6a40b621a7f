"""How the values of a language's queries are spread, as quantiles on one logarithmic axis."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixlingua.evaluation.metrics import Floats
from mixlingua.languages import language_name
from mixlingua.report.scale import Scale, logarithmic

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Spread:
    """quantiles: those of QUANTILES."""

    quantiles: tuple[float, ...]
    mean: float


@dataclass(frozen=True)
class SpreadRow:
    """One language; before: None where it was not measured."""

    language: str
    name: str
    before: Spread | None
    after: Spread


@dataclass(frozen=True)
class SpreadChart:
    title: str
    rows: Sequence[SpreadRow]
    x: Scale

    @property
    def has_before(self) -> bool:
        return any(row.before for row in self.rows)


def spread_chart(
    title: str, after: Mapping[str, Floats], before: Mapping[str, Floats] | None, zero_shot: Collection[str] = ()
) -> SpreadChart:
    """after, before: language -> values, 0 or more. Languages never trained on come last."""
    rows = [
        SpreadRow(language, language_name(language), _spread((before or {}).get(language)), _held(after[language]))
        for language in sorted(after, key=lambda language: (language in zero_shot, language))
    ]
    shown = [part for row in rows for part in (row.before, row.after) if part]
    return SpreadChart(title, rows, logarithmic(value for part in shown for value in (*part.quantiles, part.mean)))


def _spread(values: Floats | None) -> Spread | None:
    return None if values is None else _held(values)


def _held(values: Floats) -> Spread:
    return Spread(tuple(float(value) for value in np.quantile(values, QUANTILES)), float(values.mean()))
