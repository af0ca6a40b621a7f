"""Evaluation of whole tasks: by hand, against a naive implementation, and on several ranks."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mixlingua import distributed
from mixlingua.errors import ModelError
from mixlingua.evaluation.bias import PREFERENCE
from mixlingua.evaluation.engines.in_memory import evaluate
from mixlingua.evaluation.metrics import BIAS, QUALITY
from mixlingua.evaluation.results import PARTIAL
from mixlingua.retrieval import search

sys.path.insert(0, str(Path(__file__).parent))
from worlds import ByText, in_memory, random_world, values


def test_average_precision_by_hand(two_languages, one_hot):
    expected = {
        # German queries, German pool: q1 first; q2 behind d0; q3 first.
        ("monolingual", "de", "de"): (1 + 1 / 2 + 1) / 3,
        # English q1 first; q2: e0 and e1 tie, so second.
        ("monolingual", "en", "en"): (1 + 1 / 2) / 2,
        # German q1 first; q2 behind e2; q3 has no English answer and is not asked.
        ("crosslingual", "de", "en"): (1 + 1 / 2) / 2,
        # English q1: d2 scores 0, d1 -0.2, d0 -0.5: last of three; q2: all three tie at 0: last.
        ("crosslingual", "en", "de"): (1 / 3 + 1 / 3) / 2,
        # German q1: d0, d2, e0, ... : ranks 1, 3. q2: d0, e2, then the relevant d1 and e1 tie: ranks 3, 4. q3: rank 1.
        ("multilingual", "de", "all"): ((1 + 2 / 3) / 2 + (1 / 3 + 2 / 4) / 2 + 1) / 3,
        # English q1: e0 first, d0 last of six. q2: e0 and e1 tie, so e1 second; d1 ties with d0, d2, e2 at 0: sixth.
        ("multilingual", "en", "all"): ((1 + 2 / 6) / 2 + (1 / 2 + 2 / 6) / 2) / 2,
    }
    assert values(evaluate(two_languages, one_hot), "map") == pytest.approx(expected)


def test_bias_by_hand(two_languages, one_hot):
    result = evaluate(two_languages, one_hot)
    assert values(result, "rank_distance") == {
        ("multilingual", "de", "all"): pytest.approx((2 + 1 + 0) / 3),
        ("multilingual", "en", "all"): pytest.approx((5 + 4) / 2),
    }
    # (last rank - R) / (6 - R): German (3-2)/4, (4-2)/4, (1-1)/5; English (6-2)/4 twice.
    assert values(result, "normalised_max_rank") == {
        ("multilingual", "de", "all"): pytest.approx(100 * (1 / 4 + 2 / 4 + 0) / 3),
        ("multilingual", "en", "all"): pytest.approx(100),
    }
    assert result.aggregate()["small/multilingual/rank_distance"] == pytest.approx((1 + 4.5) / 2)


def test_bias_of_the_own_answer_by_hand(two_languages, one_hot):
    result = evaluate(two_languages, one_hot)
    # German q1: ranks 1 and 3, the other at 2 without the first. q2: 3 (own, first of the tie) and 4; the other at 3.
    german = ((1 + 2 / 3) / 2 - 1 / 2 + (1 / 3 + 2 / 4) / 2 - 1 / 3) / 2
    # English q1: ranks 1 and 6, q2: 2 and 6; the other at 5 without the first, both times.
    english = ((1 + 2 / 6) / 2 - 1 / 5 + (1 / 2 + 2 / 6) / 2 - 1 / 5) / 2
    assert values(result, "map_drop_without_own") == {
        ("multilingual", "de", "all"): pytest.approx(german),
        ("multilingual", "en", "all"): pytest.approx(english),
    }
    numbers = {(r.query_language, r.metric): r.num_queries for r in result.rows if r.setting == "multilingual"}
    assert numbers["de", "map"] == 3
    assert numbers["de", "map_drop_without_own"] == numbers["de", "recall_other_at_10"] == 2, "q3 is German only"
    assert np.isnan(result.per_query["multilingual"].values["recall_other_at_10"][2])


def test_a_metric_without_any_value_has_no_row(two_languages, one_hot):
    alone = replace(two_languages, qrels={"de": {"q1": {"d0": 1}, "q2": {"d1": 1}, "q3": {"d2": 1}},
                                          "en": {"q1": {"e0": 1}, "q2": {"e1": 1}}})  # fmt: skip
    metrics = {row.metric for row in evaluate(alone, one_hot).rows}
    assert "rank_distance" in metrics
    assert metrics & PARTIAL == {"own_language_excess_at_10"}, "the others need answers in several languages"


def test_each_setting_has_its_metrics(two_languages, one_hot):
    metrics: dict[str, set[str]] = {}
    for row in evaluate(two_languages, one_hot).rows:
        metrics.setdefault(row.setting, set()).add(row.metric)
    assert metrics["monolingual"] == metrics["crosslingual"] == set(QUALITY)
    assert metrics["multilingual"] == {*QUALITY, *BIAS, *PREFERENCE, "share_of_de_at_10", "share_of_en_at_10"}


def test_macro_average_is_over_languages_not_queries(two_languages, one_hot):
    aggregate = evaluate(two_languages, one_hot).aggregate()
    assert aggregate["small/monolingual/map"] == pytest.approx((2.5 / 3 + 1.5 / 2) / 2)
    assert aggregate["small/crosslingual/map"] == pytest.approx((1.5 / 2 + (2 / 3) / 2) / 2)


def test_each_text_is_encoded_once(two_languages, one_hot):
    evaluate(two_languages, one_hot)
    assert [(len(texts), side) for texts, side in one_hot.calls] == [(5, "query"), (6, "passage")]


def test_per_query_values_carry_their_ids(two_languages, one_hot):
    table = evaluate(two_languages, one_hot).per_query["crosslingual"]
    assert list(zip(table.query_ids, table.query_languages, table.passage_languages, strict=True)) == [
        ("q1", "de", "en"), ("q2", "de", "en"), ("q1", "en", "de"), ("q2", "en", "de"),
    ]  # fmt: skip
    assert table.values["map"] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 3])


def naive(task, vectors):
    """Average precision, recall@10, nDCG@10, rank distance and the own language's share of the first ten by sorting
    every pool: one dictionary entry per cell."""
    cells = {}
    pools = [("monolingual", q, [q]) for q in task.languages]
    pools += [("crosslingual", q, [p]) for q in task.languages for p in task.languages if p != q]
    pools += [("multilingual", q, list(task.languages)) for q in task.languages]
    for setting, language, pool_languages in pools:
        pool = {key: text for other in pool_languages for key, text in task.passages[other].items()}
        per_query = []
        for query, text in task.queries[language].items():
            grades = {key: grade for key, grade in task.qrels[language][query].items() if key in pool and grade > 0}
            if not grades:
                continue
            score = {key: float(vectors[text] @ vectors[passage]) for key, passage in pool.items()}
            ranking = sorted(pool, key=lambda key: (-score[key], grades.get(key, 0)))
            ranks = [place for place, key in enumerate(ranking, start=1) if key in grades]
            gains = [grades.get(key, 0) for key in ranking[:10]]
            best = sorted(grades.values(), reverse=True)[:10]
            own = 0.0  # of n equal passages behind m others, each has 1/n of each of the n places
            for key in task.passages[language] if setting == "multilingual" else ():
                standing = [(-score[other], grades.get(other, 0)) for other in pool]
                mine = (-score[key], grades.get(key, 0))
                before, equals = sum(other < mine for other in standing), standing.count(mine)
                own += min(max(10 - before, 0), equals) / equals / 10
            discounted = [sum(g / np.log2(place + 2) for place, g in enumerate(part)) for part in (gains, best)]
            per_query.append(
                (
                    np.mean([found / rank for found, rank in enumerate(ranks, start=1)]),
                    sum(rank <= 10 for rank in ranks) / len(ranks),
                    discounted[0] / discounted[1],
                    ranks[-1] - ranks[0],
                    own,
                )
            )
        if per_query:
            name = "all" if setting == "multilingual" else pool_languages[0]
            cells[setting, language, name] = (len(per_query), *np.mean(per_query, axis=0))
    return cells


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_equal_to_a_naive_implementation(monkeypatch, seed, ties):
    monkeypatch.setattr(search, "MAX_BLOCK_SCORES", 850)  # blocks of four queries, the last one short
    *world, vectors = random_world(seed, ties=ties)
    task = in_memory(*world)
    result = evaluate(task, ByText(vectors))
    expected = naive(task, vectors)
    for place, metric in enumerate(["map", "recall_at_10", "ndcg_at_10", "rank_distance"], start=1):
        cells = {key: cell[place] for key, cell in expected.items() if metric != "rank_distance" or key[2] == "all"}
        assert values(result, metric) == pytest.approx(cells)
    for language in task.languages:
        cell, own = ("multilingual", language, "all"), expected["multilingual", language, "all"][5]
        share = task.num_passages[language] / sum(task.num_passages.values())
        assert values(result, f"share_of_{language}_at_10")[cell] == pytest.approx(own)
        assert values(result, "own_language_excess_at_10")[cell] == pytest.approx(own - share)
    counts = {
        (r.setting, r.query_language, r.passage_language): r.num_queries for r in result.rows if r.metric == "map"
    }
    assert counts == {key: cell[0] for key, cell in expected.items()}


@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_equal_on_all_ranks_and_to_one_process(monkeypatch, on_ranks, world_size):
    *world, vectors = random_world(0, ties=True)
    task = in_memory(*world)

    def run():
        return evaluate(task, ByText(vectors))

    monkeypatch.setattr(search, "MAX_BLOCK_SCORES", 850)
    whole = run()
    measured = []
    score = search.ExactScorer.__call__

    def counted(*given):
        measured.append(distributed.rank())
        return score(*given)

    monkeypatch.setattr(search.ExactScorer, "__call__", counted)
    results = on_ranks(world_size, run)
    num_blocks = sum(len(list(search.blocks(n, sum(task.num_passages.values())))) for n in task.num_queries.values())
    assert len(measured) == num_blocks > 3, "no block is ranked twice, and there are several"
    assert set(measured) == set(range(world_size)), "every rank has its share"
    for result in results:
        assert result.rows == whole.rows
        for setting, table in whole.per_query.items():
            assert result.per_query[setting].query_ids == table.query_ids


def test_a_constant_model_finds_nothing(two_languages):
    """All passages score the same: each relevant one is counted as the last of its pool."""
    result = evaluate(two_languages, lambda texts, side: torch.ones(len(texts), 3))
    assert {row.value for row in result.rows if row.metric == "recall_at_1"} == {0.0}
    two = (1 / 5 + 2 / 6) / 2  # the last two of six
    assert values(result, "map") == pytest.approx(
        {("monolingual", code, code): 1 / 3 for code in ("de", "en")}
        | {("crosslingual", "de", "en"): 1 / 3, ("crosslingual", "en", "de"): 1 / 3}
        | {("multilingual", "de", "all"): (two + two + 1 / 6) / 3, ("multilingual", "en", "all"): two}
    )


def test_ids_decide_nothing(two_languages, one_hot):
    """Passages with equal scores, under ids in the opposite order."""
    new = {key: f"{9 - int(key[1])}{key[0]}" for part in two_languages.passages.values() for key in part}
    renamed = replace(
        two_languages,
        passages={
            code: {new[key]: text for key, text in reversed(part.items())}
            for code, part in two_languages.passages.items()
        },
        qrels={
            code: {query: {new[key]: grade for key, grade in grades.items()} for query, grades in part.items()}
            for code, part in two_languages.qrels.items()
        },
    )
    assert evaluate(renamed, one_hot).aggregate() == pytest.approx(evaluate(two_languages, one_hot).aggregate())


def test_settings_can_be_chosen(two_languages, one_hot):
    result = evaluate(replace(two_languages, settings=("multilingual",)), one_hot)
    assert {row.setting for row in result.rows} == {"multilingual"}


def test_vectors_that_are_not_finite_are_refused(two_languages, one_hot):
    def broken(texts, side):
        vectors = one_hot(texts, side)
        vectors[0, 0] = float("nan")
        return vectors

    with pytest.raises(ModelError, match="1 of 5 query vectors"):
        evaluate(two_languages, broken)
    with pytest.raises(ModelError, match="5 query texts were encoded as 4"):
        evaluate(two_languages, lambda texts, side: one_hot(texts[1:], side))
