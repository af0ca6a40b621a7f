"""Bitext retrieval between pairs of languages, each with sentences of its own: find the translation of a sentence."""

import numpy as np
from torch import Tensor

from mixlingua import distributed
from mixlingua.evaluation.engines.in_memory import encode_checked
from mixlingua.evaluation.metrics import PerQueryMetric, metrics_of, relevant_ranks
from mixlingua.evaluation.results import PerQueryTable, TaskResult
from mixlingua.evaluation.tasks import BitextTask
from mixlingua.retrieval.encode import Encode
from mixlingua.retrieval.search import ExactScorer, blocks

SETTING = "crosslingual"


def _measure(metric: PerQueryMetric, group: int, queries: Tensor, passages: Tensor) -> None:
    """Update the metric with one direction: (N, D) queries and (N, D) passages, row by row each other's translation."""
    scorer = ExactScorer(passages)
    for block in blocks(len(queries), len(passages)):
        rows = np.arange(block.start, block.stop)
        result = relevant_ranks(scorer(queries[block]).numpy(), rows[:, None], np.ones((len(rows), 1)))
        metric.update(result, group, rows)


def evaluate(task: BitextTask, encode: Encode) -> TaskResult:
    """Rank the whole pool of every sentence; every rank must call this. Raises ModelError as `encode_checked`."""
    texts = task.texts()
    vectors = encode_checked(task.name, encode, list(texts), "query")
    metric = PerQueryMetric(metrics_of(SETTING))
    directions = list(task.directions())
    for group, (_, queries, passages) in enumerate(directions):
        if group % distributed.world_size() == distributed.rank():
            _measure(metric, group, *(vectors[[texts[text] for text in side]] for side in (queries, passages)))
    keys, values = metric.table()
    pairs = [directions[group][0] for group in keys[:, 0].tolist()]
    table = PerQueryTable(
        query_ids=[f"{'-'.join(sorted(pair))}:{row + 1}" for pair, row in zip(pairs, keys[:, 1].tolist(), strict=True)],
        query_languages=[query_language for query_language, _ in pairs],
        passage_languages=[passage_language for _, passage_language in pairs],
        values={name: values[:, column] for column, name in enumerate(metric.metrics)},
    )
    return TaskResult(task.name, task.provenance(), {SETTING: table})
