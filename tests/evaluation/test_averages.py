"""From rows to figures: macro and micro averages, and the spread over query languages."""

import numpy as np
import pytest

from mixlingua.evaluation.results import ResultRow, aggregate


def rows(*cells, metric="recall_at_10"):
    """cells: (query language, passage language, value, number of queries)."""
    found = []
    for query, passage, value, number in cells:
        setting = "multilingual" if passage == "all" else "monolingual" if query == passage else "crosslingual"
        found.append(ResultRow("t", setting, query, passage, metric, value, number))
    return found


def test_macro_counts_languages_and_micro_counts_queries():
    cells = rows(("de", "de", 0.2, 1), ("en", "en", 0.6, 3), metric="map")
    assert aggregate(cells) == {"t/monolingual/map": pytest.approx(0.4)}
    assert aggregate(cells, "micro") == {"t/monolingual/map": pytest.approx((0.2 + 3 * 0.6) / 4)}


def test_spread_over_query_languages():
    found = aggregate(rows(("de", "all", 0.2, 5), ("en", "all", 0.8, 5), ("zh", "all", 0.5, 5)))
    assert found == {
        "t/multilingual/recall_at_10": pytest.approx(0.5),
        "t/multilingual/recall_at_10_gap": pytest.approx(0.6),
        "t/multilingual/recall_at_10_std": pytest.approx(np.sqrt((0.3**2 + 0.3**2) / 3)),
    }


def test_spread_of_pairs_is_over_the_means_of_query_languages():
    cells = rows(("de", "en", 0.2, 1), ("de", "zh", 0.4, 3), ("en", "de", 0.9, 2), ("zh", "de", 0.5, 2))
    assert aggregate(cells)["t/crosslingual/recall_at_10_gap"] == pytest.approx(0.9 - 0.3)
    assert aggregate(cells, "micro")["t/crosslingual/recall_at_10_gap"] == pytest.approx(0.9 - (0.2 + 3 * 0.4) / 4)


def test_one_query_language_has_no_spread_and_metrics_of_another_kind_have_none():
    assert set(aggregate(rows(("de", "de", 0.2, 5)))) == {"t/monolingual/recall_at_10"}
    two = rows(("de", "en", 0.2, 5), ("zh", "en", 0.5, 5), metric="success_at_100")
    assert aggregate(two)["t/crosslingual/success_at_100_gap"] == pytest.approx(0.3)
    two = rows(("de", "de", 0.2, 5), ("en", "en", 0.2, 5), metric="precision_at_10")
    assert set(aggregate(two)) == {"t/monolingual/precision_at_10"}
