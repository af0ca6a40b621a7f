"""Evaluating an encoder on a task: encode every text once, rank whole pools exactly, keep one value per query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mixlingua.data.protocols import Side
from mixlingua.evaluation.bias import mixed_ranks, preference_metrics
from mixlingua.evaluation.judgements import Group, groups_of
from mixlingua.evaluation.metrics import RelevantRanks, metrics_of, relevant_ranks
from mixlingua.evaluation.per_query import Metrics, PerQueryMetric
from mixlingua.evaluation.results import PerQueryTable, TaskResult
from mixlingua.evaluation.worst_queries import WorstQueries
from mixlingua.model import distributed
from mixlingua.retrieval.encode import Encode, check_vectors
from mixlingua.retrieval.indexing import Indexing
from mixlingua.retrieval.search import ExactScorer, blocks

if TYPE_CHECKING:
    from mixlingua.evaluation.task import RetrievalTask


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
    """The vectors that search and those that are searched: of all queries and passages, after the task's indexing."""
    queries = [text for language in task.languages for text in task.queries[language].values()]
    passages = [text for language in task.passage_languages for text in task.passages[language].values()]
    candidates = [*passages, *_contexts(task)]
    if task.symmetric:
        vectors = encode_checked(task.name, encode, [*queries, *candidates], "query")
        query_vectors, candidate_vectors = vectors[: len(queries)], vectors[len(queries) :]
    else:
        query_vectors = encode_checked(task.name, encode, queries, "query")
        candidate_vectors = encode_checked(task.name, encode, candidates, "passage")
    index = _index(task, candidate_vectors[: len(passages)], candidate_vectors[len(passages) :])
    return task.indexing.queries(query_vectors), index


def _contexts(task: RetrievalTask) -> list[str]:
    """The context of each passage, in the order of the passages; none where the index does without."""
    if not task.indexing.context_weight:
        return []
    return [task.contexts[language][key] for language in task.passage_languages for key in task.passages[language]]


def _index(task: RetrievalTask, passages: Tensor, contexts: Tensor) -> Tensor:
    if task.indexing == Indexing():
        return passages
    languages = [language for language in task.passage_languages for _ in task.passages[language]]
    return distributed.on_first_rank(lambda: task.indexing.passages(passages, contexts, languages))
