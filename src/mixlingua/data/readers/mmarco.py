"""mMARCO: MS MARCO in 14 languages, from the Hugging Face hub or a local folder, read by the library `datasets`.

Source: Bonifacio et al. 2021, arXiv 2108.13897; huggingface.co/datasets/unicamp-dl/mmarco.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mixlingua.data.readers.columns import check_row_groups
from mixlingua.data.rows import PairRow
from mixlingua.errors import ConfigError, DataError, HubError, check_whole, suggest
from mixlingua.files import cache_dir, content_hash
from mixlingua.hub import fetch_snapshot, remove_damaged
from mixlingua.reading import read_lines

logger = logging.getLogger(__name__)

VERSION = "1"
REPOSITORY = "unicamp-dl/mmarco"
TRIPLES = "data/triples.train.ids.small.tsv"  # query, relevant and irrelevant passage; the same for all languages
LANGUAGES = {
    "ar": "arabic", "de": "german", "en": "english", "es": "spanish", "fr": "french", "hi": "hindi", "id": "indonesian",
    "it": "italian", "ja": "japanese", "nl": "dutch", "pt": "portuguese", "ru": "russian", "vi": "vietnamese",
    "zh": "chinese",
}  # fmt: skip
_FOOTER_BYTES = 1 << 16
_PAIRS_AT_ONCE = 1000


class MmarcoReader:
    """A row for each query and relevant passage of the training triples, in the languages asked for.

    path: a folder laid out as the hub's parquet revision, used where it exists; else the files come from the hub
    languages: those to read, each about 3 GB to fetch
    max_negatives: the first so many irrelevant passages of a pair in the triples become its negatives
    revision: of the hub's data set
    name: of the source

    A pair lacks a language where its query or passage is missing or blank. Rows that share the query never meet in a
    batch, as both passages answer it. A build that was interrupted goes on after the last collection that was read. In
    memory are the ids alone.
    """

    def __init__(
        self,
        path: str | Path,
        languages: Sequence[str] = ("ar", "de", "en", "es", "hi", "ru", "zh"),
        max_negatives: int = 1,
        revision: str = "refs/convert/parquet",
        name: str = "mmarco",
    ) -> None:
        for language in languages:
            if language not in LANGUAGES:
                raise ConfigError(
                    f"data.sources.{name}.languages: mMARCO has no '{language}'; it has {', '.join(LANGUAGES)}."
                    f"{suggest(language, LANGUAGES)}"
                )
        if not languages:
            raise ConfigError(f"data.sources.{name}.languages is empty; name some of {', '.join(LANGUAGES)}.")
        check_whole(f"data.sources.{name}.max_negatives", max_negatives, 0)
        self.name = name
        self.languages = sorted(set(languages))
        self.max_negatives = max_negatives
        self.revision = revision
        self._folder = Path(path)
        self._cache = cache_dir() / "datasets"

    def fingerprint(self) -> str:
        """A hash of the options and of the files, so that a built store is found again without a network.

        A local folder counts by the content of its triples and of its parquet footers, the hub by its revision.
        """
        identity = self._local_identity() if self._folder.is_dir() else [REPOSITORY, self.revision]
        return content_hash("mmarco", VERSION, str(self.max_negatives), ",".join(self.languages), *identity)

    def rows(self) -> Iterator[PairRow]:
        """The rows in the order of the triples. Raises DataError where files are missing or cannot be fetched."""
        pairs = self._pairs()
        queries = {code: self._texts(f"queries-{LANGUAGES[code]}/*train*", pairs[:, 0]) for code in self.languages}
        passages = {code: self._texts(f"collection-{LANGUAGES[code]}/**", pairs[:, 1:]) for code in self.languages}
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            chunk = pairs[start : start + _PAIRS_AT_ONCE]
            texts = {code: (queries[code].get(chunk[:, :1]), passages[code].get(chunk[:, 1:])) for code in queries}
            for position, (query, relevant) in enumerate(chunk[:, :2].tolist()):
                row = PairRow(f"{query}-{relevant}", {}, {}, str(relevant), touches=(f"query {query}",))
                for code, (questions, answers) in texts.items():
                    (question,), (passage, *negatives) = questions[position], answers[position]
                    if question and passage:
                        row.queries[code], row.passages[code] = question, passage
                        if negatives := [text for text in negatives if text]:
                            row.negatives[code] = negatives
                if row.queries:
                    yield row

    def _pairs(self) -> np.ndarray:
        """(N, 2 + max_negatives) int64: query, relevant passage and irrelevant ones, -1 where there are fewer."""
        file = self._folder / TRIPLES
        if not self._folder.is_dir():
            with self._explaining(TRIPLES):
                file = fetch_snapshot(REPOSITORY, None, [TRIPLES], data=True) / TRIPLES
        logger.info("%s: reading the training triples", self.name)
        negatives_of: dict[tuple[int, int], list[int]] = {}
        for number, line in read_lines(file):
            try:
                query, relevant, irrelevant = map(int, line.split("\t"))
            except ValueError:
                raise DataError(f"{file}:{number}: expected three tab-separated ids, found {line!r}.") from None
            negatives = negatives_of.setdefault((query, relevant), [])
            if len(negatives) < self.max_negatives:
                negatives.append(irrelevant)
        matrix = np.full((len(negatives_of), 2 + self.max_negatives), -1, np.int64)
        for row, (pair, negatives) in enumerate(negatives_of.items()):
            matrix[row, : 2 + len(negatives)] = *pair, *negatives
        return matrix

    def _texts(self, folder: str, wanted: np.ndarray) -> _Texts:
        """The texts of the wanted ids in the parquet files (columns id and text) of a folder."""
        try:
            from datasets import load_dataset
        except ModuleNotFoundError as error:
            raise DataError("data=mmarco needs the library datasets: pip install 'datasets>=4,<6'.") from error
        with self._explaining(folder):
            base = self._folder
            if not base.is_dir():
                base = fetch_snapshot(REPOSITORY, self.revision, [f"{folder}/*.parquet"], data=True)
            try:
                for file in sorted(base.glob(f"{folder}/*.parquet")):
                    check_row_groups(file)
                table = load_dataset(
                    "parquet",
                    data_files=f"{base}/{folder}/*.parquet",
                    columns=["id", "text"],
                    split="train",
                    cache_dir=str(self._cache),
                )
            except Exception as error:
                if damaged := remove_damaged(base):
                    raise HubError(f"{', '.join(damaged)} was damaged and is removed; run again to fetch it") from error
                raise
            texts = _Texts(table, np.unique(wanted))
            if not len(texts):
                raise DataError(f"it has none of the ids of {TRIPLES}")
        return texts

    def _local_identity(self) -> list[str | Path]:
        files = [
            file
            for code in self.languages
            for folder in (f"queries-{LANGUAGES[code]}", f"collection-{LANGUAGES[code]}")
            for file in sorted((self._folder / folder).rglob("*.parquet"))
        ]
        # A parquet file ends in the offsets, sizes and value ranges of all its parts: a few gigabytes need no hashing.
        footers = []
        for file in files:
            with file.open("rb") as stream:
                size = stream.seek(0, 2)
                stream.seek(max(0, size - _FOOTER_BYTES))
                footers.append(content_hash(file.relative_to(self._folder).as_posix(), str(size), stream.read()))
        next(read_lines(self._folder / TRIPLES))
        return [self._folder / TRIPLES, *footers]

    @contextmanager
    def _explaining(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # datasets and the hub's client raise their own errors, those of HTTP and OSErrors
            raise DataError(
                f"data.sources.{self.name}: cannot read {what} of {self._folder}, or of {REPOSITORY}@{self.revision} "
                f"where there is no such folder ({type(error).__name__}: {error}). What is finished is kept; to go on: "
                "run again where there is a network; or set HF_ENDPOINT to a mirror, or HTTPS_PROXY; or choose other "
                f"data, such as data=ntrex; or bring the files to {self._folder}: {TRIPLES} and, for each language, "
                "collection-german/*.parquet and queries-german/train/*.parquet with columns id and text, as in the "
                "repository."
            ) from error


class _Texts:
    """Texts by id, read from the memory-mapped files of a `datasets.Dataset` as they are asked for."""

    def __init__(self, table: Any, wanted: np.ndarray) -> None:
        self._table = table
        ids = table.data.column("id").cast("int64").to_numpy()
        rows = np.flatnonzero(np.isin(ids, wanted))
        self._rows = rows[np.argsort(ids[rows], kind="stable")]
        self._ids = ids[self._rows]

    def __len__(self) -> int:
        return len(self._ids)

    def get(self, ids: np.ndarray) -> list[list[str | None]]:
        """For each row of ids, (N, K), its texts; None for an id that there is not, and for a blank text."""
        positions = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        known = self._ids[positions] == ids
        rows, inverse = np.unique(self._rows[positions[known]], return_inverse=True)
        texts = [text.strip() if text else "" for text in self._table[rows.tolist()]["text"]] if len(rows) else []
        found = np.full(ids.shape, None, object)
        found[known] = [texts[index] or None for index in inverse]
        return found.tolist()
