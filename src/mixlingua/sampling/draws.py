"""Random numbers that are computed from what they are for, and never stored.

Every draw of a batch plan is the output of Philox, a counter-based generator, at (seed, purpose, counter): equal in
every process, on every rank and in every order of access. The raw 64-bit words are turned into numbers here, because
numpy guarantees the words across its versions and not what its `Generator` makes of them.
Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Purpose(IntEnum):
    """What a draw is for: draws for different purposes are independent of each other."""

    STEPS = 1
    LANGUAGES = 2
    EPOCHS = 3
    TOP_UPS = 4
    TRIALS = 5
    PARTS = 6
    TURNS = 7


def words(seed: int, purpose: Purpose, counter: tuple[int, int], count: int) -> NDArray[np.uint64]:
    """(count,) uniform 64-bit words of one stream; seed and both counters lie in [0, 2^64)."""
    first, second = counter
    generator = np.random.Philox(
        key=np.array([seed, purpose], dtype=np.uint64), counter=np.array([0, first, second, 0], dtype=np.uint64)
    )
    return np.asarray(generator.random_raw(count), dtype=np.uint64)


def uniforms(
    seed: int, purpose: Purpose, counter: tuple[int, int], num_draws: int, num_each: int
) -> NDArray[np.float64]:
    """(num_draws, num_each) uniform numbers in [0, 1) of one stream, with 53 random bits each."""
    drawn = words(seed, purpose, counter, num_draws * num_each) >> np.uint64(11)
    return drawn.astype(np.float64).reshape(num_draws, num_each) * 2.0**-53
