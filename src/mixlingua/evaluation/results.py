"""What an evaluation found: values per query, their means as validated rows, and the files of a run folder."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from mixlingua.errors import DataError
from mixlingua.evaluation.averages import MACRO, Average, aggregate
from mixlingua.evaluation.metric_names import PARTIAL
from mixlingua.evaluation.metrics import Floats
from mixlingua.evaluation.settings import ALL_LANGUAGES, SETTINGS
from mixlingua.evaluation.worst_query import WorstQuery


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


@dataclass(frozen=True)
class PerQueryTable:
    """One setting's values: n queries (a query of each group it is in), sorted by group; values: metric -> (n,).

    A metric of `PARTIAL` is nan where the query has nothing that it could measure.
    """

    query_ids: Sequence[str]
    query_languages: Sequence[str]
    passage_languages: Sequence[str]
    values: Mapping[str, Floats]


@dataclass(frozen=True)
class TaskResult:
    """One task's result. provenance: what identifies its data. per_query: setting -> values. worst: some queries.
    further_rows: figures that are no mean over queries, such as F1."""

    task: str
    provenance: Mapping[str, object]
    per_query: Mapping[str, PerQueryTable]
    worst: Sequence[WorstQuery] = ()
    further_rows: Sequence[ResultRow] = ()

    @cached_property
    def rows(self) -> list[ResultRow]:
        """The mean of every metric in every language or pair, and the further rows."""
        means = [row for setting, table in self.per_query.items() for row in self._means(setting, table)]
        return [*means, *self.further_rows]

    def aggregate(self, average: Average = MACRO) -> dict[str, float]:
        """Averages and spreads by key, such as "xquad_r/crosslingual/map"."""
        return aggregate(self.rows, average)

    def _means(self, setting: str, table: PerQueryTable) -> Iterable[ResultRow]:
        pairs = list(zip(table.query_languages, table.passage_languages, strict=True))
        for (query_language, passage_language), members in groupby(range(len(pairs)), key=pairs.__getitem__):
            part = list(members)
            for name, column in table.values.items():
                values = column[part]
                if name in PARTIAL:
                    values = values[~np.isnan(values)]
                if len(values):
                    mean = float(values.mean())
                    yield ResultRow(self.task, setting, query_language, passage_language, name, mean, len(values))
