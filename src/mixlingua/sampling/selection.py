"""Which rows of a stretch of a source's stream a batch takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixlingua.sampling.permutation import KeyedPermutation
from mixlingua.sampling.source import PairSource, held_languages

_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Requirement:
    """What every row of a batch must have: at least `minimum` of the languages."""

    languages: tuple[str, ...]
    minimum: int


def take_rows(
    source: PairSource,
    requirement: Requirement,
    permutation: KeyedPermutation,
    segment: tuple[int, int],
    *,
    count: int,
    taken: NDArray[np.int64],
    share_no_key: bool = True,
) -> NDArray[np.int64]:
    """Extend `taken` by the first rows of a segment that meet the requirement and share no key, up to `count`.

    segment: positions [start, end) of the permutation, read in order and in pieces. taken: rows that come first and
    stay. Returns (M,) int64 rows, all different, M <= count; M < count where the segment holds no more.
    """
    start, end = segment
    piece = 2 * count
    while start < end and len(taken) < count:
        piece = min(2 * piece, _ROWS_AT_ONCE)
        piece_end = min(end, start + piece)
        rows = permutation(np.arange(start, piece_end, dtype=np.int64))
        if source.coverage is not None:
            held = held_languages(source, rows, requirement.languages)
            rows = rows[held.sum(axis=1) >= requirement.minimum]
        if len(taken):
            rows = np.concatenate([taken, rows[~np.isin(rows, taken)]])
        if share_no_key and source.keys is not None:
            rows = rows[first_compatible(source.keys[rows])]
        taken = rows[:count]
        start = piece_end
    return taken


def first_compatible(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows that are kept when each, in order, is kept unless it shares a key with one kept before it.

    keys: (M, K) int64, a row's keys may repeat. Returns (M',) int64 ascending indices.
    """
    num_rows, num_keys = keys.shape
    order = np.argsort(keys, axis=None, kind="stable")
    values, owners = keys.ravel()[order], order // num_keys
    shared = (values[1:] == values[:-1]) & (owners[1:] != owners[:-1])
    contested = np.zeros(num_rows, dtype=np.bool_)
    contested[owners[1:][shared]] = True
    contested[owners[:-1][shared]] = True
    kept = ~contested
    seen: set[int] = set()
    for row in np.flatnonzero(contested).tolist():
        row_keys: Sequence[int] = keys[row].tolist()
        if seen.isdisjoint(row_keys):
            seen.update(row_keys)
            kept[row] = True
    return np.flatnonzero(kept)


def shared_key_rate(keys: NDArray[np.int64]) -> float:
    """The share of pairs of rows that have a key in common, counted from above (a pair counts once per shared key).

    keys: (M, K) int64 of M >= 2 rows.
    """
    num_rows, _ = keys.shape
    ordered = np.sort(keys, axis=1)
    repeated = np.zeros(keys.shape, dtype=np.bool_)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    _, counts = np.unique(ordered[~repeated], return_counts=True)
    return float((counts * (counts - 1)).sum() / (num_rows * (num_rows - 1)))
