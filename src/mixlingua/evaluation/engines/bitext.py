"""Bitext retrieval between pairs of languages, each with sentences of its own: find the translation of a sentence."""

import numpy as np

from mixlingua import distributed
from mixlingua.evaluation.metrics import PerQueryMetric, metrics_of, relevant_ranks
from mixlingua.evaluation.results import PerQueryTable, TaskResult
from mixlingua.evaluation.tasks import BitextTask
from mixlingua.retrieval.encode import Encode, encode_checked
from mixlingua.retrieval.search import ExactScorer, blocks

SETTING = "crosslingual"


def evaluate(task: BitextTask, encode: Encode) -> TaskResult:
    """Rank the whole pool of every sentence; every rank must call this, and ranks the directions that are its turn.

    Raises ModelError where a vector is not finite.
    """
    rows = task.texts()
    vectors = encode_checked(encode, list(rows), "query", f"task {task.name}")
    metric = PerQueryMetric(metrics_of(SETTING))
    directions = list(task.directions())
    for group, (_, queries, passages) in enumerate(directions):
        if group % distributed.world_size() != distributed.rank():
            continue
        query_vectors, passage_vectors = (vectors[[rows[text] for text in side]] for side in (queries, passages))
        scorer = ExactScorer(passage_vectors)
        for block in blocks(len(queries), len(passages)):
            lines = np.arange(block.start, block.stop)
            scores = scorer(query_vectors[block]).numpy()
            metric.update(relevant_ranks(scores, lines[:, None], np.ones((len(lines), 1))), group, lines)
    pairs = [pair for pair, _, _ in directions]
    query_ids = [
        [f"{'-'.join(sorted(pair))}:{line}" for line in range(1, len(queries) + 1)] for pair, queries, _ in directions
    ]
    return TaskResult(task.name, task.provenance(), {SETTING: PerQueryTable.collected(metric, pairs, query_ids)})
