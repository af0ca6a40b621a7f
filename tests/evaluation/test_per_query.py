"""Values per query as a torchmetrics Metric: by group and query, each once, from all ranks."""

import numpy as np

from mixlingua.evaluation.metrics import PerQueryMetric, RelevantRanks, metrics_of


def first_at(*ranks):
    return RelevantRanks(np.array(ranks, float)[:, None], np.ones((len(ranks), 1)), pool_size=10)


def metric():
    return PerQueryMetric({name: metrics_of("monolingual")[name] for name in ("map", "recall_at_1")})


def collected(values):
    keys, table = values.compute()
    return keys.tolist(), table.tolist()


def test_a_query_seen_twice_counts_once_in_each_of_its_groups():
    values = metric()
    values.update(first_at(3, 2), group=1, queries=[5, 4])
    values.update(first_at(1), group=0, queries=[5])
    values.update(first_at(3), group=1, queries=[5])
    keys, table = collected(values)
    assert keys == [[0, 5], [1, 4], [1, 5]]
    assert table == [[1.0, 1.0], [1 / 2, 0.0], [1 / 3, 0.0]], "in double precision"


def test_reset_forgets():
    values = metric()
    values.update(first_at(1), group=0, queries=[0])
    values.reset()
    assert [part.shape for part in values.compute()] == [(0, 2), (0, 2)]


def test_what_is_not_defined_stays_so():
    values = PerQueryMetric({"known": lambda known: known})
    values.update(np.array([0.5, np.nan]), group=0, queries=[0, 1])
    assert np.isnan(values.compute()[1]).tolist() == [[False], [True]]


def test_ranks_hold_parts_of_any_size_and_agree(on_ranks):
    whole = metric()
    whole.update(first_at(1, 2, 3, 4, 5), group=0, queries=range(5))
    shares = iter([[0, 1, 2], [3, 4, 0], []])  # the second rank was padded with query 0; the third has none

    def on_one_rank():
        values, share = metric(), next(shares)
        if share:
            values.update(first_at(*(query + 1 for query in share)), group=0, queries=share)
        return collected(values)

    assert on_ranks(3, on_one_rank) == [collected(whole)] * 3
    assert [part.shape for part in on_ranks(2, lambda: metric().compute())[0]] == [(0, 2), (0, 2)]
