"""Which queries a system answers worst, found while its rankings are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixlingua.evaluation.judgements import Group
from mixlingua.evaluation.metrics import RelevantRanks, metrics_of
from mixlingua.evaluation.settings import SETTINGS
from mixlingua.evaluation.worst_query import RankedPassage, WorstQuery, badness
from mixlingua.model import distributed

if TYPE_CHECKING:
    from mixlingua.evaluation.task import RetrievalTask

KEPT = 10  # questions of each setting


class WorstQueries:
    """Keeps each setting's KEPT worst questions while a task is evaluated, each question once, in its worst language.

    A question that fails in one language mostly fails in all: without this, one question would fill the list.
    """

    def __init__(self, task: RetrievalTask) -> None:
        self.task = task
        self.query_ids = {language: list(task.queries[language]) for language in task.languages}
        self.passage_ids = [(language, key) for language in sorted(task.passages) for key in task.passages[language]]
        self.found: dict[str, dict[str, WorstQuery]] = {}

    def update(self, group: Group, inside: NDArray[np.bool_], result: RelevantRanks, scores: NDArray) -> None:
        """Look through the queries `inside` (of the group's rows): their ranks, and (Q, P) scores over the pool."""
        values = metrics_of(group.setting)[self.task.main_metric](result)
        rows, columns = group.rows[inside], group.columns[inside]
        for place in np.lexsort((-result.ranks.min(axis=1), values))[:KEPT].tolist():
            self._keep(self._described(group, int(rows[place]), columns[place], result.ranks[place], scores[place],
                                       float(values[place])))  # fmt: skip

    def gathered(self) -> list[WorstQuery]:
        """Those of all ranks, by setting, the worst first; every rank must call this."""
        own = [entry for entries in self.found.values() for entry in entries.values()]
        for part in distributed.all_gather_objects(own):
            for entry in part:
                self._keep(entry)
        settings = [setting for setting in SETTINGS if setting in self.found]
        return [entry for name in settings for entry in sorted(self.found[name].values(), key=badness)]

    def _keep(self, entry: WorstQuery) -> None:
        entries = self.found.setdefault(entry.setting, {})
        known = entries.get(entry.query_id)
        if known is None or badness(entry) < badness(known):
            entries[entry.query_id] = entry
        if len(entries) > KEPT:
            del entries[max(entries.values(), key=badness).query_id]

    def _described(
        self, group: Group, row: int, columns: NDArray[np.int64], ranks: NDArray, scores: NDArray, value: float
    ) -> WorstQuery:
        columns, ranks = columns[columns >= 0], np.minimum(ranks[: (columns >= 0).sum()], len(scores)).astype(int)
        query_id = self.query_ids[group.query_language][row]
        return WorstQuery(
            task=self.task.name,
            setting=group.setting,
            query_id=query_id,
            query_language=group.query_language,
            passage_language=group.passage_language,
            query=self.task.queries[group.query_language][query_id],
            metric=self.task.main_metric,
            value=value,
            pool_size=len(scores),
            num_relevant=len(columns),
            last_rank=int(ranks.max()),
            first=self._ranked(group, _first(scores, columns), 1, scores),
            relevant=self._ranked(group, columns[scores[columns].argmax()], int(ranks.min()), scores),
        )

    def _ranked(self, group: Group, column: int, rank: int, scores: NDArray) -> RankedPassage:
        language, key = self.passage_ids[group.pool.start + int(column)]
        return RankedPassage(key, language, self.task.passages[language][key], rank, float(scores[column]))


def _first(scores: NDArray, relevant: NDArray[np.int64]) -> int:
    """The column that is ranked first: of several with the highest score an irrelevant one, as the metrics have it."""
    highest = np.flatnonzero(scores == scores.max())
    wrong = np.setdiff1d(highest, relevant)
    return int((wrong if len(wrong) else highest)[0])
