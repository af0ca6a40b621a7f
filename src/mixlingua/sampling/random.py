"""Random numbers without state: what is drawn depends on the seed, the purpose and counters alone.

Streams of uniform numbers (Philox, a counter-based generator), permutations chosen by a key, random subsets of rows.
"""

from enum import IntEnum
from math import isqrt

import numpy as np
from numpy.typing import NDArray


class Purpose(IntEnum):
    """What a draw is for: draws for different purposes are independent of each other. The numbers decide the draws."""

    STEPS = 1
    LANGUAGES = 2
    EPOCHS = 3
    TOP_UPS = 4
    TRIALS = 5
    SUBSETS = 6
    CODE_SWITCHING = 1 << 32


Counter = tuple[int, int] | tuple[int, int, int]


def words(seed: int, purpose: Purpose, counter: Counter, count: int) -> NDArray[np.uint64]:
    """(count,) uniform 64-bit words of one stream; seed and counters lie in [0, 2^64), an absent counter is 0."""
    first, second, *third = counter
    generator = np.random.Philox(
        key=np.array([seed, purpose], dtype=np.uint64),
        counter=np.array([0, first, second, *(third or [0])], dtype=np.uint64),
    )
    return np.asarray(generator.random_raw(count), dtype=np.uint64)


def uniforms(seed: int, purpose: Purpose, counter: Counter, num_draws: int, num_each: int) -> NDArray[np.float64]:
    """(num_draws, num_each) uniform numbers in [0, 1) of one stream, with 53 random bits each."""
    drawn = words(seed, purpose, counter, num_draws * num_each) >> np.uint64(11)
    return drawn.astype(np.float64).reshape(num_draws, num_each) * 2.0**-53


_ROUNDS = 8
_MULTIPLIERS = np.array([0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53], dtype=np.uint64)


class KeyedPermutation:
    """A bijection on [0, size) chosen by `key`, in O(1) memory.

    A position is written as two digits in the base ceil(sqrt(size)) and mixed by a Feistel network over that base; a
    result outside [0, size) is mixed again until it falls inside (cycle walking), which keeps the mapping one to one.
    The base makes the domain at most about 2 * sqrt(size) larger than size, so that few positions walk.
    Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains".
    """

    def __init__(self, size: int, key: int) -> None:
        """size >= 1 and below 2^62; key in [0, 2^64). Raises ValueError for another size."""
        if not 1 <= size < 2**62:
            raise ValueError(f"a permutation needs a size from 1 to 2^62, got {size}")
        self.size = size
        self._base = np.uint64(isqrt(size - 1) + 1)
        round_keys = np.random.Philox(key=key).random_raw(_ROUNDS)
        self._round_keys = np.asarray(round_keys, dtype=np.uint64)

    def __call__(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """(M,) int64 positions in [0, size) -> (M,) int64, all different where the positions are."""
        if positions.size and not (positions.min() >= 0 and positions.max() < self.size):
            raise ValueError(f"positions must lie in [0, {self.size})")
        mixed = self._mix(positions.astype(np.uint64))
        outside = np.flatnonzero(mixed >= self.size)
        while outside.size:
            walked = self._mix(mixed[outside])
            mixed[outside] = walked
            outside = outside[walked >= self.size]
        return mixed.astype(np.int64)

    def _mix(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = np.divmod(values, self._base)
        for round_key in self._round_keys:
            scrambled = (right + round_key) * _MULTIPLIERS[0]
            scrambled ^= scrambled >> np.uint64(32)
            scrambled *= _MULTIPLIERS[1]
            scrambled ^= scrambled >> np.uint64(29)
            scrambled %= self._base
            scrambled += left
            scrambled %= self._base
            left, right = right, scrambled
        return left * self._base + right


def random_subset(num_rows: int, count: int, *, seed: int, source_index: int) -> NDArray[np.int64]:
    """(count,) ascending rows of a source of num_rows; a smaller subset lies inside every larger one.

    count: at most num_rows. source_index: the source's position, so that two sources of one size give different rows.
    """
    key = int(words(seed, Purpose.SUBSETS, (source_index, 0), 1)[0])
    return np.sort(KeyedPermutation(num_rows, key)(np.arange(count)))
