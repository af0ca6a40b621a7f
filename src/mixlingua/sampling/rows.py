"""The rows of a source: what each has, how a batch takes them, and how many have to be read for one.

A source is seen without its text: languages and keys. A batch reads a segment of a permutation of the rows. It passes
over rows that lack a needed language or share a key with a row that it has. `Capacity` tells, before training, how wide
such a segment must be.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, expm1, log, sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mixlingua.sampling.random import KeyedPermutation, Purpose, words

_ROWS_AT_ONCE = 1 << 16


class PairSource(Protocol):
    """Parallel rows, seen without their text.

    coverage: (num_rows,) uint64, bit i set where the row has languages[i]; None where every row has every language.
    keys: (num_rows, K) int64: rows that share any key never meet in a batch; None where no two rows do.
    conflict_rate: that of the keys, see `conflict_rate`.
    is_translations: whether every row's query is its passage, such as a sentence with its translations. In a batch of
    one language a query would find itself, so such a source serves cross-lingual batches only.
    """

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def num_rows(self) -> int: ...
    @property
    def languages(self) -> Sequence[str]: ...
    @property
    def coverage(self) -> NDArray[np.uint64] | None: ...
    @property
    def keys(self) -> NDArray[np.int64] | None: ...
    @property
    def conflict_rate(self) -> float: ...
    @property
    def is_translations(self) -> bool: ...


def language_bits(source: PairSource, languages: Sequence[str]) -> NDArray[np.uint64]:
    """(L,) the coverage bit of each language. A source with coverage has at most 64 languages."""
    positions = [source.languages.index(language) for language in languages]
    return np.uint64(1) << np.array(positions, dtype=np.uint64)


def held_languages(source: PairSource, rows: NDArray[np.int64], languages: Sequence[str]) -> NDArray[np.bool_]:
    """(M, L) whether each row has each language."""
    if source.coverage is None:
        return np.ones((len(rows), len(languages)), dtype=np.bool_)
    held: NDArray[np.bool_] = (source.coverage[rows][:, None] & language_bits(source, languages)) != 0
    return held


def count_rows(source: PairSource, questions: Sequence[tuple[Sequence[str], int]]) -> list[int]:
    """For each (languages, minimum), the number of rows that have at least `minimum` of the languages.

    One pass over the coverage, in pieces; none where every row has every language.
    """
    coverage = source.coverage
    if coverage is None:
        return [source.num_rows if len(languages) >= minimum else 0 for languages, minimum in questions]
    masks = [np.bitwise_or.reduce(language_bits(source, languages), initial=0) for languages, _ in questions]
    counts = [0] * len(questions)
    for start in range(0, source.num_rows, _ROWS_AT_ONCE):
        piece = np.asarray(coverage[start : start + _ROWS_AT_ONCE])
        for number, (mask, (_, minimum)) in enumerate(zip(masks, questions, strict=True)):
            counts[number] += int(np.count_nonzero(np.bitwise_count(piece & mask) >= minimum))
    return counts


def count_pairs(source: PairSource, languages: Sequence[str]) -> NDArray[np.int64]:
    """(L, L) the number of rows that have both languages; on the diagonal, those that have one. One pass, in pieces."""
    counts = np.zeros((len(languages), len(languages)), dtype=np.int64)
    if source.coverage is None:
        return counts + source.num_rows
    bits = language_bits(source, languages)
    for start in range(0, source.num_rows, _ROWS_AT_ONCE):
        piece = np.asarray(source.coverage[start : start + _ROWS_AT_ONCE])
        held = ((piece[:, None] & bits) != 0).astype(np.float32)  # whose product is exact up to 2^24 rows
        counts += (held.T @ held).astype(np.int64)
    return counts


def conflict_rate(keys: NDArray[np.int64]) -> float:
    """An upper bound of the probability that two different rows share a key; exact where rows share at most one.

    keys: (M, K) int64, the keys of each row; a row may repeat one.
    """
    num_pairs = len(keys) * (len(keys) - 1)
    ordered = np.sort(keys, axis=1)
    distinct = np.ones(keys.shape, dtype=np.bool_)
    distinct[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    rows_per_key = np.unique(ordered[distinct], return_counts=True)[1].astype(np.float64)
    return min(1.0, float((rows_per_key * (rows_per_key - 1)).sum()) / num_pairs) if num_pairs else 0.0


@dataclass(frozen=True)
class Requirement:
    """What every row of a batch must have: at least `minimum` of the languages."""

    languages: tuple[str, ...]
    minimum: int


def take_rows(
    source: PairSource,
    requirement: Requirement,
    count: int,
    permutation: KeyedPermutation,
    segment: tuple[int, int],
    *,
    taken: NDArray[np.int64],
    share_no_key: bool = True,
) -> NDArray[np.int64]:
    """Extend `taken` to `count` rows by those of a segment that meet the requirement; no two rows share a key.

    segment: positions [start, end) of the permutation, read in order and in pieces; a row is taken unless it shares a
    key with one taken before it. Returns (M,) int64, all different, `taken` first; M < count where the segment holds
    no more.
    """
    start, end = segment
    piece = 2 * count
    while start < end and len(taken) < count:
        piece = min(2 * piece, _ROWS_AT_ONCE)
        piece_end = min(end, start + piece)
        read = permutation(np.arange(start, piece_end, dtype=np.int64))
        fitting = read[np.isin(read, taken, invert=True) & _meets(source, read, requirement)]
        while len(fitting) and (missing := count - len(taken)) > 0:
            candidates, fitting = np.split(fitting, [4 * missing])
            if share_no_key and source.keys is not None:
                kept = first_compatible(source.keys[np.concatenate([taken, candidates])])
                candidates = candidates[kept[len(taken) :] - len(taken)]
            taken = np.concatenate([taken, candidates[:missing]])
        start = piece_end
    return taken


def _meets(source: PairSource, rows: NDArray[np.int64], requirement: Requirement) -> NDArray[np.bool_] | np.bool_:
    """(M,) whether each row meets the requirement; one value for all where every row has every language."""
    if source.coverage is None:
        return np.True_
    mask = np.bitwise_or.reduce(language_bits(source, requirement.languages))
    return np.asarray(np.bitwise_count(source.coverage[rows] & mask) >= requirement.minimum)


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
        row_keys = keys[row].tolist()
        if seen.isdisjoint(row_keys):
            seen.update(row_keys)
            kept[row] = True
    return np.flatnonzero(kept)


_TRIALS = 10
_ROWS_TO_MEASURE = 4096  # 8.4 million pairs


class Capacity:
    """What one source can give to batches of `batch_size` rows; source_index: its position among the sources.

    eligible, in its methods: the number of rows of the source that meet the requirement.
    """

    def __init__(self, source_index: int, source: PairSource, batch_size: int) -> None:
        self.source_index, self.source, self.batch_size = source_index, source, batch_size

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

    def segment_width(self, requirement: Requirement, eligible: int) -> int:
        """The rows to read for a batch, almost surely enough."""
        source, rate = self.source, self.source.conflict_rate
        if source.keys is None:
            rate = 0.0
        elif eligible < source.num_rows:
            # source.conflict_rate is that of all rows; those of one language may share keys more often
            sample = self._sample(requirement, min(eligible, _ROWS_TO_MEASURE), share_no_key=False)
            rate = max(rate, conflict_rate(source.keys[sample]))
        return segment_width(self.batch_size, num_rows=source.num_rows, eligible=eligible, conflict_rate=rate)

    def _sample(
        self, requirement: Requirement, count: int, *, trial: int = 0, share_no_key: bool = True
    ) -> NDArray[np.int64]:
        key = int(words(0, Purpose.TRIALS, (self.source_index, trial), 1)[0])
        permutation = KeyedPermutation(self.source.num_rows, key)
        nothing = np.empty(0, dtype=np.int64)
        everything = (0, self.source.num_rows)
        return take_rows(
            self.source, requirement, count, permutation, everything, taken=nothing, share_no_key=share_no_key
        )


_LOG_FAILURE = 20.7  # -ln(1e-9): a segment falls short about once in 10^9 batches


def segment_width(batch_size: int, *, num_rows: int, eligible: int, conflict_rate: float) -> int:
    """The rows to read for `batch_size` rows that are eligible and share no key, almost surely enough; <= num_rows.

    eligible: the rows of the source that have what the batch asks for; conflict_rate: probability that two different
    eligible rows share a key. Equal to batch_size where every row is eligible and none conflict.
    """
    if num_rows < batch_size:
        return num_rows
    numbers, share = range(num_rows), eligible / num_rows
    candidates = bisect_left(
        numbers, True, lo=batch_size, key=lambda count: _surely_distinct(count, conflict_rate) >= batch_size
    )
    return bisect_left(numbers, True, lo=candidates, key=lambda width: _surely_eligible(width, share, candidates))


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
