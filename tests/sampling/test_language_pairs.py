"""Which pairs of languages cross-lingual batches have: how often, in what order, and never but where rows have both."""

from collections import Counter, defaultdict
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from mixlingua.errors import ConfigError
from mixlingua.sampling.language_pairs import in_turn
from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Crosslingual, Hybrid

UNLIKELY = 1e-4
LANGUAGES = ("ar", "de", "en", "tr")
RARE = ("de", "en", "tr")
PROPERTY = settings(derandomize=True, max_examples=10)


def crosslingual(pairs, batch_pairs, pair_exponent=1.0):
    return Crosslingual(exponent=1.0, pairs=pairs, pair_exponent=pair_exponent, batch_pairs=batch_pairs)


def plan_of(sources, strategy, *, seed=0, batch_size=12, languages=LANGUAGES):
    return BatchPlan(sources, strategy=strategy, languages=languages, batch_size=batch_size, seed=seed)


def pairs_of(batch):
    return list(zip(batch.query_languages, batch.passage_languages, strict=True))


def rows_with(source, *languages):
    return sum(source.has(row) >= set(languages) for row in range(source.num_rows))


@pytest.fixture(scope="module")
def uneven(make_source):
    return make_source(900, having=(0.9, 0.7, 0.5, 0.3), rows_per_passage=3, name="uneven")


@PROPERTY
@given(seed=st.integers(0, 2**64 - 1), pairs=st.sampled_from(["uniform", "by_size", "balanced"]), alpha=st.just(0.3))
def test_all_rows_of_a_single_pair_step_share_their_languages(make_source, uneven, seed, pairs, alpha):
    strategy = Hybrid(alpha=alpha, exponent=1.0, pairs=pairs, pair_exponent=0.5, batch_pairs="single")
    plan = plan_of([uneven, make_source(300, "de en hi")], strategy, seed=seed)
    seen = set()
    for batch in map(plan.batch, range(120)):
        ((query, passage),) = set(pairs_of(batch))
        assert (query == passage) == (batch.kind == "monolingual")
        seen.add((batch.source, query, passage))
    assert len(seen) > 12, "of 12 + 4 and 2 + 2"


@pytest.mark.parametrize("exponent", [None, 0.5, 2.0])
def test_single_pairs_come_in_proportion_to_rows_to_the_exponent(make_source, uneven, exponent):
    """None: uniformly. The source comes first, in proportion to its size; then one of its pairs."""
    whole = make_source(600, "de en tr")
    strategy = crosslingual("uniform" if exponent is None else "by_size", "single", exponent or 0.0)
    plan = plan_of([uneven, whole], strategy)
    drawn = Counter((batch.source, *pairs_of(batch)[0]) for batch in map(plan.batch, range(4000)))
    expected = {}
    for number, source in enumerate([uneven, whole]):
        weights = {pair: rows_with(source, *pair) ** (exponent or 0.0) for pair in permutations(source.languages, 2)}
        share = sum(bool(source.has(row)) for row in range(source.num_rows)) / sum(weights.values())
        expected |= {(number, *pair): weight * share for pair, weight in weights.items()}
    assert set(drawn) == set(expected)
    total = sum(expected.values())
    assert chisquare([drawn[one] for one in expected], [4000 * x / total for x in expected.values()]).pvalue > UNLIKELY


@pytest.mark.parametrize("exponent", [0.0, 2.0])
def test_rows_of_mixed_batches_draw_pairs_in_proportion_to_rows_to_the_exponent(uneven, exponent):
    plan = plan_of([uneven], crosslingual("by_size", "mixed", exponent), batch_size=40)
    drawn = defaultdict(Counter)
    for batch in map(plan.batch, range(400)):
        for row, pair in zip(batch.rows.tolist(), pairs_of(batch), strict=True):
            drawn[frozenset(uneven.has(row))][pair] += 1
    assert len(drawn) == 11, "every set of two or more of four languages"
    for held, counts in drawn.items():
        weights = np.array([rows_with(uneven, *pair) ** exponent for pair in permutations(sorted(held), 2)])
        found = [counts[pair] for pair in permutations(sorted(held), 2)]
        assert sum(found) == counts.total()
        assert chisquare(found, counts.total() * weights / weights.sum()).pvalue > UNLIKELY


@PROPERTY
@given(seed=st.integers(0, 2**64 - 1), batch_pairs=st.sampled_from(["mixed", "single"]), whole=st.booleans())
def test_balanced_pairs_have_come_equally_often_up_to_one_at_any_time(make_source, uneven, seed, batch_pairs, whole):
    sources = [make_source(400) if whole else uneven, make_source(300, "de hi tr", having=(0.5, 1.0, 0.8), seed=2)]
    strategy = Hybrid(alpha=0.2, exponent=1.0, pairs="balanced", pair_exponent=1.0, batch_pairs=batch_pairs)
    plan = plan_of(sources, strategy, seed=seed, batch_size=10)
    counts = [dict.fromkeys(permutations(LANGUAGES, 2), 0), dict.fromkeys(permutations(["de", "tr"], 2), 0)]
    for batch in map(plan.batch, range(150)):
        if batch.kind == "crosslingual":
            own = counts[batch.source]
            for pair in pairs_of(batch) if batch_pairs == "mixed" else {pairs_of(batch)[0]}:
                own[pair] += 1
                assert max(own.values()) - min(own.values()) <= 1
    assert all(max(own.values()) > 1 for own in counts)


