"""The vectorised choice of rows against the sentence that defines it, and widths against exact probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from mixlingua.sampling.random import KeyedPermutation
from mixlingua.sampling.rows import Requirement, conflict_rate, first_compatible, segment_width, take_rows


def one_by_one(keys: list[list[int]]) -> list[int]:
    kept: list[int] = []
    for row, row_keys in enumerate(keys):
        if not any(set(row_keys) & set(keys[earlier]) for earlier in kept):
            kept.append(row)
    return kept


@settings(derandomize=True, max_examples=200)
@given(st.integers(1, 3).flatmap(lambda k: st.lists(st.lists(st.integers(0, 30), min_size=k, max_size=k), min_size=1)))
def test_a_row_is_kept_unless_it_shares_a_key_with_a_kept_one(keys):
    assert first_compatible(np.array(keys)).tolist() == one_by_one(keys)


def test_a_row_that_was_passed_over_shuts_nothing_out():
    assert first_compatible(np.array([[1, 2], [2, 3], [3, 4]])).tolist() == [0, 2]


@settings(derandomize=True, max_examples=60)
@given(
    count=st.integers(1, 60),
    segment=st.tuples(st.integers(0, 300), st.integers(0, 300)).map(sorted),
    num_taken=st.integers(0, 8),
    keyed=st.booleans(),
)
def test_rows_are_taken_in_order_whatever_the_pieces_in_which_they_are_read(
    make_source, count, segment, num_taken, keyed
):
    source = make_source(300, having=(0.3, 0.4, 0.5, 0.6), rows_per_passage=4 if keyed else None)
    permutation = KeyedPermutation(300, 1)
    start, end = segment
    stretch = permutation(np.arange(start, end)).tolist()
    fitting = [row for row in stretch if len(source.has(row) & {"ar", "tr"}) == 2]
    taken = np.array(fitting[1 : 1 + min(num_taken, count)], dtype=np.int64)  # met again on the way
    if keyed and len(taken):
        taken = taken[first_compatible(source.keys[taken])]
    candidates = [*taken.tolist(), *(row for row in fitting if row not in taken)]
    expected = [candidates[i] for i in one_by_one(source.keys[candidates].tolist())] if keyed else candidates
    rows = take_rows(source, Requirement(("ar", "tr"), 2), count, permutation, segment, taken=taken)
    assert rows.tolist() == expected[:count]


def test_conflict_rate_counts_pairs_and_ignores_repeats_within_a_row():
    assert conflict_rate(np.array([[1, 1], [1, 2], [3, 3], [4, 4]])) == pytest.approx(1 / 6)


def test_width_is_the_batch_where_every_row_will_do():
    assert segment_width(48, num_rows=10**8, eligible=10**8, conflict_rate=0.0) == 48


@pytest.mark.parametrize("batch_size", [1, 16, 100, 1024])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_width_falls_short_about_once_in_a_billion_and_is_not_wasteful(batch_size, share):
    width = segment_width(batch_size, num_rows=10**8, eligible=round(share * 10**8), conflict_rate=0.0)
    assert binom.cdf(batch_size - 1, width, share) <= 1.1e-9
    assert binom.cdf(batch_size - 1, round(0.8 * width), share) > 1e-9 or width <= batch_size + 5


@pytest.mark.parametrize("rows_per_passage", [1.5, 4, 12])
def test_width_leaves_room_for_shared_keys(rows_per_passage):
    rng = np.random.default_rng(0)
    num_rows = 30_000
    keys = rng.integers(0, round(num_rows / rows_per_passage), (num_rows, 1))
    rate = conflict_rate(keys)
    width = segment_width(512, num_rows=num_rows, eligible=num_rows, conflict_rate=rate)
    found = [len(first_compatible(keys[rng.permutation(num_rows)[:width]])) for _ in range(300)]
    spread = np.std(found)
    assert 3 < (np.mean(found) - 512) / spread < 9, "about six deviations above the batch"


def test_width_never_exceeds_the_source():
    assert segment_width(90, num_rows=100, eligible=95, conflict_rate=0.001) == 100
