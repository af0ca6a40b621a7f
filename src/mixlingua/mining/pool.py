"""What negatives are searched in: the distinct passages of a source, and which rows each of them belongs to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixlingua.data.store import ParallelStore
from mixlingua.errors import DataError
from mixlingua.files import content_hash
from mixlingua.retrieval.corpus import Census, Passage
from mixlingua.sampling.rows import held_languages

_ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class MiningRows:
    """The rows of a store, in those training languages that the store has.

    held: (N, L) bool, whether a row has languages[i]. text_keys: (N, L) int64, the keys of its passages' texts. keys:
    (N, K + 2) int64, the store's K keys of a row, and what is known of its question and its passage. Rows that share a
    key are no negatives of one another.
    """

    store: ParallelStore
    languages: tuple[str, ...]
    held: NDArray[np.bool_]
    text_keys: NDArray[np.int64]
    keys: NDArray[np.int64]


def mining_rows(store: ParallelStore, languages: Sequence[str]) -> MiningRows:
    """The rows of a store in these languages, in memory: 8 bytes a language and key.

    Raises DataError where the store has none of the languages.
    """
    shared = tuple(language for language in languages if store.rows_per_language.get(language))
    if not shared:
        raise DataError(
            f"source '{store.name}' has no row in data.languages ({', '.join(languages)}); it has "
            f"{', '.join(store.languages)}. Choose some of those, or leave the source out."
        )
    held = held_languages(store, np.arange(store.num_rows), shared)
    text_keys = np.zeros(held.shape, np.int64)
    for column, language in enumerate(shared):
        keys, rows = store.text_keys("passage", language)
        text_keys[rows, column] = keys
    return MiningRows(store, shared, held, text_keys, np.column_stack([store.keys, store.known]))


class Pool:
    """A corpus of P distinct passages in L languages, ordered by language and then by row.

    languages: L of those of the rows. rows, columns: (P,) int64, the first row that has the passage, and the position
    of its language in `languages`. positions: (N, L) int64, the passage that a row has in a language, -1 for none.
    members, starts: passage i belongs to the rows members[starts[i]:starts[i + 1]], in whichever of the languages.
    """

    def __init__(self, rows: MiningRows, languages: Sequence[str]) -> None:
        self.source, self.languages = rows, tuple(languages)
        chosen = np.array([rows.languages.index(language) for language in languages])
        columns, holders = np.nonzero(rows.held[:, chosen].T)
        text_keys = rows.text_keys[holders, chosen[columns]]
        _, first, inverse = np.unique(text_keys, return_index=True, return_inverse=True)
        order = np.argsort(first)
        positions = np.argsort(order)[inverse]
        self.rows, self.columns = holders[first[order]], columns[first[order]]
        self.positions = np.full((len(rows.held), len(chosen)), -1, np.int64)
        self.positions[holders, columns] = positions
        by_position = np.argsort(positions, kind="stable")
        self.members = holders[by_position]
        self.starts = np.searchsorted(positions[by_position], np.arange(len(self) + 1))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> int:
        """Bytes of the files that it is read from."""
        return sum((self.source.store.path / f"{language}.arrow").stat().st_size for language in self.languages)

    @property
    def census(self) -> Census:
        """What `take_census` would find, without a reading: passages are distinct, and the store identifies them."""
        identity = content_hash("mining", self.source.store.fingerprint, " ".join(self.languages))
        return Census(identity, len(self), {}, np.zeros((0, 2), np.int64))

    def passages(self) -> Iterator[Passage]:
        """Every distinct passage; its id is its position."""
        for positions in _batches(np.arange(len(self))):
            for position, text in zip(positions.tolist(), self.texts(positions), strict=True):
                yield Passage(str(position), text)

    def texts(self, positions: NDArray[np.int64]) -> list[str]:
        """The passages at these positions."""
        return self.source.store.texts(self.rows[positions].tolist(), "passage", self.languages_of(positions))

    def languages_of(self, positions: NDArray[np.int64]) -> list[str]:
        """The languages of the passages at these positions."""
        return [self.languages[column] for column in self.columns[positions].tolist()]

    def where(self, position: int) -> str:
        """Source, row and language of a passage, for messages."""
        (row_id,) = self.source.store.ids([int(self.rows[position])])
        return f"{self.source.store.name}, row '{row_id}' in '{self.languages[self.columns[position]]}'"


def pools(rows: MiningRows, *, across_languages: bool) -> dict[str, Pool]:
    """Language of a query -> the pool that it searches: that of its language, or one of all languages for all."""
    if across_languages:
        return dict.fromkeys(rows.languages, Pool(rows, rows.languages))
    return {language: Pool(rows, [language]) for language in rows.languages}


def _batches(values: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (values[start : start + _ROWS_AT_ONCE] for start in range(0, len(values), _ROWS_AT_ONCE))
