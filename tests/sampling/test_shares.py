"""How often each kind, source, language and pair is drawn."""

from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chisquare
from tests.sampling.conftest import make_plan

from mixlingua.sampling.strategies import Crosslingual, Hybrid, Mixed, Monolingual

UNLIKELY = 1e-4


plan_of = partial(make_plan, batch_size=4)


@settings(derandomize=True, max_examples=6)
@given(alpha=st.floats(0, 1), seed=st.integers(0, 2**64 - 1))
def test_alpha_is_the_share_of_monolingual_steps(make_source, alpha, seed):
    plan = plan_of([make_source(500)], Hybrid(alpha=alpha), seed=seed)
    steps = 1500
    monolingual = sum(plan.batch(step).kind == "monolingual" for step in range(steps))
    low, high = binom.interval(1 - UNLIKELY / 10, steps, alpha)
    assert low <= monolingual <= high


@pytest.mark.parametrize("alpha", [0.01, 0.3, 0.5, 0.9])
def test_alpha_is_the_share_to_a_thousandth(alpha):
    strategy = Hybrid(alpha=alpha)
    kinds = strategy.draw(np.linspace(0, 1, 10_001)[:-1], np.arange(10_000))
    assert np.mean(kinds == strategy.kinds.index("monolingual")) == pytest.approx(alpha, abs=1e-3)


@pytest.mark.parametrize(("alpha", "kind"), [(0.0, "crosslingual"), (1.0, "monolingual")])
def test_alpha_at_its_ends_is_one_kind(make_source, alpha, kind):
    plan = plan_of([make_source(500)], Hybrid(alpha=alpha))
    assert {plan.batch(step).kind for step in range(500)} == {kind}


def test_alpha_one_trains_on_a_single_language(make_source):
    plan = plan_of([make_source(500)], Hybrid(alpha=1.0), languages=["de"])
    assert plan.batch(0).query_languages == ["de"] * 4


def test_monolingual_steps_draw_the_languages_of_their_source_uniformly(make_source):
    sources = [make_source(500), make_source(400, "de hi tr", having=(1.0, 0.9, 0.4))]  # hi is not trained on
    plan = plan_of(sources, Monolingual())
    drawn = Counter((batch.source_index, batch.query_languages[0]) for batch in map(plan.batch, range(6000)))
    for source, languages in enumerate([{"ar", "de", "en", "tr"}, {"de", "tr"}]):
        counts = {language: count for (owner, language), count in drawn.items() if owner == source}
        assert set(counts) == languages
        assert chisquare(list(counts.values())).pvalue > UNLIKELY


def test_sources_are_drawn_by_the_rows_that_the_kind_of_batch_can_use(make_source):
    """2,000 rows of which a tenth has two languages, beside 200 that all have two."""
    sources = [make_source(2000, "de en", having=(1.0, 0.1)), make_source(200, "de en")]
    bilingual = sum(len(sources[0].has(row)) == 2 for row in range(2000))
    assert 150 < bilingual < 250
    plan = plan_of(sources, Hybrid(alpha=0.5))
    drawn = Counter((batch.kind, batch.source_index) for batch in map(plan.batch, range(4000)))
    for kind, rows in (("crosslingual", bilingual), ("monolingual", 2000)):
        first, second = drawn[kind, 0], drawn[kind, 1]
        low, high = binom.interval(1 - UNLIKELY, first + second, rows / (rows + 200))
        assert low <= first <= high


def test_crosslingual_rows_draw_ordered_pairs_uniformly_from_what_they_have(make_source):
    source = make_source(600, having=(0.9, 0.7, 0.5, 0.3))
    plan = plan_of([source], Crosslingual(), batch_size=40)
    drawn: dict[frozenset[str], Counter] = {}
    for batch in map(plan.batch, range(500)):
        for row, *pair in zip(batch.rows.tolist(), batch.query_languages, batch.passage_languages, strict=True):
            drawn.setdefault(frozenset(source.has(row)), Counter())[tuple(pair)] += 1
    assert len(drawn) == 11, "every set of two or more of four languages"
    for held, counts in drawn.items():
        assert len(counts) == len(held) * (len(held) - 1)
        assert chisquare(list(counts.values())).pvalue > UNLIKELY


def test_mixed_rows_draw_languages_uniformly_from_what_they_have(make_source):
    source = make_source(600, "de en tr", having=(0.9, 0.7, 0.5))
    plan = plan_of([source], Mixed(), batch_size=40)
    drawn: dict[frozenset[str], Counter] = {}
    for batch in map(plan.batch, range(300)):
        for row, language in zip(batch.rows.tolist(), batch.query_languages, strict=True):
            drawn.setdefault(frozenset(source.has(row)), Counter())[language] += 1
    assert len(drawn) == 7
    for held, counts in drawn.items():
        assert set(counts) == held
        if len(held) > 1:
            assert chisquare(list(counts.values())).pvalue > UNLIKELY


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_sources_are_drawn_in_proportion_to_size_to_the_exponent(make_source, exponent):
    sources = [
        make_source(100),
        make_source(400),
        make_source(3200, "de en hi", having=(0.5, 0.0, 1.0), seed=9),  # about 1,600 rows with a training language
    ]
    usable = np.count_nonzero(sources[2].coverage & 1)
    plan = plan_of(sources, Monolingual(exponent=exponent))
    drawn = Counter(batch.source_index for batch in map(plan.batch, range(4000)))
    expected = np.array([100.0, 400.0, usable]) ** exponent
    assert chisquare([drawn[0], drawn[1], drawn[2]], 4000 * expected / expected.sum()).pvalue > UNLIKELY


def test_a_source_of_one_language_serves_monolingual_steps_alone(make_source):
    sources = [make_source(300), make_source(300, "en")]
    plan = plan_of(sources, Hybrid())
    drawn = Counter((batch.kind, batch.source_index) for batch in map(plan.batch, range(2000)))
    assert ("crosslingual", 1) not in drawn
    assert chisquare([drawn["monolingual", 0], drawn["monolingual", 1]]).pvalue > UNLIKELY


def test_every_row_is_equally_likely(make_source):
    plan = plan_of([make_source(50)], Crosslingual(), batch_size=12)
    counts = np.bincount(np.concatenate([plan.batch(step).rows for step in range(2000)]), minlength=50)
    assert chisquare(counts).pvalue > UNLIKELY
