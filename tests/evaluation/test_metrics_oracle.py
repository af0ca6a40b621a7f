"""Our metrics equal ir-measures on random runs with ties, negative scores, missing passages and missing queries."""

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, P, Qrel, R, ScoredDoc, nDCG

from mixlingua.evaluation.metrics import QUALITY, relevant_ranks

ORACLE = {
    "map": AP,
    "recall_at_1": R @ 1,
    "recall_at_10": R @ 10,
    "recall_at_100": R @ 100,
    "precision_at_1": P @ 1,
    "precision_at_10": P @ 10,
    "ndcg_at_10": nDCG @ 10,
    "mrr_at_10": RR @ 10,
    "mrr_at_100": RR @ 100,
}


@st.composite
def runs(draw):
    """Scores (Q, P) from few values, so that many tie, and grades (Q, P), each query with a relevant passage."""
    num_queries, pool_size = draw(st.integers(1, 4)), draw(st.integers(1, 30))
    score = st.sampled_from([-0.75, -0.5, -1e-7, 0.0, 0.25, 0.5, 0.75, -np.inf])
    grade = st.sampled_from([0, 0, 0, 1, 1, 2, 3])
    scores = draw(
        st.lists(st.lists(score, min_size=pool_size, max_size=pool_size), min_size=num_queries, max_size=num_queries)
    )
    grades = draw(
        st.lists(st.lists(grade, min_size=pool_size, max_size=pool_size), min_size=num_queries, max_size=num_queries)
    )
    for row in grades:
        row[draw(st.integers(0, pool_size - 1))] = draw(st.integers(1, 3))
    return np.array(scores, np.float32), np.array(grades, float)


def ours(scores, grades):
    num_relevant = (grades > 0).sum(axis=1)
    columns = np.full((len(grades), num_relevant.max()), -1)
    padded = np.zeros(columns.shape)
    for row, row_grades in enumerate(grades):
        found = np.flatnonzero(row_grades)
        columns[row, : len(found)], padded[row, : len(found)] = found, row_grades[found]
    result = relevant_ranks(scores, columns, padded)
    return {name: metric(result) for name, metric in QUALITY.items()}


def oracle(scores, grades):
    """The same through ir-measures, which is given distinct scores in the pessimistic order."""
    qrels, run = [], []
    for row, (row_scores, row_grades) in enumerate(zip(scores, grades, strict=True)):
        qrels += [Qrel(f"q{row}", f"d{column}", int(grade)) for column, grade in enumerate(row_grades)]
        order = sorted(range(len(row_scores)), key=lambda column: (-row_scores[column], row_grades[column]))
        returned = [column for column in order if row_scores[column] > -np.inf]
        run += [ScoredDoc(f"q{row}", f"d{column}", float(-place)) for place, column in enumerate(returned)]
    values = {
        (value.query_id, str(value.measure)): value.value
        for value in ir_measures.iter_calc(ORACLE.values(), qrels, run)
    }
    queries = range(len(scores))
    return {name: [values.get((f"q{row}", str(measure)), 0.0) for row in queries] for name, measure in ORACLE.items()}


@settings(max_examples=150, deadline=None)
@given(runs())
def test_equal_to_ir_measures(run):
    scores, grades = run
    expected = oracle(scores, grades)
    for name, values in ours(scores, grades).items():
        assert values == pytest.approx(expected[name], abs=1e-9), name


def test_every_quality_metric_has_an_oracle():
    assert ORACLE.keys() == QUALITY.keys()
