"""Which rows of a stretch of a source's stream a batch takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixlingua.sampling.permutation import KeyedPermutation
from mixlingua.sampling.source import PairSource, language_bits

_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Requirement:
    """What every row of a batch must have: at least `minimum` of the languages."""

    languages: tuple[str, ...]
    minimum: int


class Demand(NamedTuple):
    """So many rows that meet a requirement."""

    requirement: Requirement
    num_rows: int


def take_rows(
    source: PairSource,
    demands: Sequence[Demand],
    permutation: KeyedPermutation,
    segment: tuple[int, int],
    *,
    taken: Sequence[NDArray[np.int64]],
    share_no_key: bool = True,
) -> list[NDArray[np.int64]]:
    """Extend `taken` by rows of a segment, for each demand up to its number; no two of all rows share a key.

    segment: positions [start, end) of the permutation, read in order and in pieces. Of each piece the first demand
    takes the first rows that meet it, then the second, and so on. taken: for each demand, rows that come first and
    stay. Returns for each demand (M,) int64 rows, all different, M <= num_rows; fewer where the segment holds no more.
    """
    start, end = segment
    piece = 2 * sum(demand.num_rows for demand in demands)
    found = list(taken)
    while start < end and any(len(rows) < demand.num_rows for rows, demand in zip(found, demands, strict=True)):
        piece = min(2 * piece, _ROWS_AT_ONCE)
        piece_end = min(end, start + piece)
        read = permutation(np.arange(start, piece_end, dtype=np.int64))
        free = np.isin(read, np.concatenate(found), invert=True)
        coverage = None if source.coverage is None else source.coverage[read]
        for number, (requirement, num_rows) in enumerate(demands):
            if len(found[number]) == num_rows:
                continue
            fitting = np.flatnonzero(free & _meets(source, coverage, requirement))
            while len(fitting) and (missing := num_rows - len(found[number])) > 0:
                some, fitting = np.split(fitting, [4 * missing])
                if share_no_key and source.keys is not None:
                    some = some[_compatible(source.keys, read[some], np.concatenate(found))]
                new = some[:missing]
                free[new] = False
                found[number] = np.concatenate([found[number], read[new]])
        start = piece_end
    return found


def _meets(
    source: PairSource, coverage: NDArray[np.uint64] | None, requirement: Requirement
) -> NDArray[np.bool_] | np.bool_:
    """(M,) whether rows of this coverage meet the requirement; without coverage all do."""
    if coverage is None:
        return np.True_
    bits = np.bitwise_or.reduce(language_bits(source, requirement.languages))
    return np.asarray(np.bitwise_count(coverage & bits) >= requirement.minimum)


def _compatible(keys: NDArray[np.int64], rows: NDArray[np.int64], taken: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of `rows`, in order, share no key with a row that is taken or a compatible one before them."""
    kept = first_compatible(keys[np.concatenate([taken, rows])])
    return kept[len(taken) :] - len(taken)


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
