"""Whole evaluations over corpora equal ir-measures: graded judgements, ties, negative scores, missing passages."""

import sys
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, P, Qrel, R, ScoredDoc, nDCG

sys.path.insert(0, str(Path(__file__).parent))
from worlds import ByText, corpus_task, random_world

from mixlingua.evaluation.suite import evaluate_task

ORACLE = {
    "map": AP, "recall_at_1": R @ 1, "recall_at_10": R @ 10, "recall_at_100": R @ 100, "precision_at_10": P @ 10,
    "ndcg_at_10": nDCG @ 10, "mrr_at_10": RR @ 10, "mrr_at_100": RR @ 100,
}  # fmt: skip


def oracle(task, vectors, query_language, pool):
    """Values by metric and query of ir-measures, which is given the passages of a pool in the pessimistic order."""
    grades: dict[str, dict[str, int]] = {}
    for language in pool:
        for query, judged in task.qrels.get((query_language, language), {}).items():
            grades.setdefault(query, {}).update(judged)
    grades = {query: judged for query, judged in grades.items() if max(judged.values()) > 0}
    passages = {name: text for language in pool for name, text in task.corpora[language].passages()}
    qrels, run = [], []
    for query, judged in grades.items():
        qrels += [Qrel(query, name, max(grade, 0)) for name, grade in judged.items()]
        own = vectors[task.queries[query_language][query]]
        score = {name: float(own @ vectors[text]) for name, text in passages.items()}
        ranking = sorted(passages, key=lambda name: (-score[name], max(judged.get(name, 0), 0)))
        run += [ScoredDoc(query, name, float(-place)) for place, name in enumerate(ranking)]
    values: dict[str, dict[str, float]] = {name: dict.fromkeys(grades, 0.0) for name in ORACLE}
    names = {str(measure): name for name, measure in ORACLE.items()}
    for value in ir_measures.iter_calc(ORACLE.values(), qrels, run):
        values[names[str(value.measure)]][value.query_id] = value.value
    return values


@pytest.mark.parametrize("ties", [True, False])
def test_equal_to_ir_measures(ties):
    queries, passages, qrels, vectors = random_world(3, ties=ties)
    for judged in qrels.values():  # the qrels of a larger corpus, of which some passages are missing
        for number, grades in enumerate(judged.values()):
            grades[f"lost{number}"] = number % 4
    task = corpus_task(queries, passages, qrels, shard_size=16)
    result = evaluate_task(task, ByText(vectors))
    cells = 0
    for table in result.per_query.values():
        pairs = list(zip(table.query_languages, table.passage_languages, strict=True))
        for query_language, passage_language in dict.fromkeys(pairs):
            pool = sorted(passages) if passage_language == "all" else [passage_language]
            rows = [row for row, pair in enumerate(pairs) if pair == (query_language, passage_language)]
            expected = oracle(task, vectors, query_language, pool)
            ids = [table.query_ids[row] for row in rows]
            assert set(ids) == set(expected["map"])
            for name, by_query in expected.items():
                values = np.asarray(table.values[name])[rows]
                assert values == pytest.approx([by_query[query] for query in ids], abs=1e-9), name
            cells += 1
    assert cells == 12
