"""Whose turn it is, where the language pairs of a source take turns."""

import numpy as np
from numpy.typing import NDArray

from mixlingua.sampling.draws import Purpose, words

_TURNS_AT_ONCE = 4096


def in_turn(num_pairs: int, start: int, count: int, *, seed: int, source: int) -> NDArray[np.int64]:
    """(count,) positions in [0, num_pairs): the pairs of the turns start, ..., start + count - 1 of a source.

    Turns go round: each round is all pairs in a random order of its own. So after any number of turns no pair has
    come more than once more often than another. source: its position among the sources.
    """
    rounds = max(1, _TURNS_AT_ONCE // num_pairs)  # of one random stream
    turns_of_stream = rounds * num_pairs
    first, last = start // turns_of_stream, (start + count - 1) // turns_of_stream
    drawn = [words(seed, Purpose.TURNS, (source, stream), turns_of_stream) for stream in range(first, last + 1)]
    orders = np.argsort(np.concatenate(drawn).reshape(-1, num_pairs), axis=1, kind="stable")
    offset = start - first * turns_of_stream
    return np.asarray(orders.ravel()[offset : offset + count], dtype=np.int64)
