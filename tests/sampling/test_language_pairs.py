"""Cross-lingual batches of one pair of languages: every pair alike, and never one that too few rows have."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from tests.sampling.conftest import make_plan

from mixlingua.errors import ConfigError
from mixlingua.sampling.strategies import Crosslingual, Hybrid

UNLIKELY = 1e-4
RARE = ("de", "en", "tr")
SINGLE = Crosslingual(batch_pairs="single")


def pairs_of(batch):
    return set(zip(batch.query_languages, batch.passage_languages, strict=True))


@pytest.fixture(scope="module")
def uneven(make_source):
    return make_source(900, having=(0.9, 0.7, 0.5, 0.3), rows_per_passage=3, name="uneven")


@settings(derandomize=True, max_examples=10)
@given(seed=st.integers(0, 2**64 - 1))
def test_all_rows_of_a_step_share_their_languages(make_source, uneven, seed):
    plan = make_plan([uneven, make_source(300, "de en hi")], Hybrid(alpha=0.3, batch_pairs="single"), seed=seed)
    seen = set()
    for batch in map(plan.batch, range(120)):
        ((query, passage),) = pairs_of(batch)
        assert (query == passage) == (batch.kind == "monolingual")
        seen.add((batch.source_index, query, passage))
    assert len(seen) > 12, "of 12 + 4 and 2 + 2"


def test_the_pairs_of_a_source_come_equally_often(make_source, uneven):
    sources = [uneven, make_source(600, "de en tr")]
    plan = make_plan(sources, SINGLE)
    drawn = Counter((batch.source_index, *pairs_of(batch).pop()) for batch in map(plan.batch, range(4000)))
    expected = {}
    for number, source in enumerate(sources):
        pairs = list(permutations(source.languages, 2))
        share = sum(bool(source.has(row)) for row in range(source.num_rows)) / len(pairs)
        expected |= {(number, *pair): share for pair in pairs}
    assert set(drawn) == set(expected)
    total = sum(expected.values())
    assert chisquare([drawn[one] for one in expected], [4000 * x / total for x in expected.values()]).pvalue > UNLIKELY


@pytest.fixture
def rare(make_source):
    """200 rows of de en, of which 15 have tr too, and 100 rows of tr alone."""
    source = make_source(300, "de en tr", name="rare")
    source.coverage = np.repeat([7, 3, 4], [15, 185, 100]).astype(np.uint64)
    return source


def test_a_pair_with_fewer_rows_than_a_batch_is_left_out_and_noted(rare):
    plan = make_plan([rare], SINGLE, languages=RARE, batch_size=20)
    assert plan.notes == ["rare: too few rows for cross-lingual batches of 20 in de tr (15 rows), en tr (15 rows)"]
    assert {pair for batch in map(plan.batch, range(40)) for pair in pairs_of(batch)} == {("de", "en"), ("en", "de")}


def test_a_language_too_rare_for_every_batch_is_said_to_be_left_out(rare):
    rare.coverage = np.repeat([7, 3], [15, 285]).astype(np.uint64)
    notes = make_plan([rare], Hybrid(batch_pairs="single"), languages=RARE, batch_size=20).notes
    assert "rare: tr (15 rows) is not trained on: too few for a batch of 20" in notes


def test_a_pair_whose_few_rows_use_up_epochs_is_noted(rare):
    (note,) = make_plan([rare], SINGLE, languages=RARE, batch_size=15).notes
    assert note.startswith("rare: few rows (15 of 300) have the rarest pair of languages")


def test_no_pair_with_rows_enough(rare):
    with pytest.raises(ConfigError, match=r"data\.batch_size: .* source rare: a crosslingual batch in de en has 200 "):
        make_plan([rare], SINGLE, languages=RARE, batch_size=201)
