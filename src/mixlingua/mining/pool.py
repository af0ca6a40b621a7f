"""What negatives are found among: the distinct passages of a source, and which rows each of them belongs to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixlingua.data.rows import text_key
from mixlingua.data.store import ParallelStore
from mixlingua.errors import DataError
from mixlingua.retrieval.corpus import Passage
from mixlingua.sampling.source import held_languages

_ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class MiningRows:
    """The rows of a store in the training languages that it has.

    held: (N, L) bool, whether a row has languages[i]. keys: (N, K + L) int64, the store's keys of a row and those of
    its passages' texts in these languages (where it lacks one, its first key again): rows that share a key are no
    negatives of one another.
    """

    store: ParallelStore
    languages: tuple[str, ...]
    held: NDArray[np.bool_]
    keys: NDArray[np.int64]

    @property
    def text_keys(self) -> NDArray[np.int64]:
        """(N, L), those of the texts."""
        return self.keys[:, -len(self.languages) :]


def mining_rows(store: ParallelStore, languages: Sequence[str]) -> MiningRows:
    """Read every passage of a store in these languages once; 8 bytes a key are kept.

    Raises DataError where the store has none of the languages.
    """
    own = tuple(language for language in languages if store.rows_per_language.get(language))
    if not own:
        raise DataError(
            f"source '{store.name}' has no row in data.languages ({', '.join(languages)}); it has "
            f"{', '.join(store.languages)}. Choose some of those, or leave the source out."
        )
    held = held_languages(store, np.arange(store.num_rows), own)
    texts = np.repeat(np.array(store.keys[:, :1]), len(own), axis=1)
    for column, language in enumerate(own):
        for rows in _parts(np.flatnonzero(held[:, column])):
            passages = store.texts(rows.tolist(), "passage", [language] * len(rows))
            texts[rows, column] = [text_key(passage) for passage in passages]
    return MiningRows(store, own, held, np.concatenate([store.keys, texts], axis=1))


class Pool:
    """A corpus: the distinct passages of some languages, ordered by language and then by row.

    languages: L of those of the rows. rows: (P,) int64 and columns: (P,) int64, the first row that has the passage and
    its language's position in `languages`. places: (N, L) int64, which passage a row has in a language, -1 for none.
    members, starts: passage i is that of the rows members[starts[i]:starts[i + 1]], in whichever of the languages.
    """

    def __init__(self, rows: MiningRows, languages: Sequence[str]) -> None:
        self.source, self.languages = rows, tuple(languages)
        own = [rows.languages.index(language) for language in languages]
        columns, holders = np.nonzero(rows.held[:, own].T)
        texts = rows.text_keys[holders, np.array(own)[columns]]
        _, first, inverse = np.unique(texts, return_index=True, return_inverse=True)
        order = np.argsort(first)
        places = np.argsort(order)[inverse]
        self.rows, self.columns = holders[first[order]], columns[first[order]]
        self.places = np.full((len(rows.held), len(own)), -1, np.int64)
        self.places[holders, columns] = places
        by_place = np.argsort(places, kind="stable")
        self.members = holders[by_place]
        self.starts = np.searchsorted(places[by_place], np.arange(len(self) + 1))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> int:
        """Bytes of the files that it is read from."""
        return sum((self.source.store.path / f"{language}.arrow").stat().st_size for language in self.languages)

    def passages(self) -> Iterator[Passage]:
        """Every distinct passage; its id is its position."""
        for positions in _parts(np.arange(len(self))):
            for position, text in zip(positions.tolist(), self.texts(positions), strict=True):
                yield Passage(str(position), text)

    def texts(self, positions: NDArray[np.int64]) -> list[str]:
        """The passages at these positions."""
        languages = [self.languages[column] for column in self.columns[positions].tolist()]
        return self.source.store.texts(self.rows[positions].tolist(), "passage", languages)

    def where(self, position: int) -> str:
        """Source, row and language of a passage, for messages."""
        (identity,) = self.source.store.ids([int(self.rows[position])])
        return f"{self.source.store.name}, row '{identity}' in '{self.languages[self.columns[position]]}'"


def pools(rows: MiningRows, *, across_languages: bool) -> dict[str, Pool]:
    """Language of a query -> the pool that it searches: that of its language, or one of all languages for all."""
    if across_languages:
        return dict.fromkeys(rows.languages, Pool(rows, rows.languages))
    return {language: Pool(rows, [language]) for language in rows.languages}


def _parts(values: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (values[start : start + _ROWS_AT_ONCE] for start in range(0, len(values), _ROWS_AT_ONCE))
