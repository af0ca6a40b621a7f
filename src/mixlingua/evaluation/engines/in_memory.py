"""Retrieval with the pool in memory: encode every text once, rank whole pools exactly, keep one value per query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

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
from mixlingua.retrieval.encode import Encode, encode_checked
from mixlingua.retrieval.passage_transforms import PassageTransforms
from mixlingua.retrieval.search import ExactScorer, blocks


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
    for turn, (language, block, vectors) in enumerate(_query_blocks(task, query_vectors, scorer.num_passages)):
        if turn % distributed.world_size() != distributed.rank():
            continue
        scores = scorer(vectors).numpy()
        for setting in task.settings:
            for number, of_language in enumerate(groups[setting]):
                if of_language.query_language == language and len((group := of_language.within(block)).rows):
                    pool_scores = group.scores(scores, block)
                    ranking = group.ranking(pool_scores)
                    metrics[setting].update(ranking, number, group.rows)
                    worst.update(group, ranking, pool_scores)
    tables = {setting: _table(task, groups[setting], metrics[setting]) for setting in task.settings}
    return TaskResult(task.name, task.provenance(), tables, worst.gathered())


def _encode_all(task: RetrievalTask, encode: Encode) -> tuple[Tensor, Tensor]:
    """The vectors of all queries and passages, languages in order, after the task's passage transforms."""
    queries = [text for language in task.languages for text in task.queries[language].values()]
    passages = [text for language in task.passage_languages for text in task.passages[language].values()]
    candidates = [*passages, *_contexts(task)]
    if task.symmetric:
        vectors = _encode(task, encode, [*queries, *candidates], "query")
        query_vectors, candidate_vectors = vectors[: len(queries)], vectors[len(queries) :]
    else:
        query_vectors = _encode(task, encode, queries, "query")
        candidate_vectors = _encode(task, encode, candidates, "passage")
    searched = _transformed(task, candidate_vectors[: len(passages)], candidate_vectors[len(passages) :])
    return task.transforms.queries(query_vectors), searched


def _encode(task: RetrievalTask, encode: Encode, texts: Sequence[str], side: Side) -> Tensor:
    return encode_checked(encode, texts, side, f"task {task.name}")


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


def _query_blocks(task: RetrievalTask, query_vectors: Tensor, num_passages: int) -> Iterator[tuple[str, slice, Tensor]]:
    """Query language, positions among its queries, and vectors of queries whose scores are held in memory together."""
    start = 0
    for language in task.languages:
        vectors = query_vectors[start : start + len(task.queries[language])]
        start += len(vectors)
        for block in blocks(len(vectors), num_passages):
            yield language, block, vectors[block]


def _metrics_of(setting: str, task: RetrievalTask) -> Metrics:
    """Only a pool that holds several languages lets a model prefer one."""
    preference = preference_metrics(task.passage_languages) if setting == "multilingual" else {}
    return {**metrics_of(setting), **preference}


def _table(task: RetrievalTask, groups: Sequence[Group], metric: PerQueryMetric) -> PerQueryTable:
    pairs = [(group.query_language, group.passage_language) for group in groups]
    ids = {language: list(task.queries[language]) for language in task.languages}
    return PerQueryTable.collected(metric, pairs, [ids[group.query_language] for group in groups])


