"""A pseudo-random permutation of any size, computed position by position."""

from math import isqrt

import numpy as np
from numpy.typing import NDArray

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
