"""Whose turn it is, where the language pairs of a source take turns."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixlingua.sampling.random import Purpose, words
from mixlingua.sampling.source import PairSource, count_pairs

Languages = Sequence[str]


def pair_weights(source: PairSource, languages: Languages, exponent: float) -> NDArray[np.float64]:
    """(L, L) for each pair of different languages (n / n_max)^exponent, n being the rows that have both; else 0."""
    rows = count_pairs(source, languages).astype(np.float64)
    np.fill_diagonal(rows, 0)
    weights = (rows / rows.max()) ** exponent
    weights[rows == 0] = 0
    return np.asarray(weights, dtype=np.float64)


def draw_languages(
    held: NDArray[np.bool_], drawn: NDArray[np.float64], languages: Languages
) -> tuple[list[str], list[str]]:
    """One of the languages that each row has, uniformly, for query and passage alike.

    held: (M, L) whether the row has the language; drawn: (2, M) uniform numbers in [0, 1).
    """
    chosen = _nth_held(held, (drawn[0] * held.sum(axis=1)).astype(np.int64), languages)
    return chosen, list(chosen)


def draw_pairs(
    held: NDArray[np.bool_], drawn: NDArray[np.float64], languages: Languages
) -> tuple[list[str], list[str]]:
    """An ordered pair of different languages for each row, uniformly from those that it has; arguments as above."""
    count = held.sum(axis=1)
    query = (drawn[0] * count).astype(np.int64)
    passage = (drawn[1] * (count - 1)).astype(np.int64)
    passage += passage >= query  # any held language but the query's
    return _nth_held(held, query, languages), _nth_held(held, passage, languages)


def draw_weighted_pairs(
    held: NDArray[np.bool_], drawn: NDArray[np.float64], languages: Languages, weights: NDArray[np.float64]
) -> tuple[list[str], list[str]]:
    """The same in proportion to weights, (L, L): first the query's language, then the passage's given it."""
    query = _weighted((held @ weights) * held, drawn[0])
    passage = _weighted(weights[query] * held, drawn[1])
    return [languages[column] for column in query.tolist()], [languages[column] for column in passage.tolist()]


def _nth_held(held: NDArray[np.bool_], nth: NDArray[np.int64], languages: Languages) -> list[str]:
    """For each row, the nth (from 0) of the languages that it has."""
    columns = np.argmax(np.cumsum(held, axis=1) > nth[:, None], axis=1)
    return [languages[column] for column in columns.tolist()]


def _weighted(weights: NDArray[np.float64], drawn: NDArray[np.float64]) -> NDArray[np.int64]:
    """(M,) a column for each row of weights, (M, L), in proportion to them."""
    reached = np.cumsum(weights, axis=1)
    return np.asarray(np.argmax(reached > (drawn * reached[:, -1])[:, None], axis=1), dtype=np.int64)


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