def test_rounds_go_on_over_the_edge_of_a_block(make_source):
    plan = plan_of([make_source(400)], crosslingual("balanced", "single"))
    pairs = [pairs_of(plan.batch(step))[0] for step in range(4092, 4104)]  # a round: 4,092 is 12 x 341
    assert len(set(pairs)) == 12


@settings(derandomize=True, max_examples=100)
@given(num_pairs=st.integers(1, 5000), start=st.integers(0, 10**6), count=st.integers(1, 300))
def test_turns_are_the_same_from_wherever_they_are_read(num_pairs, start, count):
    turns = in_turn(num_pairs, start, count, seed=3, source=1)
    assert (
        turns.tolist()
        == [in_turn(num_pairs, start + i, 1, seed=3, source=1)[0] for i in range(min(count, 8))] + (turns.tolist()[8:])
    )
    assert np.bincount(turns).max() <= count // num_pairs + 2


def test_every_round_is_all_pairs_in_an_order_of_its_own():
    rounds = in_turn(72, 0, 72 * 100, seed=3, source=1).reshape(100, 72)
    assert (np.sort(rounds, axis=1) == np.arange(72)).all()
    assert len({tuple(order) for order in rounds.tolist()}) == 100
    assert chisquare(np.bincount(rounds[:, 0], minlength=72)).pvalue > UNLIKELY
    assert (in_turn(72, 0, 72, seed=4, source=1) != rounds[0]).any()
    assert (in_turn(72, 0, 72, seed=3, source=2) != rounds[0]).any()


@pytest.mark.parametrize("batch_pairs", ["mixed", "single"])
def test_segments_hold_the_rows_of_rare_pairs(make_source, batch_pairs):
    """A batch that is completed from outside its segment may repeat a row of the epoch."""
    source = make_source(4000, having=(0.9, 0.7, 0.4, 0.2), rows_per_passage=3, seed=5)
    plan = plan_of([source], crosslingual("balanced", batch_pairs), batch_size=24)
    assert plan.notes == []
    seen = defaultdict(list)
    for step in range(400):
        seen[plan.epoch(step)] += plan.batch(step).rows.tolist()
    assert all(len(set(rows)) == len(rows) for rows in seen.values())
    assert len(seen) < 400 / 3, "several batches of an epoch"


@pytest.fixture
def rare(make_source):
    """200 rows of de en, of which 15 have tr too, and 100 rows of tr alone."""
    source = make_source(300, "de en tr", name="rare")
    source.coverage = np.repeat([7, 3, 4], [15, 185, 100]).astype(np.uint64)
    return source


@pytest.mark.parametrize("strategy", [crosslingual("balanced", "mixed"), crosslingual("by_size", "single")])
def test_a_pair_with_fewer_rows_than_a_batch_is_left_out_and_noted(rare, strategy):
    plan = plan_of([rare], strategy, languages=RARE, batch_size=20)
    assert plan.notes == ["rare: too few rows for cross-lingual batches of 20 in de tr (15 rows), en tr (15 rows)"]
    assert {pair for batch in map(plan.batch, range(40)) for pair in pairs_of(batch)} == {("de", "en"), ("en", "de")}


def test_a_language_too_rare_for_every_batch_is_said_to_be_left_out(rare):
    rare.coverage = np.repeat([7, 3], [15, 285]).astype(np.uint64)
    single = Hybrid(alpha=0.5, exponent=1.0, pairs="uniform", pair_exponent=1.0, batch_pairs="single")
    assert (
        "rare: tr (15 rows) is not trained on: too few for a batch of 20"
        in plan_of([rare], single, languages=RARE, batch_size=20).notes
    )


@pytest.mark.parametrize("strategy", [crosslingual("balanced", "mixed"), crosslingual("balanced", "single")])
def test_a_pair_whose_few_rows_use_up_epochs_is_noted(rare, strategy):
    (note,) = plan_of([rare], strategy, languages=RARE, batch_size=15).notes
    assert note.startswith(
        "rare: few rows (15 of 300) have the rarest pair of languages: a batch that needs them takes"
    )


@pytest.mark.parametrize("strategy", [crosslingual("balanced", "mixed"), crosslingual("uniform", "single")])
def test_no_pair_with_rows_enough(rare, strategy):
    with pytest.raises(
        ConfigError, match="larger than source rare: a crosslingual batch in de en has 200 rows to choose"
    ):
        plan_of([rare], strategy, languages=RARE, batch_size=201)
