"""The first part of building an index: documents are read, told their language, cut into windows and stored as rows."""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from mixlingua.data.tokenizer import PairTokenizer
from mixlingua.errors import DataError
from mixlingua.files import write_json
from mixlingua.reading import read_json
from mixlingua.retrieval.corpus import repeats
from mixlingua.search.documents import Corpus, Detector, Document
from mixlingua.search.folder import IndexFolder, Row, write_rows
from mixlingua.search.settings import IndexSettings
from mixlingua.search.windows import titled

Progress = Callable[[str, int, int | None], None]  # stage, done, total where it is known
_DOCUMENTS_AT_ONCE = 256
_NAMED = 3  # examples of documents that are left out


@dataclass(frozen=True)
class Reading:
    """What reading a corpus found. key: of the corpus and all that decides its windows. shards: rows of each.

    languages: documents in each. num_detected: documents whose language was detected. left_out: how many are empty,
    with the places of some.
    """

    key: str
    shards: tuple[int, ...]
    num_documents: int
    num_tokens: int
    languages: Mapping[str, int]
    num_detected: int
    left_out: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_windows(self) -> int:
        """Windows in all."""
        return sum(self.shards)

    def save(self, file: Path) -> None:
        """Write it as JSON."""
        write_json(file, asdict(self))

    @classmethod
    def of_file(cls, file: Path, key: str) -> Self | None:
        """What `save` wrote, None where the file is not there or is of other documents."""
        if not file.exists():
            return None
        known = read_json(file)
        return cls(**{**known, "shards": tuple(known["shards"])}) if known.get("key") == key else None


class Reader:
    """Reads a corpus once, into the shards of a folder that follow those of the index that is there."""

    def __init__(
        self, corpus: Corpus, settings: IndexSettings, tokenizer: PairTokenizer, folder: IndexFolder, progress: Progress
    ) -> None:
        self.corpus, self.settings, self.tokenizer, self.folder = corpus, settings, tokenizer, folder
        self.progress = progress
        self._counts: Counter[str] = Counter()
        self._languages: Counter[str] = Counter()
        self._empty: list[str] = []
        self._shards: list[int] = []

    def read(self, key: str) -> Reading:
        """Write every row. Raises DataError for documents that cannot be read, share an id or have all no text."""
        size = self.settings.shard_size
        rows: list[Row] = []
        self.folder.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.folder.path) as spool:
            for document, of_document in self._cut():
                spool.write(hashlib.blake2b(document.id.encode(), digest_size=16).digest())
                self._languages[str(document.language)] += 1
                rows += of_document
                while len(rows) >= size:
                    self._write(rows[:size])
                    del rows[:size]
            if rows:
                self._write(rows)
            self._refuse_repeated_ids(spool)
        counts = self._counts
        if not self._shards:
            raise DataError(f"corpus: no document with a text; {counts['empty']:,} are empty. An index needs one.")
        left_out = {"empty": counts["empty"], "examples": self._empty} if self._empty else {}
        return Reading(
            key, tuple(self._shards), counts["documents"], counts["tokens"], dict(self._languages), counts["detected"],
            left_out,
        )  # fmt: skip

    def _cut(self) -> Iterator[tuple[Document, list[Row]]]:
        """Each document that has a text, with its language, and its rows; counted."""
        detector: Detector | None = None
        documents = self.corpus.documents()
        while batch := list(islice(documents, _DOCUMENTS_AT_ONCE)):
            kept = []
            for document in batch:
                if not titled(document.title, document.text):
                    self._counts["empty"] += 1
                    self._empty += [document.where] if len(self._empty) < _NAMED else []
                    continue
                if document.language is None:
                    detector = detector or self.corpus.detector()
                    document = document._replace(language=detector(document))
                    self._counts["detected"] += 1
                kept.append(document)
            rows: list[list[Row]] = []
            for window in self.settings.windows.cut(kept, self.tokenizer):
                of = window.document
                rows += [[]] if window.number == 0 else []
                rows[-1].append(Row(of.id, str(of.language), of.title, window.text, window.number))
                self._counts["tokens"] += window.num_tokens
            self._counts["documents"] += len(kept)
            yield from zip(kept, rows, strict=True)
            self.progress("reading", self._counts["documents"], None)

    def _write(self, rows: Sequence[Row]) -> None:
        write_rows(self.folder.rows_file(len(self.folder.manifest.shards) + len(self._shards)), rows)
        self._shards.append(len(rows))

    def _refuse_repeated_ids(self, spool: IO[bytes]) -> None:
        def digests() -> Iterator[NDArray[np.uint64]]:
            spool.seek(0)
            while data := spool.read(1 << 22):
                yield np.frombuffer(data, np.uint64).reshape(-1, 2)

        spool.flush()
        if not self._counts["documents"]:
            return
        pairs = repeats(digests, self._counts["documents"])
        if len(pairs):
            later, first = pairs[0].tolist()
            kept = (document for document in self.corpus.documents() if titled(document.title, document.text))
            found = {number: document for number, document in enumerate(islice(kept, later + 1)) if number in pairs[0]}
            raise DataError(
                f"{found[later].where}: duplicate id '{found[later].id}', first seen at {found[first].where} "
                f"({len(pairs)} in all). Every document needs an id of its own."
            )
