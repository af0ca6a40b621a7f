"""The keyed permutation is a bijection that looks random; a subset of a source lies inside every larger one."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from mixlingua.sampling.random import KeyedPermutation, random_subset

SIZES = [1, 2, 3, 4, 5, 8, 9, 10, 15, 16, 17, 99, 100, 101, 1023, 1024, 1025, 65535, 65536, 65537]


def whole(size: int, key: int) -> np.ndarray:
    return KeyedPermutation(size, key)(np.arange(size))


@pytest.mark.parametrize("size", SIZES)
def test_it_is_a_bijection_at_the_sizes_where_bases_and_powers_of_two_change(size):
    assert np.array_equal(np.sort(whole(size, 7)), np.arange(size))


@settings(derandomize=True, max_examples=100)
@given(size=st.integers(1, 5000), key=st.integers(0, 2**64 - 1))
def test_it_is_a_bijection(size, key):
    assert np.array_equal(np.sort(whole(size, key)), np.arange(size))


@pytest.mark.parametrize("size", [10**8, 10**12, 2**61 + 3])
def test_large_sizes_stay_inside_and_apart(size):
    positions = np.unique(np.random.default_rng(0).integers(0, size, 20_000))
    rows = KeyedPermutation(size, 3)(positions)
    assert rows.min() >= 0 and rows.max() < size
    assert len(np.unique(rows)) == len(positions)


def test_positions_map_alike_in_any_company():
    permutation = KeyedPermutation(1000, 5)
    together = permutation(np.arange(1000))
    assert [int(permutation(np.array([position]))[0]) for position in (0, 17, 999)] == together[[0, 17, 999]].tolist()


@pytest.mark.parametrize("size", [7, 12])
def test_every_ordered_pair_of_images_is_equally_likely_over_keys(size):
    pairs = np.zeros((size, size))
    for key in range(4000):
        first, last = KeyedPermutation(size, key)(np.array([0, size - 1]))
        pairs[first, last] += 1
    assert np.trace(pairs) == 0
    assert chisquare(pairs[~np.eye(size, dtype=bool)]).pvalue > 1e-3


def test_neighbours_are_scattered():
    rows = whole(100_000, 11).astype(float)
    assert abs(np.corrcoef(rows[1:], rows[:-1])[0, 1]) < 0.02
    assert abs(np.corrcoef(rows, np.arange(100_000))[0, 1]) < 0.02


def test_keys_give_unrelated_permutations():
    assert np.count_nonzero(whole(1000, 1) == whole(1000, 2)) < 10


def test_a_position_outside_is_refused():
    with pytest.raises(ValueError, match="positions must lie in"):
        KeyedPermutation(10, 0)(np.array([10]))
    with pytest.raises(ValueError, match="got 0"):
        KeyedPermutation(0, 0)


@pytest.mark.parametrize("num_rows", [1, 2, 97, 1000])
def test_smaller_subsets_lie_inside_larger_ones(num_rows):
    sizes = sorted({1, (num_rows + 1) // 2, num_rows})
    subsets = [random_subset(num_rows, size, seed=3, source_index=0) for size in sizes]
    assert [len(np.unique(subset)) for subset in subsets] == sizes
    assert all(set(small) <= set(large) for small, large in pairwise(subsets))
    assert subsets[-1].tolist() == list(range(num_rows))
    assert all((np.diff(subset) > 0).all() for subset in subsets)


def test_seed_and_source_decide_the_rows():
    first = random_subset(1000, 100, seed=0, source_index=0)
    assert np.array_equal(first, random_subset(1000, 100, seed=0, source_index=0))
    for other in (random_subset(1000, 100, seed=1, source_index=0), random_subset(1000, 100, seed=0, source_index=1)):
        shared = len(set(first) & set(other))
        assert shared < 30, "10 are expected by chance"


def test_every_row_is_as_likely_in_a_subset():
    """40 seeds of 100 of 1,000 rows: each row 4 times on average, standard deviation 1.9."""
    drawn = np.concatenate([random_subset(1000, 100, seed=seed, source_index=0) for seed in range(40)])
    counts = np.bincount(drawn, minlength=1000)
    assert counts.max() <= 13
    assert abs(counts.reshape(10, 100).sum(axis=1) - 400).max() < 100
