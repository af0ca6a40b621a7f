"""The torchmetrics Metric: macro-averages, duplicates of padded samplers, ranks."""

import numpy as np
import pytest
import torch

from mixlingua.evaluation.metrics import PerQueryMetric, RelevantRanks, metrics_of


def first_at(*ranks):
    return RelevantRanks(np.array(ranks, float)[:, None], np.ones((len(ranks), 1)), pool_size=10)


def metric():
    return PerQueryMetric({name: metrics_of("monolingual")[name] for name in ("map", "recall_at_1")})


def test_compute_is_the_mean_over_groups_of_the_mean_over_queries():
    values = metric()
    values.update(first_at(1, 2), group=0, queries=[0, 1])
    values.update(first_at(4, 1), group=1, queries=[0, 1])
    values.update(first_at(4, 4), group=1, queries=[2, 3])
    assert values.compute().tolist() == pytest.approx([(3 / 4 + (1 + 3 / 4) / 4) / 2, (1 / 2 + 1 / 4) / 2])


def test_a_query_seen_twice_counts_once():
    values = metric()
    values.update(first_at(1, 2, 4), group=0, queries=[0, 1, 2])
    values.update(first_at(1), group=0, queries=[0])
    assert values.compute()[0].item() == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)


def test_the_same_query_in_two_groups_counts_in_both():
    values = metric()
    values.update(first_at(1), group=0, queries=[5])
    values.update(first_at(2), group=1, queries=[5])
    keys, table = values.table()
    assert keys.tolist() == [[0, 5], [1, 5]]
    assert table.tolist() == [[1.0, 1.0], [0.5, 0.0]]


def test_reset_forgets():
    values = metric()
    values.update(first_at(1), group=0, queries=[0])
    values.reset()
    assert [part.shape for part in values.table()] == [(0, 2), (0, 2)]
    values.update(first_at(2), group=0, queries=[0])
    assert values.compute().tolist() == [0.5, 0.0]


def test_values_keep_double_precision():
    values = metric()
    values.update(first_at(3), group=0, queries=[0])
    assert values.compute().dtype == torch.float64
    assert values.compute()[0].item() == 1 / 3


def test_what_is_not_defined_does_not_count():
    values = PerQueryMetric({"known": lambda known: known})
    values.update(np.array([0.5, np.nan, 1.0]), group=0, queries=[0, 1, 2])
    values.update(np.array([0.25]), group=1, queries=[0])
    values.update(np.array([np.nan]), group=2, queries=[0])
    assert values.compute().item() == (0.75 + 0.25) / 2


def test_ranks_hold_parts_of_any_size_and_agree(on_ranks):
    whole = metric()
    whole.update(first_at(1, 2, 3, 4, 5), group=0, queries=range(5))
    shares = iter([[0, 1, 2], [3, 4, 0], []])  # the second rank was padded with query 0; the third has none

    def on_one_rank():
        own, share = metric(), next(shares)
        if share:
            own.update(first_at(*(query + 1 for query in share)), group=0, queries=share)
        table = own.table()
        return own.compute().tolist(), [part.tolist() for part in table]

    expected = whole.compute().tolist(), [part.tolist() for part in whole.table()]
    assert on_ranks(3, on_one_rank) == [expected] * 3
