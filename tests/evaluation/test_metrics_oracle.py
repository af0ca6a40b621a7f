"""Our metrics, and whole evaluations over corpora, equal ir-measures: ties, negative scores, grades, missing passages
and missing queries."""

import sys
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from ir_measures import AP, RR, P, Qrel, R, ScoredDoc, nDCG

from mixlingua.evaluation.metrics import QUALITY, relevant_ranks
from mixlingua.evaluation.suite import evaluate_task

sys.path.insert(0, str(Path(__file__).parent))
from worlds import ByText, corpus_task, random_world

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


def oracle_of_a_pool(task, vectors, query_language, pool):
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
def test_whole_evaluations_over_corpora_are_equal_to_ir_measures(ties):
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
            expected = oracle_of_a_pool(task, vectors, query_language, pool)
            ids = [table.query_ids[row] for row in rows]
            assert set(ids) == set(expected["map"])
            for name, by_query in expected.items():
                values = np.asarray(table.values[name])[rows]
                assert values == pytest.approx([by_query[query] for query in ids], abs=1e-9), name
            cells += 1
    assert cells == 12
