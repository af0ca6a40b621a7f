"""A random part of a source: nested by size, decided by seed and source."""

from itertools import pairwise

import numpy as np
import pytest

from mixlingua.sampling.random import rows_of_part


@pytest.mark.parametrize("num_rows", [1, 2, 97, 1000])
def test_smaller_parts_lie_inside_larger_ones(num_rows: int) -> None:
    sizes = sorted({1, (num_rows + 1) // 2, num_rows})
    parts = [rows_of_part(num_rows, size, seed=3, source=0) for size in sizes]
    assert [len(np.unique(part)) for part in parts] == sizes
    assert all(set(small) <= set(large) for small, large in pairwise(parts))
    assert parts[-1].tolist() == list(range(num_rows))
    assert all((np.diff(part) > 0).all() for part in parts)


def test_seed_and_source_decide_the_rows() -> None:
    first = rows_of_part(1000, 100, seed=0, source=0)
    assert np.array_equal(first, rows_of_part(1000, 100, seed=0, source=0))
    for other in (rows_of_part(1000, 100, seed=1, source=0), rows_of_part(1000, 100, seed=0, source=1)):
        shared = len(set(first) & set(other))
        assert shared < 30, "10 are expected by chance"


def test_every_row_is_as_likely() -> None:
    """40 seeds of 100 of 1,000 rows: each row 4 times on average, standard deviation 1.9."""
    drawn = np.concatenate([rows_of_part(1000, 100, seed=seed, source=0) for seed in range(40)])
    counts = np.bincount(drawn, minlength=1000)
    assert counts.max() <= 13
    assert abs(counts.reshape(10, 100).sum(axis=1) - 400).max() < 100
