"""Evaluating an encoder on a task: encode every text once, rank whole pools exactly, keep one value per query."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mixlingua import distributed
from mixlingua.data.rows import Side
from mixlingua.evaluation.bias import mixed_ranks, preference_metrics
from mixlingua.evaluation.metrics import Metrics, PerQueryMetric, RelevantRanks, metrics_of, relevant_ranks
from mixlingua.evaluation.results import (
    ALL_LANGUAGES,
    SETTINGS,
    PerQueryTable,
    RankedPassage,
    TaskResult,
    WorstQuery,
    badness,
)
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.retrieval.encode import Encode, check_vectors
from mixlingua.retrieval.passage_transforms import PassageTransforms
from mixlingua.retrieval.search import ExactScorer, blocks


@dataclass(frozen=True)
class Group:
    """The queries of one language against one pool: one cell of a result.

    pool: the columns of the pool among all passages (languages in order). rows: (n,) ascending positions, within their
    language, of the queries that have a relevant passage in the pool. columns, grades: (n, R), those passages as
    positions in the pool, padded with -1, and their grades, padded with 0. excluded: (n, E), positions in the pool of
    what a query cannot find, padded with -1. pool_languages: (N,) position of each passage's language among those that
    have passages; language: that of the queries' language, -1 where it has none.
    """

    setting: str
    query_language: str
    passage_language: str
    pool: slice
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    grades: NDArray[np.float64]
    excluded: NDArray[np.int64]
    pool_languages: NDArray[np.int64]
    language: int


def groups_of(task: RetrievalTask, setting: str) -> list[Group]:
    """The groups of a setting that hold at least one query.

    A query that has no relevant passage in a pool is no query of that pool: an MLQA-R question that was not translated
    into German is not asked of the German passages.
    """
    pools = _pools(task)
    keys = (key for language in task.passage_languages for key in task.passages[language])
    column = {key: position for position, key in enumerate(keys)}
    languages_of = np.repeat(np.arange(len(task.passage_languages)), list(task.num_passages.values()))
    places = {language: place for place, language in enumerate(task.passage_languages)}
    groups = []
    for query_language in task.languages:
        judged, excluded = task.qrels[query_language], task.excluded.get(query_language, {})
        queries = list(task.queries[query_language])
        triples = [
            (row, column[passage], grade)
            for row, query in enumerate(queries)
            for passage, grade in judged[query].items()
            if grade > 0 and passage not in excluded.get(query, ())
        ]
        relevant = np.array(triples, dtype=np.int64).reshape(-1, 3)
        for passage_language in _passage_languages(task, setting, query_language):
            pool = pools[passage_language]
            inside = relevant[(relevant[:, 1] >= pool.start) & (relevant[:, 1] < pool.stop)]
            if len(inside):
                rows, columns, grades = _padded(inside, pool.start)
                own = [[column[passage] for passage in excluded.get(queries[row], ())] for row in rows]
                left_out = _positions(own, pool)
                languages = languages_of[pool], places.get(query_language, -1)
                groups.append(
                    Group(setting, query_language, passage_language, pool, rows, columns, grades, left_out, *languages)
                )
    return groups


def _pools(task: RetrievalTask) -> dict[str, slice]:
    pools, start = {}, 0
    for language in task.passage_languages:
        pools[language] = slice(start, start + len(task.passages[language]))
        start = pools[language].stop
    return pools | {ALL_LANGUAGES: slice(0, start)}


def _passage_languages(task: RetrievalTask, setting: str, query_language: str) -> list[str]:
    if setting == "monolingual":
        return [language for language in task.passage_languages if language == query_language]
    if setting == "crosslingual":
        return [language for language in task.passage_languages if language != query_language]
    return [ALL_LANGUAGES]


def _padded(
    triples: NDArray[np.int64], pool_start: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    rows, starts, index, counts = np.unique(triples[:, 0], return_index=True, return_inverse=True, return_counts=True)
    place = np.arange(len(triples)) - starts[index]
    columns = np.full((len(rows), counts.max()), -1, dtype=np.int64)
    grades = np.zeros(columns.shape)
    columns[index, place] = triples[:, 1] - pool_start
    grades[index, place] = triples[:, 2]
    return rows, columns, grades


def _positions(columns: list[list[int]], pool: slice) -> NDArray[np.int64]:
    """(n, E) positions in the pool of those columns of each query that lie in it, padded with -1."""
    inside = [[column - pool.start for column in own if pool.start <= column < pool.stop] for own in columns]
    positions = np.full((len(inside), max(map(len, inside), default=0)), -1, dtype=np.int64)
    for row, own in enumerate(inside):
        positions[row, : len(own)] = own
    return positions


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


def evaluate(task: RetrievalTask, encode: Encode) -> TaskResult:
    """Rank every query's pool in each of the task's settings and measure it.

    encode: (texts, side) -> (N, D) float32 vectors on the CPU, called once per side with the texts of all languages
    (once in all for a symmetric task); the inner product is the score. Every rank must call this; each ranks a part of
    the queries, all get one result.
    Raises ModelError where a vector is not finite (it would rank anything).
    """
    query_vectors, passage_vectors = _encode_all(task, encode)
    scorer = ExactScorer(passage_vectors)

    groups = {setting: groups_of(task, setting) for setting in task.settings}
    metrics = {setting: PerQueryMetric(_metrics_of(setting, task)) for setting in task.settings}
    worst = WorstQueries(task)
    start = turn = 0
    for language in task.languages:
        vectors = query_vectors[start : start + len(task.queries[language])]
        start += len(vectors)
        own = [
            (index, group)
            for setting in task.settings
            for index, group in enumerate(groups[setting])
            if group.query_language == language
        ]
        for block in blocks(len(vectors), scorer.num_passages):
            if turn % distributed.world_size() == distributed.rank():
                _measure(own, metrics, worst, scorer(vectors[block]), block)
            turn += 1
    tables = {setting: _table(task, groups[setting], metrics[setting]) for setting in task.settings}
    return TaskResult(task.name, task.provenance(), tables, worst.gathered())


def _measure(
    groups: Iterable[tuple[int, Group]],
    metrics: dict[str, PerQueryMetric],
    worst: WorstQueries,
    scores: Tensor,
    block: slice,
) -> None:
    """Update the metrics and the worst queries with a block: scores are (block, P) over passages of all languages."""
    for index, group in groups:
        inside = (group.rows >= block.start) & (group.rows < block.stop)
        if not inside.any():
            continue
        rows = group.rows[inside]
        pool_scores = scores[:, group.pool].numpy()
        if len(rows) < len(pool_scores):
            pool_scores = pool_scores[rows - block.start]
        pool_scores = _without(pool_scores, group.excluded[inside])
        judged = group.columns[inside], group.grades[inside]
        if group.setting == "multilingual":
            result: RelevantRanks = mixed_ranks(pool_scores, *judged, group.pool_languages, group.language)
        else:
            result = relevant_ranks(pool_scores, *judged)
        metrics[group.setting].update(result, index, rows)
        worst.update(group, inside, result, pool_scores)


def _metrics_of(setting: str, task: RetrievalTask) -> Metrics:
    """Only a pool that holds several languages lets a model prefer one."""
    preference = preference_metrics(task.passage_languages) if setting == "multilingual" else {}
    return {**metrics_of(setting), **preference}


def _without(scores: NDArray[np.float32], excluded: NDArray[np.int64]) -> NDArray[np.float32]:
    """(Q, P) scores with -inf, as of what was not returned, in the (Q, E) columns that are excluded; -1 is none."""
    rows, places = np.nonzero(excluded >= 0)
    if len(rows):
        scores = scores.copy()  # of all groups
        scores[rows, excluded[rows, places]] = -np.inf
    return scores


def _table(task: RetrievalTask, groups: Sequence[Group], metric: PerQueryMetric) -> PerQueryTable:
    keys, values = metric.table()
    ids = {language: list(task.queries[language]) for language in task.languages}
    return PerQueryTable(
        query_ids=[ids[groups[group].query_language][row] for group, row in keys.tolist()],
        query_languages=[groups[group].query_language for group, _ in keys.tolist()],
        passage_languages=[groups[group].passage_language for group, _ in keys.tolist()],
        values={name: values[:, column] for column, name in enumerate(metric.metrics)},
    )


def encode_checked(task: str, encode: Encode, texts: Sequence[str], side: Side) -> Tensor:
    """(N, D) vectors of N texts. Raises ModelError, naming the task, where there are not N or they are not finite."""
    return check_vectors(encode(texts, side), len(texts), side, f"task {task}")


def _encode_all(task: RetrievalTask, encode: Encode) -> tuple[Tensor, Tensor]:
    """The vectors that search and those that are searched: of all queries and passages, after the task's transforms."""
    queries = [text for language in task.languages for text in task.queries[language].values()]
    passages = [text for language in task.passage_languages for text in task.passages[language].values()]
    candidates = [*passages, *_contexts(task)]
    if task.symmetric:
        vectors = encode_checked(task.name, encode, [*queries, *candidates], "query")
        query_vectors, candidate_vectors = vectors[: len(queries)], vectors[len(queries) :]
    else:
        query_vectors = encode_checked(task.name, encode, queries, "query")
        candidate_vectors = encode_checked(task.name, encode, candidates, "passage")
    searched = _transformed(task, candidate_vectors[: len(passages)], candidate_vectors[len(passages) :])
    return task.transforms.queries(query_vectors), searched


def _contexts(task: RetrievalTask) -> list[str]:
    """The context of each passage, in the order of the passages; none where they are not added."""
    if not task.transforms.context_weight:
        return []
    return [task.contexts[language][key] for language in task.passage_languages for key in task.passages[language]]


def _transformed(task: RetrievalTask, passages: Tensor, contexts: Tensor) -> Tensor:
    if task.transforms == PassageTransforms():
        return passages
    languages = [language for language in task.passage_languages for _ in task.passages[language]]
    return distributed.on_first_rank(lambda: task.transforms.passages(passages, contexts, languages))
