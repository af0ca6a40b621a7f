"""How many rows of a source's stream a batch must own so that it finds enough usable ones."""

from collections.abc import Callable
from math import ceil, expm1, log, sqrt

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
