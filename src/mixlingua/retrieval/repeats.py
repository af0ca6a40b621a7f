"""Which rows of a long list have been there before, in memory that does not grow with the list."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MAX_ROWS = 2**20  # rows that are sorted together, in some 64 MiB

Digests = NDArray[np.uint64]


def repeats(read: Callable[[], Iterator[Digests]], num_rows: int) -> NDArray[np.int64]:
    """(K, 2): the position of each row that equals an earlier one, ascending, and that of the first such row.

    read: gives the `num_rows` rows, of two evenly distributed numbers each, from the beginning and in parts. It is
    called once for every `MAX_ROWS` rows: equal rows have equal first numbers, so each reading takes an interval of
    these. Memory grows with the number of repeats only.
    """
    intervals = -(-num_rows // MAX_ROWS)
    bounds = [index * 2**64 // max(intervals, 1) for index in range(intervals + 1)]
    found = [_repeats_in(read(), low, high - 1) for low, high in pairwise(bounds)]
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *found])
    return pairs[np.argsort(pairs[:, 0])]


def _repeats_in(parts: Iterator[Digests], low: int, high: int) -> NDArray[np.int64]:
    """The repeats among the rows whose first number lies in [low, high]."""
    start, chosen, places = 0, [], []
    for part in parts:
        inside = np.flatnonzero((part[:, 0] >= np.uint64(low)) & (part[:, 0] <= np.uint64(high)))
        chosen.append(part[inside])
        places.append(start + inside)
        start += len(part)
    rows, positions = np.concatenate(chosen), np.concatenate(places)
    order = np.lexsort((rows[:, 1], rows[:, 0]))  # stable: equal rows stay in the order of the list
    rows, positions = rows[order], positions[order]
    is_first = np.append(True, (rows[1:] != rows[:-1]).any(axis=1))[: len(rows)]
    first = np.maximum.accumulate(np.where(is_first, np.arange(len(rows)), 0))
    return np.stack([positions[~is_first], positions[first[~is_first]]], axis=1)
