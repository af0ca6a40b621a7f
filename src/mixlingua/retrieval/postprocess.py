"""Layers that are fitted to an encoder's vectors of unlabelled text and put after its others."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixlingua.data.protocols import Side
from mixlingua.data.store import ParallelStore
from mixlingua.errors import ConfigError
from mixlingua.languages import check_language
from mixlingua.model import distributed
from mixlingua.model.encoder import PooledLayer
from mixlingua.model.language_centring import fit_language_centring
from mixlingua.model.language_subspace import language_means, language_subspace, projection
from mixlingua.retrieval.encode import Encode, check_vectors
from mixlingua.retrieval.language_texts import check_texts, draw_texts


@dataclass(frozen=True)
class Postprocess(ABC):
    """A layer estimated from vectors of each language; languages: two or more; rows_per_language: of each, and each
    read as query and as passage."""

    languages: Sequence[str]
    rows_per_language: int

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

    dims: int | None

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
