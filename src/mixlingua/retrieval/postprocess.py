"""Layers that are fitted to an encoder's vectors of unlabelled text and put after its others."""

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
from mixlingua.errors import ConfigError, DataError
from mixlingua.languages import check_language
from mixlingua.model.encoder import PooledLayer
from mixlingua.model.language_layers import fit_language_centring, language_means, language_subspace, projection
from mixlingua.retrieval.encode import Encode, check_vectors
from mixlingua.sampling.random import KeyedPermutation, Purpose, words
from mixlingua.sampling.source import held_languages

_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class LanguageTexts:
    """The queries and passages of one language's rows, N each."""

    queries: list[str]
    passages: list[str]


def check_texts(stores: Sequence[ParallelStore], languages: Sequence[str], rows_per_language: int) -> None:
    """Raises DataError naming the languages of which the stores have fewer rows than `rows_per_language`."""
    held = {name: sum(store.rows_per_language.get(name, 0) for store in stores) for name in languages}
    lacking = ", ".join(f"{name} ({rows})" for name, rows in held.items() if rows < rows_per_language)
    if lacking:
        raise DataError(
            f"postprocess.rows_per_language={rows_per_language}: {', '.join(store.name for store in stores)} has fewer "
            f"rows in {lacking}. Lower it, leave these languages out of postprocess.languages, or choose further data."
        )


def draw_texts(
    stores: Sequence[ParallelStore], languages: Sequence[str], *, rows_per_language: int, seed: int
) -> dict[str, LanguageTexts]:
    """language -> texts of `rows_per_language` of its rows, drawn without replacement from all stores alike.

    The rows come from one random order of all rows: first those that have every language, which are drawn for each
    alike, so that what the texts are about is the same in all of them; then, for languages that need more, the others.
    Raises DataError as `check_texts`.
    """
    check_texts(stores, languages, rows_per_language)
    starts = np.cumsum([0, *(store.num_rows for store in stores)])
    order = KeyedPermutation(int(starts[-1]), int(words(seed, Purpose.SUBSETS, (0, 1), 1)[0]))
    drawn: dict[str, list[tuple[int, int]]] = {language: [] for language in languages}
    for complete in (True, False):
        for start in range(0, order.size, _ROWS_AT_ONCE):
            if all(len(rows) == rows_per_language for rows in drawn.values()):
                break
            piece = order(np.arange(start, min(start + _ROWS_AT_ONCE, order.size)))
            owners = np.searchsorted(starts, piece, side="right") - 1
            numbers = piece - starts[owners]
            held = _held(stores, owners, numbers, languages)
            held &= (held.all(1) == complete)[:, None]
            for column, rows in enumerate(drawn.values()):
                taken = np.flatnonzero(held[:, column])[: rows_per_language - len(rows)]
                rows += [(int(owners[i]), int(numbers[i])) for i in taken]
    return {language: _read(stores, language, rows) for language, rows in drawn.items()}


def _held(
    stores: Sequence[ParallelStore], owners: NDArray[np.int64], numbers: NDArray[np.int64], languages: Sequence[str]
) -> NDArray[np.bool_]:
    """(M, L) whether the rows `numbers` of the stores `owners`, M each, have the L languages."""
    held = np.zeros((len(owners), len(languages)), dtype=np.bool_)
    for number, store in enumerate(stores):
        own = np.flatnonzero(owners == number)
        columns = np.flatnonzero([language in store.languages for language in languages])
        held[np.ix_(own, columns)] = held_languages(
            store, numbers[own], [languages[column] for column in columns.tolist()]
        )
    return held


def _read(stores: Sequence[ParallelStore], language: str, rows: Sequence[tuple[int, int]]) -> LanguageTexts:
    return LanguageTexts(
        queries=[stores[owner].texts([row], "query", [language])[0] for owner, row in rows],
        passages=[stores[owner].texts([row], "passage", [language])[0] for owner, row in rows],
    )


@dataclass(frozen=True)
class Postprocess(ABC):
    """A layer estimated from vectors of each language; languages: two or more; rows_per_language: of each, and each
    read as query and as passage."""

    languages: Sequence[str]
    rows_per_language: int = 500

    def __post_init__(self) -> None:
        object.__setattr__(self, "languages", tuple(self.languages))  # not the configuration's own kind of list
        for language in self.languages:
            check_language(language, where="postprocess.languages")
        if len(self.languages) < 2 or len(set(self.languages)) < len(self.languages):
            raise ConfigError(f"postprocess.languages: {' '.join(self.languages)}; two or more, each once, are needed.")
        if self.rows_per_language < 1:
            raise ConfigError(f"postprocess.rows_per_language={self.rows_per_language}: at least 1.")

    def check(self, stores: Sequence[ParallelStore]) -> None:
        """Raises DataError where a language has too few rows, before anything is trained or encoded."""
        check_texts(stores, self.languages, self.rows_per_language)

    def layer(self, encode: Encode, stores: Sequence[ParallelStore], seed: int) -> PooledLayer:
        """The layer for the encoder behind `encode`, equal to the bit on all ranks; every rank must call this.

        seed decides the rows. Raises DataError for too few rows, ModelError for vectors that it cannot be fitted to.
        """
        drawn = draw_texts(stores, self.languages, rows_per_language=self.rows_per_language, seed=seed)
        queries = self._encoded(encode, [texts.queries for texts in drawn.values()], "query")
        passages = self._encoded(encode, [texts.passages for texts in drawn.values()], "passage")
        vectors = dict(zip(drawn, torch.cat([queries, passages], dim=1), strict=True))
        return distributed.on_first_rank(lambda: self.fit(vectors))

    def _encoded(self, encode: Encode, texts: Sequence[Sequence[str]], side: Side) -> Tensor:
        """(L, N, D) vectors of L languages' N texts."""
        flat = [text for own in texts for text in own]
        return check_vectors(encode(flat, side), len(flat), side, "postprocess").unflatten(0, (len(texts), -1))

    @abstractmethod
    def fit(self, vectors: Mapping[str, Tensor]) -> PooledLayer:
        """The layer for unit vectors by language, (N, D) each."""


@dataclass(frozen=True)
class Projection(Postprocess):
    """The directions in which the languages' means differ are projected out; dims: how many, None: all."""

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
    """The mean of each language is subtracted from its vectors, which tell their language themselves."""

    def fit(self, vectors: Mapping[str, Tensor]) -> PooledLayer:
        """A LanguageCentring."""
        return fit_language_centring(vectors)
