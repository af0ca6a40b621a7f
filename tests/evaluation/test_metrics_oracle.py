"""Our metrics equal ir-measures on runs with ties, negative scores, grades, missing passages and missing queries."""

import ir_measures
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
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
    """Scores (Q, P) from few values, so that many tie, and grades (Q, P), each query with a relevant passage.

    -inf is a passage that was not returned; now and then a query returns nothing.
    """
    num_queries, pool_size = draw(st.integers(1, 4)), draw(st.integers(1, 150))
    score = st.sampled_from([-0.75, -0.5, -1e-7, 0.0, 0.25, 0.5, 0.75, -np.inf])
    scores = draw(arrays(np.float32, (num_queries, pool_size), elements=score, fill=st.nothing()))
    scores[draw(arrays(bool, num_queries, elements=st.sampled_from([False, False, False, True])))] = -np.inf
    grades = draw(arrays(np.float64, (num_queries, pool_size), elements=st.sampled_from([0, 0, 0, 1, 1, 2, 3])))
    for row in grades:
        row[draw(st.integers(0, pool_size - 1))] = draw(st.integers(1, 3))
    return scores, grades


def ours(scores, grades):
    num_relevant = (grades > 0).sum(axis=1)
    columns = np.full((len(grades), num_relevant.max()), -1)
    padded = np.zeros(columns.shape)
    for row, row_grades in enumerate(grades):
        found = np.flatnonzero(row_grades)
        columns[row, : len(found)], padded[row, : len(found)] = found, row_grades[found]
    result = relevant_ranks(scores, columns, padded)
    return {name: metric(result) for name, metric in QUALITY.items()}


def as_ir_measures(scores, grades):
    """Qrels and run, with distinct scores in the pessimistic order."""
    qrels, run = [], []
    for row, (row_scores, row_grades) in enumerate(zip(scores, grades, strict=True)):
        qrels += [Qrel(f"q{row}", f"d{column}", int(grade)) for column, grade in enumerate(row_grades)]
        order = sorted(range(len(row_scores)), key=lambda column: (-row_scores[column], row_grades[column]))
        returned = [column for column in order if row_scores[column] > -np.inf]
        run += [ScoredDoc(f"q{row}", f"d{column}", float(-place)) for place, column in enumerate(returned)]
    return qrels, run


def oracle(scores, grades):
    """Each metric's values by query; one that is missing from the run has 0."""
    values = {
        (value.query_id, str(value.measure)): value.value
        for value in ir_measures.iter_calc(ORACLE.values(), *as_ir_measures(scores, grades))
    }
    queries = range(len(scores))
    return {name: [values.get((f"q{row}", str(measure)), 0.0) for row in queries] for name, measure in ORACLE.items()}


def example_run(*scores_and_grades):
    """One query by (score, grade) for each passage."""
    scores, grades = zip(*scores_and_grades, strict=True)
    return np.array([scores], np.float32), np.array([grades], float)


@settings(max_examples=150)
@given(runs())
@example(example_run((0.5, 1), (0.5, 0), (0.5, 0)))  # the answer ties with others
@example(example_run((0.5, 1), (0.5, 3), (0.5, 2)))  # graded answers tie
@example(example_run(*[(0.5, 0)] * 9, *[(0.25, 1)] * 3))  # a tie of answers across the tenth place
@example(example_run(*[(0.5, 0)] * 9, (0.25, 1), (0.25, 0), (0.25, 2)))  # a tie of all kinds across the tenth place
@example(example_run(*[(-0.5, 0)] * 99, (-0.75, 1), (-0.75, 1)))  # across the hundredth, all negative
@example(example_run((-np.inf, 1), (-np.inf, 2)))  # nothing is returned: no line in the run
@example(example_run((-np.inf, 3), (-0.5, 1), (0.0, 0)))  # the best answer is not returned
@example(example_run(*[(0.5, 1)] * 12))  # more answers than places
@example(example_run(*[(place / 20, 3 - place % 4) for place in range(20)]))  # no tie at all
def test_equal_to_ir_measures(run):
    scores, grades = run
    expected = oracle(scores, grades)
    for name, values in ours(scores, grades).items():
        assert values == pytest.approx(expected[name], abs=1e-9), name


@settings(max_examples=50)
@given(runs())
@example((np.array([[0.5, 0.0], [-np.inf, -np.inf]], np.float32), np.array([[1.0, 0.0], [0.0, 2.0]])))
def test_means_run_over_the_queries_of_the_qrels(run):
    """A query that is missing from the run counts, with 0, in ours and in ir-measures' own mean."""
    scores, grades = run
    qrels, lines = as_ir_measures(scores, grades)
    expected = ir_measures.calc_aggregate(ORACLE.values(), qrels, lines)
    for name, values in ours(scores, grades).items():
        assert values.mean() == pytest.approx(expected[ORACLE[name]], abs=1e-9), name


def test_every_quality_metric_has_an_oracle():
    assert ORACLE.keys() == QUALITY.keys()
