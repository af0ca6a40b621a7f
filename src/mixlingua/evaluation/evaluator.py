"""Evaluating an encoder on a task: encode every text once, rank whole pools exactly, keep one value per query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from mixlingua.errors import ConfigError, suggest
from mixlingua.evaluation.judgements import Group, groups_of
from mixlingua.evaluation.metrics import metrics_of, relevant_ranks
from mixlingua.evaluation.per_query import PerQueryMetric
from mixlingua.evaluation.results import PerQueryTable, TaskResult
from mixlingua.evaluation.settings import SETTINGS
from mixlingua.model import distributed
from mixlingua.model.tokenizer import Side
from mixlingua.retrieval.encode import Encode, check_vectors
from mixlingua.retrieval.search import ExactScorer, blocks

if TYPE_CHECKING:
    from mixlingua.evaluation.task import RetrievalTask


def evaluate(task: RetrievalTask, encode: Encode, *, settings: Sequence[str] | None = None) -> TaskResult:
    """Rank every query's pool in each setting (default: those of the task) and measure it.

    encode: (texts, side) -> (N, D) float32 vectors on the CPU, called once per side with the texts of all languages;
    the inner product is the score. Every rank must call this; each ranks a part of the queries, all get one result.
    Raises ConfigError for an unknown setting, ModelError where a vector is not finite (it would rank anything).
    """
    settings = _known(task.settings if settings is None else settings)
    query_vectors = _encode_all(task, encode, "query")
    scorer = ExactScorer(_encode_all(task, encode, "passage"))

    groups = {setting: groups_of(task, setting) for setting in settings}
    metrics = {setting: PerQueryMetric(metrics_of(setting)) for setting in settings}
    start = turn = 0
    for language in task.languages:
        vectors = query_vectors[start : start + len(task.queries[language])]
        start += len(vectors)
        own = [
            (index, group)
            for setting in settings
            for index, group in enumerate(groups[setting])
            if group.query_language == language
        ]
        for block in blocks(len(vectors), scorer.num_passages):
            if turn % distributed.world_size() == distributed.rank():
                _measure(own, metrics, scorer(vectors[block]), block)
            turn += 1
    tables = {setting: _table(task, groups[setting], metrics[setting]) for setting in settings}
    return TaskResult(task.name, task.provenance(), tables)


def _measure(
    groups: Iterable[tuple[int, Group]], metrics: dict[str, PerQueryMetric], scores: Tensor, block: slice
) -> None:
    """Update the metrics with the queries of a block: scores are (block, P) over the passages of all languages."""
    for index, group in groups:
        inside = (group.rows >= block.start) & (group.rows < block.stop)
        if not inside.any():
            continue
        rows = group.rows[inside]
        pool_scores = scores[:, group.pool].numpy()
        if len(rows) < len(pool_scores):
            pool_scores = pool_scores[rows - block.start]
        result = relevant_ranks(pool_scores, group.columns[inside], group.grades[inside])
        metrics[group.setting].update(result, index, rows)


def _table(task: RetrievalTask, groups: Sequence[Group], metric: PerQueryMetric) -> PerQueryTable:
    keys, values = metric.table()
    ids = {language: list(task.queries[language]) for language in task.languages}
    return PerQueryTable(
        query_ids=[ids[groups[group].query_language][row] for group, row in keys.tolist()],
        query_languages=[groups[group].query_language for group, _ in keys.tolist()],
        passage_languages=[groups[group].passage_language for group, _ in keys.tolist()],
        values={name: values[:, column] for column, name in enumerate(metric.metrics)},
    )


def _encode_all(task: RetrievalTask, encode: Encode, side: Side) -> Tensor:
    part = task.queries if side == "query" else task.passages
    texts = [text for language in task.languages for text in part[language].values()]
    return check_vectors(encode(texts, side), len(texts), side, f"task {task.name}")


def _known(settings: Sequence[str]) -> tuple[str, ...]:
    for setting in settings:
        if setting not in SETTINGS:
            choices = ", ".join(SETTINGS)
            raise ConfigError(f"settings: '{setting}' is none of {choices}.{suggest(setting, SETTINGS)}")
    return tuple(settings)
