"""The query and passage languages of a batch's rows: given for all of them, or drawn by each from what it has."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Languages = Sequence[str]


@dataclass(frozen=True)
class FixedPair:
    """Every row has its query in one language and its passage in another, or in the same one."""

    query: str
    passage: str


@dataclass(frozen=True)
class AnyPair:
    """Every row draws an ordered pair of different languages from those of `languages` that it has."""

    languages: tuple[str, ...]


@dataclass(frozen=True)
class AnyLanguage:
    """Every row draws one of `languages` that it has, for query and passage alike."""

    languages: tuple[str, ...]


RowLanguages = FixedPair | AnyPair | AnyLanguage


def draw_pairs(
    held: NDArray[np.bool_], drawn: NDArray[np.float64], languages: Languages
) -> tuple[list[str], list[str]]:
    """The query and the passage language of each row: an ordered pair of different languages that it has, uniformly.

    held: (M, L) whether the row has the language; drawn: (2, M) uniform numbers in [0, 1).
    """
    count = held.sum(axis=1)
    query = (drawn[0] * count).astype(np.int64)
    passage = (drawn[1] * (count - 1)).astype(np.int64)
    passage += passage >= query  # any held language but the query's
    return _nth_held(held, query, languages), _nth_held(held, passage, languages)


def draw_languages(held: NDArray[np.bool_], drawn: NDArray[np.float64], languages: Languages) -> list[str]:
    """One of the languages that each row has, uniformly; held as above, drawn: (M,) uniform numbers in [0, 1)."""
    return _nth_held(held, (drawn * held.sum(axis=1)).astype(np.int64), languages)


def _nth_held(held: NDArray[np.bool_], nth: NDArray[np.int64], languages: Languages) -> list[str]:
    """For each row, the nth (from 0) of the languages that it has."""
    columns = np.argmax(np.cumsum(held, axis=1) > nth[:, None], axis=1)
    return [languages[column] for column in columns.tolist()]
