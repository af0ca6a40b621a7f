"""How much of a source the batches of a requirement need: whether it has the rows, and how far apart they lie."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, expm1, log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixlingua.sampling.random import KeyedPermutation, Purpose, words
from mixlingua.sampling.source import PairSource, language_bits

_LOG_FAILURE = 20.7  # -ln(1e-9): a segment falls short about once in 10^9 batches


def segment_width(batch_size: int, *, num_rows: int, eligible: int, conflict_rate: float) -> int:
    """The rows to read for `batch_size` rows that are eligible and share no key, almost surely enough; <= num_rows.

    eligible: the rows of the source that have what the batch asks for; conflict_rate: probability that two different
    eligible rows share a key. Equal to batch_size where every row is eligible and none conflict.
    """
    if num_rows < batch_size:
        return num_rows
    candidates = _smallest(batch_size, num_rows, lambda count: _surely_distinct(count, conflict_rate) >= batch_size)
    share = eligible / num_rows
    return _smallest(candidates, num_rows, lambda width: _surely_eligible(width, share, candidates))


def _surely_distinct(count: int, conflict_rate: float) -> int:
    """A number of mutually compatible rows that a scan of `count` eligible rows almost surely takes.

    Each row that is taken shuts out a share `conflict_rate` of the others: dT/dm = 1 - cT, so T = (1 - exp(-cm)) / c
    are expected, at least (Jensen, where keys repeat unevenly). The rows passed over, m - T, spread like a Poisson
    variable at most; its upper tail is bounded by Chernoff.
    """
    if conflict_rate <= 0:
        return count
    expected_skips = count + expm1(-conflict_rate * count) / conflict_rate
    if expected_skips <= 0:  # rounding, where conflicts are far rarer than 1 / count^2
        return count
    low, high = expected_skips, expected_skips + 2 * _LOG_FAILURE + 2 * sqrt(_LOG_FAILURE * expected_skips)
    while high - low > 0.01:
        middle = (low + high) / 2
        if middle * log(middle / expected_skips) - middle + expected_skips < _LOG_FAILURE:
            low = middle
        else:
            high = middle
    return count - ceil(high) + 1


def _surely_eligible(width: int, share: float, needed: int) -> bool:
    """Whether `width` rows, each eligible with probability `share`, hold `needed` almost surely (Chernoff)."""
    if share >= 1:
        return width >= needed
    missed = (needed - 1) / width
    if missed >= share:
        return False
    divergence = (1 - missed) * log((1 - missed) / (1 - share))
    if missed > 0:
        divergence += missed * log(missed / share)
    return width * divergence >= _LOG_FAILURE


def _smallest(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The smallest number in [low, high] that holds, high where none below it does."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


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


_TRIALS = 10
_ROWS_TO_MEASURE = 4096  # 8.4 million pairs


class Room:
    """The room that batches of batch_size rows find in one source; position: its place among the sources."""

    def __init__(self, position: int, source: PairSource, batch_size: int) -> None:
        self.position, self.source, self.batch_size = position, source, batch_size

    def usable(self, requirement: Requirement, eligible: int) -> int:
        """How many of the eligible rows one batch can take from the whole source, up to batch_size.

        Found by taking them. Where rows have several keys, how many fit depends on the order in which they are tried:
        the best of a few.
        """
        keys = self.source.keys
        if keys is None or eligible < self.batch_size:
            return min(eligible, self.batch_size)
        most = 0
        for trial in range(1 if keys.shape[1] == 1 else _TRIALS):
            most = max(most, len(self._sample(requirement, self.batch_size, trial=trial)))
            if most == self.batch_size:
                break
        return most

    def width(self, requirement: Requirement, eligible: int, count: int) -> int:
        """The rows to read for `count` of the eligible ones, where the rest of the batch is rows of other kinds."""
        source, conflict_rate = self.source, self.source.conflict_rate
        if source.keys is not None and eligible < source.num_rows:
            # conflict_rate is that of all rows; those of one language may share keys more often
            sample = self._sample(requirement, min(eligible, _ROWS_TO_MEASURE), share_no_key=False)
            if len(sample) > 1:
                conflict_rate = max(conflict_rate, shared_key_rate(source.keys[sample]))
        if source.keys is None:
            conflict_rate = 0.0
        shut_out = min(1.0, (self.batch_size - count) * conflict_rate)  # by the rest of the batch
        return segment_width(
            count, num_rows=source.num_rows, eligible=int(eligible * (1 - shut_out)), conflict_rate=conflict_rate
        )

    def width_of_turns(self, pairs: Sequence[tuple[Requirement, int]]) -> int:
        """The rows to read for a batch whose rows take turns at pairs of languages, in both directions.

        pairs: with their eligible rows, rarest first. Of B turns at P directed pairs each has B / P, or up to
        B // P + 2 where the turns begin and end within a round. A row is given to the rarest pair that still needs one
        (see take_rows), so a pair goes short only where fewer rows have it than it and the rarer ones need together.
        """
        if self.source.coverage is None:
            return max(self.width(requirement, eligible, self.batch_size) for requirement, eligible in pairs)
        rounds, rest = divmod(self.batch_size, 2 * len(pairs))
        each = 2 * (rounds + (2 if rest else 0))
        return max(
            self.width(requirement, eligible, min(self.batch_size, place * each))
            for place, (requirement, eligible) in enumerate(pairs, start=1)
        )

    def _sample(
        self, requirement: Requirement, count: int, *, trial: int = 0, share_no_key: bool = True
    ) -> NDArray[np.int64]:
        key = int(words(0, Purpose.TRIALS, (self.position, trial), 1)[0])
        (rows,) = take_rows(
            self.source,
            [Demand(requirement, count)],
            KeyedPermutation(self.source.num_rows, key),
            (0, self.source.num_rows),
            taken=[np.empty(0, dtype=np.int64)],
            share_no_key=share_no_key,
        )
        return rows
