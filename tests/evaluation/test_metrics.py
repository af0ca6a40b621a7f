"""Each metric on rankings worked out by hand."""

import math

import numpy as np
import pytest

from mixlingua.evaluation import metrics
from mixlingua.evaluation.metrics import RelevantRanks, metrics_of, relevant_ranks


def ranks_of(scores, relevant):
    """Ranks of one query's relevant passages: scores as a list, relevant as {column: grade}."""
    columns = np.array([list(relevant)])
    return relevant_ranks(np.array([scores], np.float32), columns, np.array([list(relevant.values())], float))


def given(*ranks, pool_size=100, grades=None):
    return RelevantRanks(np.array([ranks], float), np.array([grades or [1.0] * len(ranks)], float), pool_size)


@pytest.mark.parametrize(
    ("scores", "relevant", "expected"),
    [
        ([0.1, 0.9, 0.5], {1: 1}, [1]),
        ([0.1, 0.9, 0.5], {0: 1, 2: 1}, [2, 3]),
        ([-0.1, -0.9, -0.5], {1: 1}, [3]),  # negative cosines are scores like any other
        ([0.5, 0.5, 0.5], {1: 1}, [3]),  # a tie counts against the system
        ([0.5, 0.5, 0.5], {0: 1, 2: 1}, [2, 3]),  # irrelevant first, then the relevant ones in turn
        ([0.9, 0.5, 0.5, 0.5, 0.1], {0: 1, 2: 1, 4: 1}, [1, 4, 5]),
        ([0.0, -0.0], {0: 1}, [2]),
        ([0.3, math.nan, 0.2], {0: 1}, [2]),  # NaN never helps
        ([0.3, math.nan, 0.2], {1: 1}, [math.inf]),
        ([0.3, -math.inf, -math.inf], {0: 1, 1: 1}, [1, math.inf]),  # not returned
    ],
)
def test_ranks(scores, relevant, expected):
    assert ranks_of(scores, relevant).ranks.tolist() == [expected]


def test_the_less_relevant_of_tied_passages_comes_first():
    result = ranks_of([0.5, 0.5, 0.9], {0: 3, 1: 1})
    assert result.ranks.tolist() == [[2, 3]]
    assert result.grades.tolist() == [[1, 3]]


def test_padding_does_not_count():
    scores = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]], np.float32)
    result = relevant_ranks(scores, np.array([[2, 0], [1, -1]]), np.array([[1.0, 1.0], [1.0, 0.0]]))
    assert result.ranks.tolist() == [[1, 3], [2, math.inf]]
    assert result.num_relevant.tolist() == [2, 1]
    assert metrics.average_precision(result).tolist() == [(1 / 1 + 2 / 3) / 2, 1 / 2]
    assert metrics.rank_distance(result).tolist() == [2, 0]


def test_success_needs_one_relevant_passage_among_the_first():
    result = [given(20, 21), given(21, math.inf), given(math.inf, math.inf)]
    assert [metrics.success_at(own, 20).item() for own in result] == [1, 0, 0]
    assert [metrics.SUCCESS["success_at_100"](own).item() for own in result] == [1, 1, 0]
    assert [metrics.SUCCESS["success_at_20"](own).item() for own in result] == [1, 0, 0]


def test_average_precision_divides_by_all_relevant_passages():
    assert metrics.average_precision(given(1, 4)) == pytest.approx([(1 + 2 / 4) / 2])
    assert metrics.average_precision(given(2, math.inf)) == pytest.approx([0.25])


def test_recall_and_precision():
    result = given(1, 10, 11, 50)
    assert [metrics.recall_at(result, k).item() for k in (1, 10, 100)] == [0.25, 0.5, 1.0]
    assert [metrics.precision_at(result, k).item() for k in (1, 10)] == [1.0, 0.2]
    assert metrics.precision_at(given(1, pool_size=3), 10).item() == 0.1


def test_reciprocal_rank():
    assert [metrics.reciprocal_rank_at(given(rank), 10).item() for rank in (1, 4, 10, 11, math.inf)] == [
        1,
        1 / 4,
        0.1,
        0,
        0,
    ]


def test_ndcg_is_one_for_the_best_order_and_uses_grades():
    assert metrics.ndcg_at(given(1, 2, grades=[3.0, 1.0]), 10) == pytest.approx([1])
    best = 3 / math.log2(2) + 1 / math.log2(3)
    assert metrics.ndcg_at(given(1, 2, grades=[1.0, 3.0]), 10) == pytest.approx([(1 + 3 / math.log2(3)) / best])
    eleven_first = given(*range(1, 12))
    assert metrics.ndcg_at(eleven_first, 10) == pytest.approx([1]), "the best order is cut at k too"
    assert metrics.ndcg_at(given(11), 10).item() == 0


def test_rank_distance_and_max_rank():
    result = given(3, 7, 42, pool_size=100)
    assert metrics.rank_distance(result).item() == 39
    assert metrics.normalised_max_rank(result).item() == pytest.approx(100 * (42 - 3) / (100 - 3))
    assert metrics.normalised_max_rank(given(1, 2, 3)).item() == 0
    assert metrics.normalised_max_rank(given(1, 100)).item() == 100
    assert metrics.normalised_max_rank(given(1, 2, pool_size=2)).item() == 0, "a pool of relevant passages only"
    assert metrics.rank_distance(given(3, math.inf)).item() == 97


def test_complete():
    assert [metrics.complete_at(given(1, last), 10).item() for last in (10, 11, math.inf)] == [1, 0, 0]
    assert metrics.complete_at(given(1, math.inf, pool_size=5), 10).item() == 0
    assert metrics.complete_at(given(*range(1, 12)), 10).item() == 0, "eleven answers never fit into ten places"


def test_a_query_without_results_scores_zero():
    nothing = given(math.inf, math.inf)
    for name, metric in metrics_of("crosslingual").items():
        assert metric(nothing).item() == 0, name


def test_bias_is_measured_in_mixed_pools_only():
    assert set(metrics_of("multilingual")) - set(metrics_of("monolingual")) == set(metrics.BIAS)
    assert metrics_of("monolingual").keys() == metrics_of("crosslingual").keys() == metrics.QUALITY.keys()