@dataclass(frozen=True)
class Group:
    """The queries of one language against one pool: those that have a relevant passage in it.

    pool: the columns of the pool among all passages (languages in order). rows: (n,) ascending positions of the queries
    among those of their language. columns, grades: (n, R), the relevant passages as positions in the pool, padded with
    -1, and their grades, padded with 0. excluded: (n, E), positions in the pool of what a query cannot find, padded
    with -1. pool_languages: (P,) the code of each passage's language; language: that of the queries' language, -1 where
    it has no passages. Codes are positions in `task.passage_languages`.
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

    def within(self, block: slice) -> Self:
        """The group with the queries of a block alone."""
        inside = (self.rows >= block.start) & (self.rows < block.stop)
        kept = {name: getattr(self, name)[inside] for name in ("rows", "columns", "grades", "excluded")}
        return replace(self, **kept)

    def scores(self, scores: NDArray[np.float32], block: slice) -> NDArray[np.float32]:
        """(n, P) of the group's queries, which lie in the block, over its pool, -inf for what a query cannot find.

        scores: of all queries of the block, over the passages of all languages.
        """
        scores = scores[:, self.pool]
        if len(self.rows) < len(scores):
            scores = scores[self.rows - block.start]
        queries, columns = np.nonzero(self.excluded >= 0)
        if len(queries):
            scores = scores.copy()  # other groups look at them too
            scores[queries, self.excluded[queries, columns]] = -np.inf
        return scores

    def ranking(self, scores: NDArray[np.float32]) -> RelevantRanks:
        """The ranks of the relevant passages, for (n, P) scores over the pool."""
        if self.setting == "multilingual":
            return mixed_ranks(scores, self.columns, self.grades, self.pool_languages, self.language)
        return relevant_ranks(scores, self.columns, self.grades)


def groups_of(task: RetrievalTask, setting: str) -> list[Group]:
    """The groups of a setting that hold at least one query.

    A query that has no relevant passage in a pool is no query of that pool: an MLQA-R question that was not translated
    into German is not asked of the German passages.
    """
    pools = _pools(task)
    column_of = {key: column for column, key in enumerate(_passage_keys(task))}
    languages = np.repeat(np.arange(len(task.passage_languages)), list(task.num_passages.values()))
    codes = {language: code for code, language in enumerate(task.passage_languages)}
    groups = []
    for query_language in task.languages:
        qrels, excluded = task.qrels[query_language], task.excluded.get(query_language, {})
        queries = list(task.queries[query_language])
        judgements = [
            (row, column_of[passage], grade)
            for row, query in enumerate(queries)
            for passage, grade in qrels[query].items()
            if grade > 0 and passage not in excluded.get(query, ())
        ]
        relevant = np.array(judgements, dtype=np.int64).reshape(-1, 3)
        for passage_language in _passage_languages(task, setting, query_language):
            pool = pools[passage_language]
            in_pool = relevant[(relevant[:, 1] >= pool.start) & (relevant[:, 1] < pool.stop)]
            if len(in_pool):
                rows, columns, grades = _padded(in_pool, pool.start)
                left_out = [[column_of[passage] for passage in excluded.get(queries[row], ())] for row in rows]
                groups.append(
                    Group(
                        setting,
                        query_language,
                        passage_language,
                        pool,
                        rows,
                        columns,
                        grades,
                        excluded=_positions(left_out, pool),
                        pool_languages=languages[pool],
                        language=codes.get(query_language, -1),
                    )
                )
    return groups


def _passage_keys(task: RetrievalTask) -> Iterator[str]:
    return (key for language in task.passage_languages for key in task.passages[language])


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
    judgements: NDArray[np.int64], pool_start: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """(n,) rows, (n, R) columns in the pool and (n, R) grades of judgements (row, column, grade), sorted by row."""
    rows, starts, index, counts = np.unique(
        judgements[:, 0], return_index=True, return_inverse=True, return_counts=True
    )
    number = np.arange(len(judgements)) - starts[index]  # of the judgement among those of its query
    columns = np.full((len(rows), counts.max()), -1, dtype=np.int64)
    grades = np.zeros(columns.shape)
    columns[index, number] = judgements[:, 1] - pool_start
    grades[index, number] = judgements[:, 2]
    return rows, columns, grades


def _positions(columns: list[list[int]], pool: slice) -> NDArray[np.int64]:
    """(n, E) positions in the pool of those columns of each query that lie in it, padded with -1."""
    in_pool = [[column - pool.start for column in of_query if pool.start <= column < pool.stop] for of_query in columns]
    positions = np.full((len(in_pool), max(map(len, in_pool), default=0)), -1, dtype=np.int64)
    for row, of_query in enumerate(in_pool):
        positions[row, : len(of_query)] = of_query
    return positions


NUM_WORST = 10  # questions of each setting


class WorstQueries:
    """Keeps the worst questions of each setting, NUM_WORST of them, each question once, in its worst language.

    A question that fails in one language mostly fails in all: without this, one question would fill the list.
    """

    def __init__(self, task: RetrievalTask) -> None:
        self.task = task
        self.query_ids = {language: list(task.queries[language]) for language in task.languages}
        self.passage_ids = [(language, key) for language in task.passage_languages for key in task.passages[language]]
        self.kept: dict[str, dict[str, WorstQuery]] = {}  # setting -> query id -> the query in its worst language

    def update(self, group: Group, ranking: RelevantRanks, scores: NDArray) -> None:
        """Look through the queries of a group: their ranks, and (n, P) scores over the pool."""
        values = metrics_of(group.setting)[self.task.main_metric](ranking)
        for query in np.lexsort((-ranking.ranks.min(axis=1), values))[:NUM_WORST].tolist():
            row, columns, ranks = int(group.rows[query]), group.columns[query], ranking.ranks[query]
            self._keep(self._described(group, row, columns, ranks, scores[query], float(values[query])))

    def gathered(self) -> list[WorstQuery]:
        """Those of all ranks, by setting, the worst first; every rank must call this."""
        entries = [entry for by_query in self.kept.values() for entry in by_query.values()]
        for of_rank in distributed.all_gather_objects(entries):
            for entry in of_rank:
                self._keep(entry)
        settings = [setting for setting in SETTINGS if setting in self.kept]
        return [entry for name in settings for entry in sorted(self.kept[name].values(), key=badness)]

    def _keep(self, entry: WorstQuery) -> None:
        entries = self.kept.setdefault(entry.setting, {})
        known = entries.get(entry.query_id)
        if known is None or badness(entry) < badness(known):
            entries[entry.query_id] = entry
        if len(entries) > NUM_WORST:
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
