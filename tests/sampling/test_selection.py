"""The vectorised choice of rows against the sentence that defines it, and widths against exact probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from mixlingua.sampling.random import KeyedPermutation
from mixlingua.sampling.rows import Demand, Requirement, first_compatible, segment_width, shared_key_rate, take_rows


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
    (found,) = take_rows(source, [Demand(Requirement(("ar", "tr"), 2), count)], permutation, segment, taken=[taken])
    assert found.tolist() == expected[:count]


PAIRS = [Requirement(languages, 2) for languages in (("ar", "tr"), ("de", "tr"), ("ar", "de"))]


@settings(derandomize=True, max_examples=60)
@given(
    counts=st.lists(st.integers(0, 12), min_size=3, max_size=3),
    segment=st.tuples(st.integers(0, 2000), st.integers(0, 2000)).map(sorted),
    keyed=st.booleans(),
)
def test_several_demands_take_what_there_is_and_share_no_key(make_source, counts, segment, keyed):
    source = make_source(2000, "ar de tr", having=(0.1, 0.5, 0.2), rows_per_passage=4 if keyed else None)
    permutation = KeyedPermutation(2000, 1)
    demands = [Demand(requirement, count) for requirement, count in zip(PAIRS, counts, strict=True)]
    found = take_rows(source, demands, permutation, segment, taken=[np.empty(0, dtype=np.int64)] * 3)
    taken = np.concatenate(found).tolist()
    assert len(set(taken)) == len(taken)
    if keyed:
        assert len(first_compatible(source.keys[taken])) == len(taken)
    keys_taken = {key for row in taken for key in source.keys[row].tolist()} if keyed else set()
    for (requirement, count), rows in zip(demands, found, strict=True):
        stretch = permutation(np.arange(*segment)).tolist()
        fitting = [row for row in stretch if source.has(row) >= set(requirement.languages)]
        assert set(rows.tolist()) <= set(fitting) and len(rows) <= count
        if len(rows) < count:  # then every other row is taken, or shares a passage with one that is
            others = set(fitting) - set(taken)
            assert all(keyed and keys_taken & set(source.keys[row].tolist()) for row in others)


def test_of_a_piece_the_first_demand_takes_its_rows_first(make_source):
    source = make_source(8, "ar de tr")
    source.coverage = np.array([0b110, 0b111, 0b110, 0b111, 0b011, 0b110, 0b110, 0b110], dtype=np.uint64)
    permutation = KeyedPermutation(8, 1)
    order = permutation(np.arange(8)).tolist()
    rare, common = take_rows(
        source, [Demand(PAIRS[0], 2), Demand(PAIRS[1], 3)], permutation, (0, 8), taken=[np.empty(0, dtype=np.int64)] * 2
    )
    assert rare.tolist() == [row for row in order if row in (1, 3)]  # ar tr
    assert common.tolist() == [row for row in order if row in (0, 2, 5, 6, 7)][:3]  # de tr, of which rows 1 and 3 are


def test_shared_key_rate_counts_pairs_and_ignores_repeats_within_a_row():
    assert shared_key_rate(np.array([[1, 1], [1, 2], [3, 3], [4, 4]])) == pytest.approx(1 / 6)


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
    rate = shared_key_rate(keys)
    width = segment_width(512, num_rows=num_rows, eligible=num_rows, conflict_rate=rate)
    found = [len(first_compatible(keys[rng.permutation(num_rows)[:width]])) for _ in range(300)]
    spread = np.std(found)
    assert 3 < (np.mean(found) - 512) / spread < 9, "about six deviations above the batch"


def test_width_never_exceeds_the_source():
    assert segment_width(90, num_rows=100, eligible=95, conflict_rate=0.001) == 100
