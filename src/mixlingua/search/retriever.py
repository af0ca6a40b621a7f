"""Searching an index: `Retriever.load(DIR).search("Wo liegt Kairo?", k=10)`.

A result is a document, with the best of its windows. Results may be restricted to a language, or made fair to all.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixlingua.distributed import device_of
from mixlingua.errors import ConfigError, DataError, check_whole
from mixlingua.model.encoder import BiEncoder
from mixlingua.search.encoding import Encoding
from mixlingua.search.engines import FaissSettings
from mixlingua.search.folder import IndexFolder
from mixlingua.search.milvus import MilvusSettings
from mixlingua.search.settings import IndexSettings, Vectors

NEIGHBOURS = 50  # documents whose mean score is the level of a language in a fair list, as of the hub correction


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

    def __init__(self, folder: IndexFolder, encoding: Encoding) -> None:
        """Use `load`, unless both are there already."""
        self.folder, self.encoding = folder, encoding
        self.settings = settings_of(folder)
        folder.hold()
        self.engine = self.settings.open(folder)

    @classmethod
    def load(
        cls, folder: str | Path, *, encoder: BiEncoder | None = None, device: str = "cpu", token_budget: int = 2048
    ) -> Self:
        """Open the run folder of an `action=index`.

        encoder: None: the one that index.json names. device, token_budget: of encoding queries. Raises ConfigError for
        a device that is not there, DataError where the folder holds no index or a damaged one, ModelError where the
        encoder cannot be loaded or is not the one that the index was built with.
        """
        place = device_of(device, "device")
        while True:
            opened = IndexFolder.open(folder)
            encoding = Encoding.of_index(opened, encoder, token_budget=token_budget)
            encoding.encoder.to(place)
            try:
                return cls(opened, encoding)
            except DataError:  # a change of the index may have removed files of it while the encoder was loaded
                if IndexFolder.open(folder).manifest == opened.manifest:
                    raise

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
        return self.encoding(texts, "query")

    def encode_passages(self, texts: Sequence[str]) -> Tensor:
        """(N, D) float32 unit rows on the CPU. Raises ModelError where one is not finite."""
        return self.encoding(texts, "passage")

    @overload
    def search(  # type: ignore[overload-overlap]  # a text is a sequence of texts, to mypy
        self, query: str, k: int = ..., language: str | None = ..., fair: bool = ...
    ) -> list[Result]: ...

    @overload
    def search(
        self, query: Sequence[str], k: int = ..., language: str | None = ..., fair: bool = ...
    ) -> list[list[Result]]: ...

    def search(
        self, query: str | Sequence[str], k: int = 10, language: str | None = None, fair: bool = False
    ) -> list[Result] | list[list[Result]]:
        """The k documents that score highest, highest first; a list of lists where several queries are given.

        language: of the documents; None: any. There are k results wherever the index has so many documents. fair: as
        `fair_ranking` says. Of a query that is longer than the model reads, the beginning counts (`cut_note`). Raises
        ConfigError for a k below 1, an empty query or a fair list in one language, DataError for a language that the
        index does not have.
        """
        if not isinstance(query, str | Sequence):
            raise ConfigError(f"query={query!r}: a text, or a list of texts, is needed.")
        queries = [query] if isinstance(query, str) else list(query)
        check_search(queries, k, language, fair)
        if not queries:
            return []
        results = self.search_vectors(self.encode_queries(queries).numpy(), k, language, fair)
        return results[0] if isinstance(query, str) else results

    def cut_note(self, query: str) -> str | None:
        """That a query is longer than the model reads, with the numbers of tokens; None where it is read whole."""
        return self.encoding.cut_note(query, "query")

    def search_vectors(
        self, queries: Vectors, k: int, language: str | None = None, fair: bool = False
    ) -> list[list[Result]]:
        """What `search` gives for the (Q, D) vectors of queries."""
        self.folder.of_language(language)  # says which languages there are, where this is none of them
        vectors = self.settings.transforms.queries(torch.from_numpy(queries)).numpy()
        if not fair or not self.languages:
            return [self._results(best) for best in self._best(vectors, k, language)]
        by_language = [self._best(vectors, max(k, NEIGHBOURS), name) for name in self.languages]
        return [self._results(fair_ranking(of_query, k)) for of_query in zip(*by_language, strict=True)]

    def _best(self, vectors: Vectors, k: int, language: str | None) -> list["Ranking"]:
        """The k best documents of each query: the scores and rows of their best windows."""
        wanted = min(k, self.count if language is None else self.folder.num_documents[language])
        best: list[Ranking] = [[] for _ in vectors]
        missing, count = list(range(len(vectors))), wanted
        while missing and wanted:
            scores, rows = self.engine.search(vectors[missing], count, language)
            for number, *of_query in zip(missing, scores, rows, strict=True):
                best[number] = self._by_document(*of_query)[:wanted]
            missing = [number for number in missing if len(best[number]) < wanted]
            count *= 2  # several windows of one document were among them
        return best

    def _by_document(self, scores: Vectors, rows: NDArray[np.int64]) -> "Ranking":
        """The first row of each document."""
        found = rows[rows >= 0].tolist()
        first: dict[str, tuple[float, int]] = {}
        for document, score, row in zip(self.folder.document_ids(found), scores.tolist(), found, strict=False):
            first.setdefault(document, (score, row))
        return list(first.values())

    def _results(self, ranking: "Ranking") -> list[Result]:
        results = []
        for score, position in ranking:
            row = self.folder.row(position)
            results.append(Result(row.document, score, row.language, row.title, row.text))
        return results


Ranking = list[tuple[float, int]]  # scores, highest first, and rows


def fair_ranking(by_language: Sequence[Ranking], k: int) -> Ranking:
    """The k documents that stand out most in their own language, with the scores that they have.

    by_language: the best documents of each language, best first. A document is ranked by its score minus the mean score
    of the first `NEIGHBOURS` of its language, so that a language whose documents all score a little higher does not
    fill the list.
    Source: the query's half of CSLS (Conneau et al. 2018, arXiv 1710.04087, eq. 2), language by language.
    """
    ranked: list[tuple[float, float, int]] = []
    for ranking in by_language:
        level = float(np.mean([score for score, _ in ranking[:NEIGHBOURS]]))
        ranked += [(score - level, score, row) for score, row in ranking[:k]]
    ranked.sort(key=lambda entry: (-entry[0], entry[2]))
    return [(score, row) for _, score, row in ranked[:k]]


def check_search(queries: Sequence[object], k: object, language: object, fair: object) -> None:
    """Raise ConfigError where such a search makes no sense, whatever the index."""
    check_whole("k", k, 1)
    for text in queries:
        if not isinstance(text, str):
            raise ConfigError(f"query={text!r}: it must be a text; say what is looked for.")
        if not text.strip():
            raise ConfigError("query: it is empty; say what is looked for.")
    if not isinstance(fair, bool):
        raise ConfigError(f"fair={fair!r}: must be true or false.")
    if language is not None and not isinstance(language, str):
        raise ConfigError(f"language={language!r}: must be a code such as 'de', or none for all languages.")
    if fair and language is not None:
        raise ConfigError(f"fair=true with language={language}: a list in one language cannot be fair to others.")


KINDS: dict[str, type[IndexSettings]] = {kind.KIND: kind for kind in (FaissSettings, MilvusSettings)}


def settings_of(folder: IndexFolder) -> IndexSettings:
    """The settings that an index was built with. Raises DataError where they are not understood."""
    record = folder.manifest.index
    try:
        return KINDS[record["kind"]].of_record(record)
    except (KeyError, TypeError) as error:
        raise DataError(f"{folder.path}: the settings in index.json are damaged ({error}). Build it again.") from error
