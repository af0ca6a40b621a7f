"""A source of parallel rows as a plan sees it, without text: which languages and which keys each row has."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_ROWS_AT_ONCE = 1 << 20
_ROWS_AT_ONCE_BY_LANGUAGE = 1 << 16


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
    for start in range(0, source.num_rows, _ROWS_AT_ONCE_BY_LANGUAGE):
        piece = np.asarray(source.coverage[start : start + _ROWS_AT_ONCE_BY_LANGUAGE])
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
