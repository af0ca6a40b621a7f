"""Layers that are fitted to an encoder's vectors of unlabelled text, and put after its other layers.

`Postprocess` draws parallel rows from the training sources, encodes them and fits a layer: `Projection` or `Centring`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixlingua import distributed
from mixlingua.data.rows import Side
from mixlingua.data.store import ParallelStore
from mixlingua.errors import ConfigError, DataError, check_whole
from mixlingua.languages import check_language
from mixlingua.model.language_layers import fit_language_centring, language_means, language_subspace, projection
from mixlingua.model.layers import PooledLayer
from mixlingua.retrieval.encode import Encode, encode_checked
from mixlingua.sampling.random import KeyedPermutation, Purpose, words
from mixlingua.sampling.rows import held_languages


@dataclass(frozen=True)
class Postprocess(ABC):
    """A layer estimated from vectors of each language.

    languages: whose means are taken, two or more; any that the data sources have text in
    rows_per_language: rows drawn of each language by seed; each is read as query and as passage
    Raises ConfigError for values that cannot work.
    """

    languages: Sequence[str]
    rows_per_language: int = 500

    def __post_init__(self) -> None:
        object.__setattr__(self, "languages", tuple(self.languages))  # not the configuration's own kind of list
        for language in self.languages:
            check_language(language, where="postprocess.languages")
        if len(self.languages) < 2 or len(set(self.languages)) < len(self.languages):
            raise ConfigError(f"postprocess.languages: {' '.join(self.languages)}; two or more, each once, are needed.")
        check_whole("postprocess.rows_per_language", self.rows_per_language, 1)

    def check(self, stores: Sequence[ParallelStore]) -> None:
        """Raises DataError where a language has too few rows, before anything is trained or encoded."""
        check_texts(stores, self.languages, self.rows_per_language)

    def layer(self, encode: Encode, stores: Sequence[ParallelStore], seed: int) -> PooledLayer:
        """The layer for the encoder behind `encode`, equal to the bit on all ranks; every rank must call this.

        seed decides the rows. Raises DataError for too few rows, ModelError for vectors that it cannot be fitted to.
        """
        drawn = draw_texts(stores, self.languages, rows_per_language=self.rows_per_language, seed=seed)
        queries = _encode_languages(encode, [texts.queries for texts in drawn.values()], "query")
        passages = _encode_languages(encode, [texts.passages for texts in drawn.values()], "passage")
        vectors = dict(zip(drawn, torch.cat([queries, passages], dim=1), strict=True))
        return distributed.on_first_rank(lambda: self.fit(vectors))

    @abstractmethod
    def fit(self, vectors: Mapping[str, Tensor]) -> PooledLayer:
        """The layer for unit vectors by language, (N, D) each."""


def _encode_languages(encode: Encode, texts: Sequence[Sequence[str]], side: Side) -> Tensor:
    """(L, N, D) vectors of L languages' N texts."""
    flat = [text for of_language in texts for text in of_language]
    return encode_checked(encode, flat, side, "postprocess").unflatten(0, (len(texts), -1))


@dataclass(frozen=True)
class Projection(Postprocess):
    """Projects out the directions in which the languages' means differ.

    dims: how many directions, the strongest first; null: all, one fewer than languages
    """

    dims: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dims is not None and not 1 <= self.dims < len(self.languages):
            raise ConfigError(
                f"postprocess.dims={self.dims}: the means of {len(self.languages)} languages differ in at most "
                f"{len(self.languages) - 1} directions; use 1 to {len(self.languages) - 1}, or null for all."
            )

    def fit(self, vectors: Mapping[str, Tensor]) -> PooledLayer:
        """A Dense layer without bias."""
        return projection(language_subspace(language_means(vectors), self.dims))


@dataclass(frozen=True)
class Centring(Postprocess):
    """Subtracts from each vector the mean of its language, which is told from the vector itself."""

    def fit(self, vectors: Mapping[str, Tensor]) -> PooledLayer:
        """A LanguageCentring."""
        return fit_language_centring(vectors)


@dataclass(frozen=True)
class LanguageTexts:
    """The queries and passages of one language's rows, N each."""

    queries: list[str]
    passages: list[str]


_ROWS_AT_ONCE = 1 << 16


def draw_texts(
    stores: Sequence[ParallelStore], languages: Sequence[str], *, rows_per_language: int, seed: int
) -> dict[str, LanguageTexts]:
    """language -> texts of `rows_per_language` of its rows, drawn without replacement from all stores alike.

    All rows are put in one random order. Rows that have every language are drawn first, for all languages alike, so
    that these hold texts about the same. Languages that need more rows get the others, in the same order.
    Raises DataError as `check_texts`.
    """
    check_texts(stores, languages, rows_per_language)
    starts = np.cumsum([0, *(store.num_rows for store in stores)])
    order = KeyedPermutation(int(starts[-1]), int(words(seed, Purpose.SUBSETS, (0, 1), 1)[0]))
    drawn: dict[str, list[tuple[int, int]]] = {language: [] for language in languages}  # store and row in it
    for complete in (True, False):
        for start in range(0, order.size, _ROWS_AT_ONCE):
            if all(len(rows) == rows_per_language for rows in drawn.values()):
                break
            numbers = order(np.arange(start, min(start + _ROWS_AT_ONCE, order.size)))
            store_of = np.searchsorted(starts, numbers, side="right") - 1
            rows_in_store = numbers - starts[store_of]
            held = _held(stores, store_of, rows_in_store, languages)
            held &= (held.all(1) == complete)[:, None]
            for column, rows in enumerate(drawn.values()):
                taken = np.flatnonzero(held[:, column])[: rows_per_language - len(rows)]
                rows += [(int(store_of[i]), int(rows_in_store[i])) for i in taken]
    return {language: _read(stores, language, rows) for language, rows in drawn.items()}


def check_texts(stores: Sequence[ParallelStore], languages: Sequence[str], rows_per_language: int) -> None:
    """Raises DataError naming the languages of which the stores have fewer rows than `rows_per_language`."""
    num_rows = {name: sum(store.rows_per_language.get(name, 0) for store in stores) for name in languages}
    lacking = ", ".join(f"{name} ({number})" for name, number in num_rows.items() if number < rows_per_language)
    if lacking:
        raise DataError(
            f"postprocess.rows_per_language={rows_per_language}: {', '.join(store.name for store in stores)} has fewer "
            f"rows in {lacking}. Lower it, leave these languages out of postprocess.languages, or choose further data."
        )


def _held(
    stores: Sequence[ParallelStore], store_of: NDArray[np.int64], rows: NDArray[np.int64], languages: Sequence[str]
) -> NDArray[np.bool_]:
    """(M, L) whether M rows have L languages. store_of: (M,) which store a row belongs to; rows: (M,) in that store."""
    held = np.zeros((len(rows), len(languages)), dtype=np.bool_)
    for number, store in enumerate(stores):
        members = np.flatnonzero(store_of == number)
        known = [column for column, language in enumerate(languages) if language in store.languages]
        held[np.ix_(members, np.array(known, np.int64))] = held_languages(
            store, rows[members], [languages[column] for column in known]
        )
    return held


def _read(stores: Sequence[ParallelStore], language: str, rows: Sequence[tuple[int, int]]) -> LanguageTexts:
    return LanguageTexts(
        queries=[stores[store].texts([row], "query", [language])[0] for store, row in rows],
        passages=[stores[store].texts([row], "passage", [language])[0] for store, row in rows],
    )
