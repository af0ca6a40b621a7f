"""Searching an index: `Retriever.load(DIR).search("Wo liegt Kairo?", k=10)`.

A result is a document, with the best of its windows. Results may be restricted to a language, or made fair to all.
"""

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixlingua.data.rows import Side
from mixlingua.errors import ConfigError, DataError, ModelError
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.retrieval.encode import encode, encode_checked
from mixlingua.search.engines import Engine, Exact
from mixlingua.search.folder import IndexFolder

NEIGHBOURS = 10  # documents whose mean score is the level of a language, in a fair list


@dataclass(frozen=True)
class Result:
    """A document that was found. score: of its best window; text: of that window."""

    id: str
    score: float
    language: str
    title: str
    text: str

    def as_dict(self) -> dict[str, Any]:
        """The fields, as JSON holds them."""
        return asdict(self)


class Retriever:
    """An index with the encoder that it was built with. Several threads may search it at once."""

    def __init__(
        self, folder: IndexFolder, encoder: BiEncoder, engine: Engine, *, token_budget: int, precision: str
    ) -> None:
        """Use `load`. encoder: gives the vectors of the index; token_budget, precision: as `encode` takes them."""
        self.folder, self.encoder, self.engine = folder, encoder, engine
        self.token_budget, self.precision = token_budget, precision
        self._encoding = threading.Lock()  # a fast tokenizer serves one thread at a time

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        encoder: BiEncoder | None = None,
        device: str = "cpu",
        token_budget: int = 2048,
        precision: str | None = None,
    ) -> Self:
        """Open the run folder of an `action=index`.

        encoder: None: the one that index.json names. device, token_budget, precision: of encoding queries; precision
        None: as the index was built. Raises DataError where the folder holds no index or a damaged one, ModelError
        where the encoder cannot be loaded or is not the one that the index was built with.
        """
        opened = IndexFolder.open(folder)
        model = opened.manifest.model
        if encoder is None:
            encoder = load_encoder(opened)
        if encoder.fingerprint() != model["fingerprint"]:
            raise ModelError(
                f"index={opened.path}: it was built with {model['arguments']['name_or_path']} "
                f"(weights {model['fingerprint'][:12]}), but the weights given are {encoder.fingerprint()[:12]}. "
                "Vectors of different models cannot be compared. Search with the index's model, or build it again."
            )
        encoder.to(torch.device(device))
        return cls(
            opened,
            encoder,
            Exact(opened, "vectors"),
            token_budget=token_budget,
            precision=precision or model["precision"],
        )

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that documents of the index are in, sorted."""
        return self.folder.languages

    @property
    def count(self) -> int:
        """How many documents can be found."""
        return sum(self.folder.num_documents.values())

    @property
    def model_name(self) -> str:
        """The name, folder or hub id of the encoder."""
        return str(self.folder.manifest.model["arguments"]["name_or_path"])

    def encode_queries(self, texts: Sequence[str]) -> Tensor:
        """(N, D) float32 unit rows on the CPU. Raises ModelError where one is not finite."""
        return self._encoded(texts, "query")

    def encode_passages(self, texts: Sequence[str]) -> Tensor:
        """(N, D) float32 unit rows on the CPU. Raises ModelError where one is not finite."""
        return self._encoded(texts, "passage")

    def _encoded(self, texts: Sequence[str], side: Side) -> Tensor:
        for text in texts:
            try:
                text.encode("utf-8")
            except UnicodeEncodeError as error:
                raise DataError(
                    f"query {text!r}: half of a surrogate pair at character {error.start}, which is no character. "
                    "Remove it."
                ) from error
        with self._encoding:
            return encode_checked(self, list(texts), side, "search")

    # `encode_checked` asks for an Encode, which an encoder with its settings is.
    @property
    def fingerprint(self) -> str:
        """Of the encoder."""
        return str(self.folder.manifest.model["fingerprint"])

    def __call__(self, texts: Sequence[str], side: Side) -> Tensor:
        """The vectors of texts, unchecked."""
        return encode(self.encoder, texts, side, token_budget=self.token_budget, precision=self.precision)

    @overload
    def search(self, query: str, k: int = ..., language: str | None = ..., fair: bool = ...) -> list[Result]: ...

    @overload
    def search(
        self, query: Sequence[str], k: int = ..., language: str | None = ..., fair: bool = ...
    ) -> list[list[Result]]: ...

    def search(
        self, query: str | Sequence[str], k: int = 10, language: str | None = None, fair: bool = False
    ) -> list[Result] | list[list[Result]]:
        """The k documents that score highest, highest first; a list of lists where several queries are given.

        language: of the documents; None: any. There are k results wherever the index has so many documents. fair: see
        `fair`. Raises ConfigError for a k below 1 and an empty query, DataError for a language that the index has not.
        """
        queries = [query] if isinstance(query, str) else list(query)
        _check(queries, k, language, fair)
        vectors = self.encode_queries(queries).numpy() if queries else np.zeros((0, 1), np.float32)
        results = self._fair(vectors, k) if fair else self.search_vectors(vectors, k, language)
        return results[0] if isinstance(query, str) else results

    def search_vectors(self, queries: NDArray[np.float32], k: int, language: str | None = None) -> list[list[Result]]:
        """The k documents that score highest for each of (Q, D) query vectors."""
        allowed = self.folder.of_language(language)
        wanted = min(
            k, sum(self.folder.num_documents.values()) if language is None else self.folder.num_documents[language]
        )
        count = k
        pending = {number: queries[number] for number in range(len(queries))}
        results: dict[int, list[Result]] = {}
        while pending:
            found = self.engine.search(np.stack(list(pending.values())), count, allowed, language)
            for number, scores, rows in zip(list(pending), *found, strict=True):
                best = self._documents(scores, rows, wanted)
                if len(best) >= wanted:
                    results[number] = best
                    del pending[number]
            count *= 2
        return [results[number] for number in range(len(queries))]

    def _fair(self, queries: NDArray[np.float32], k: int) -> list[list[Result]]:
        """The k documents that stand out most in their own language, with the scores that they have.

        A document of language l is ranked by its score minus the mean score of the query's `NEIGHBOURS` best documents
        of l. So a language whose documents all score a little higher does not fill the list.
        Source: the query's half of CSLS (Conneau et al. 2018, arXiv 1710.04087, eq. 2), language by language.
        """
        ranked: list[list[tuple[float, Result]]] = [[] for _ in queries]
        for language in self.languages:
            for of_query, results in zip(
                ranked, self.search_vectors(queries, max(k, NEIGHBOURS), language), strict=True
            ):
                level = float(np.mean([result.score for result in results[:NEIGHBOURS]]))
                of_query += [(result.score - level, result) for result in results[:k]]
        return [[result for _, result in sorted(of_query, key=lambda pair: -pair[0])[:k]] for of_query in ranked]

    def _documents(self, scores: NDArray[np.float32], rows: NDArray[np.int64], count: int) -> list[Result]:
        """The first `count` documents among rows, each with its best window."""
        ids = self.folder.document_ids(rows[rows >= 0].tolist())
        first = {}
        for position, document in enumerate(ids):
            first.setdefault(document, position)
        results = []
        for document, position in list(first.items())[:count]:
            row = self.folder.row(int(rows[position]))
            results.append(Result(document, float(scores[position]), row.language, row.title, row.text))
        return results


def _check(queries: Sequence[str], k: int, language: str | None, fair: bool) -> None:
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ConfigError(f"k={k}: must be a whole number of 1 or more.")
    if any(not isinstance(text, str) or not text.strip() for text in queries):
        raise ConfigError("query: it is empty; say what is looked for.")
    if fair and language is not None:
        raise ConfigError(f"fair=true with language={language}: a list in one language cannot be fair to others.")


def load_encoder(folder: IndexFolder) -> BiEncoder:
    """The encoder that an index names. Raises ModelError where it cannot be loaded."""
    model = folder.manifest.model
    return PretrainedEncoder(**model["arguments"]).load(model["seed"])
