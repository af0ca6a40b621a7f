"""A random part of a source, for training on less: a smaller part lies inside every larger one."""

import numpy as np
from numpy.typing import NDArray

from mixlingua.sampling.draws import Purpose, words
from mixlingua.sampling.permutation import KeyedPermutation


def rows_of_part(num_rows: int, count: int, *, seed: int, source: int) -> NDArray[np.int64]:
    """(count,) ascending rows of a source of num_rows: the first `count` of a permutation that seed and source choose.

    count: at most num_rows. source: its position among the sources, so that two of one size give different rows.
    """
    key = int(words(seed, Purpose.PARTS, (source, 0), 1)[0])
    return np.sort(KeyedPermutation(num_rows, key)(np.arange(count)))
