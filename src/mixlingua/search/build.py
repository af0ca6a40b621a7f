"""Making an index, and adding to one: documents are read and cut, encoded shard by shard, and put into an engine.

A stopped build goes on where it was: documents are read again only where the reading had not ended, and shards whose
vectors are there are not encoded again. Several processes share the encoding without talking to each other: each takes
every n-th shard, and the first one waits for the files of the others, which must therefore be on a common disk.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from mixlingua.errors import DataError, StorageError
from mixlingua.files import atomic_write, content_hash, read_json
from mixlingua.model.encoder import BiEncoder
from mixlingua.retrieval.corpus import repeats
from mixlingua.retrieval.encode import encode
from mixlingua.retrieval.shards import write_vectors
from mixlingua.search.documents import Corpus, Detector, Document
from mixlingua.search.folder import IndexFolder, Manifest, Row, write_rows
from mixlingua.search.settings import IndexSettings
from mixlingua.search.windows import titled

logger = logging.getLogger(__name__)

_READING = "reading.json"  # says that all documents of a build were read, and what they are
_DOCUMENTS_AT_ONCE = 256
_NAMED = 3  # examples of documents that are left out
_SAMPLE = 64  # texts by which the rate of encoding is measured
_POLL = 0.5  # seconds between two looks for the files of another process
Progress = Callable[[str, int, int | None], None]  # stage, done, total where it is known


@dataclass(frozen=True)
class Encoding:
    """How texts become vectors. model: what index.json names it by: arguments, seed, fingerprint and precision."""

    encoder: BiEncoder
    model: Mapping[str, Any]
    token_budget: int
    precision: str

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, D) float32 vectors of passages. Raises DataError where one is not finite."""
        vectors = encode(self.encoder, texts, "passage", token_budget=self.token_budget, precision=self.precision)
        if not torch.isfinite(vectors).all():
            raise DataError(
                "index: vectors hold NaN or infinite values; the model has diverged or overflows in this precision. "
                "Use an earlier checkpoint, or evaluation.precision=32-true."
            )
        return vectors


@dataclass(frozen=True)
class Reading:
    """What reading a corpus found. key: of the corpus and all that decides its windows. shards: rows of each."""

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


@dataclass(frozen=True)
class Cost:
    """What there is to do before anything is encoded. rate: tokens a second and process, measured on `sample` texts.

    num_bytes: that are written; free: on the disk.
    """

    num_windows: int
    num_done: int
    num_tokens: int
    rate: float
    sample: int
    processes: int
    num_bytes: int
    free: int

    @property
    def seconds(self) -> float:
        """How long encoding what is missing takes at that rate."""
        missing = self.num_tokens * (1 - self.num_done / max(self.num_windows, 1))
        return missing / self.rate / self.processes


def share() -> tuple[int, int]:
    """The position of this process among those that build an index, and their number: of torchrun or of SLURM."""
    for position, number in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if position in os.environ and number in os.environ:
            return int(os.environ[position]), int(os.environ[number])
    return 0, 1


class Build:
    """The documents of a corpus on their way into a folder, which may hold an index already."""

    def __init__(
        self,
        base: IndexFolder,
        corpus: Corpus,
        settings: IndexSettings,
        encoding: Encoding,
        *,
        detector: Callable[[], Detector],
        progress: Progress,
    ) -> None:
        """base: the index that is added to; one without shards for a new one."""
        self.base, self.corpus, self.settings, self.encoding = base, corpus, settings, encoding
        self.detector, self.progress = detector, progress
        self.first_shard = len(base.manifest.shards)
        self.position, self.processes = share()

    def read(self) -> Reading:
        """The documents as rows on disk, read by the first process. Raises DataError for what is wrong with them."""
        key = content_hash(
            self.corpus.identity(), repr(self.settings.windows), str(self.settings.shard_size), str(self.first_shard),
            str(self.encoding.model["fingerprint"]),
        )  # fmt: skip
        file = self.base.path / _READING
        if self.position:
            _wait(lambda: file.exists() and read_json(file)["key"] == key)
        if file.exists() and (known := read_json(file))["key"] == key:
            return Reading(**{**known, "shards": tuple(known["shards"])})
        file.unlink(missing_ok=True)
        for folder in ("rows", "vectors", "searched"):
            for path in (self.base.path / folder).glob("*"):
                if path.stem.isdigit() and int(path.stem) >= self.first_shard:
                    path.unlink()  # of a build of other documents that was stopped
        reading = self._read(key)
        with atomic_write(file) as partial:
            partial.write_text(json.dumps(asdict(reading), ensure_ascii=False), encoding="utf-8")
        return reading

    def _read(self, key: str) -> Reading:
        counts: Counter[str] = Counter()
        languages: Counter[str] = Counter()
        empty: list[str] = []
        shards: list[int] = []
        rows: list[Row] = []
        self.base.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.base.path) as spool:
            for document, windows in self._cut(counts, empty):
                spool.write(hashlib.blake2b(document.id.encode(), digest_size=16).digest())
                languages[document.language or ""] += 1
                rows += windows
                while len(rows) >= self.settings.shard_size:
                    self._write(rows[: self.settings.shard_size], shards)
                    del rows[: self.settings.shard_size]
            if rows:
                self._write(rows, shards)
            self._refuse_repeated_ids(spool, counts["documents"])
        if not shards:
            raise DataError(
                f"corpus: no document with a text ({counts['empty']} are empty). An index needs at least one."
            )
        left_out = {"empty": counts["empty"], "examples": empty} if counts["empty"] else {}
        return Reading(key, tuple(shards), counts["documents"], counts["tokens"], dict(languages), counts["detected"],
                       left_out)  # fmt: skip

    def _cut(self, counts: Counter[str], empty: list[str]) -> Iterator[tuple[Document, list[Row]]]:
        """Each document that has a text, with its language, and its rows; counted."""
        detect: Detector | None = None
        documents = self.corpus.documents()
        while batch := list(islice(documents, _DOCUMENTS_AT_ONCE)):
            kept = []
            for document in batch:
                if not titled(document.title, document.text):
                    counts["empty"] += 1
                    empty += [document.where] if len(empty) < _NAMED else []
                    continue
                if document.language is None:
                    detect = detect or self.detector()
                    document = document._replace(language=detect(document))
                    counts["detected"] += 1
                kept.append(document)
            rows: dict[int, list[Row]] = {number: [] for number in range(len(kept))}
            number = -1
            for window in self.settings.windows.cut(kept, self.encoding.encoder.tokenizer):
                number += window.number == 0
                rows[number].append(
                    Row(
                        window.document.id,
                        str(window.document.language),
                        window.document.title,
                        window.text,
                        window.number,
                    )
                )
                counts["tokens"] += window.num_tokens
            counts["documents"] += len(kept)
            yield from zip(kept, rows.values(), strict=True)
            self.progress("reading", counts["documents"], None)

    def _write(self, rows: Sequence[Row], shards: list[int]) -> None:
        write_rows(self.base.rows_file(self.first_shard + len(shards)), rows)
        shards.append(len(rows))

    def _refuse_repeated_ids(self, spool: IO[bytes], num_documents: int) -> None:
        def digests() -> Iterator[np.ndarray]:
            spool.seek(0)
            while data := spool.read(1 << 22):
                yield np.frombuffer(data, np.uint64).reshape(-1, 2)

        spool.flush()
        pairs = repeats(digests, num_documents) if num_documents else ()
        if len(pairs):
            later, first = pairs[0].tolist()
            kept = (doc for doc in self.corpus.documents() if titled(doc.title, doc.text))
            found = {number: doc for number, doc in enumerate(islice(kept, later + 1)) if number in (first, later)}
            raise DataError(
                f"{found[later].where}: duplicate id '{found[later].id}', first seen at {found[first].where} "
                f"({len(pairs)} in all). Every document needs an id of its own."
            )

    def cost(self, reading: Reading) -> Cost:
        """What encoding takes, by encoding some texts. Raises StorageError where the disk has too little room."""
        folder = self._with(reading)
        new = range(self.first_shard, self.first_shard + len(reading.shards))
        done = sum(folder.manifest.shards[shard] for shard in new if folder.vectors_file(shard).exists())
        rng = np.random.default_rng(0)
        first, last = int(folder.starts[self.first_shard]), folder.num_rows
        sample = rng.choice(np.arange(first, last), min(_SAMPLE, last - first), replace=False)
        texts = [titled(row.title, row.text) for row in map(folder.row, sample.tolist())]
        self.encoding(texts[:4])  # the first call prepares what later ones have
        started = time.monotonic()
        self.encoding(texts)
        seconds = max(time.monotonic() - started, 1e-6)
        tokens = sum(map(len, self.encoding.encoder.tokenizer.encode(texts, "passage")))
        dim = self.encoding.encoder.embedding_dim
        needed = 4 * dim * (reading.num_windows - done) + self.settings.engine_bytes(folder.num_rows, dim)
        free = shutil.disk_usage(self.base.path).free
        if needed > free:
            raise StorageError(
                f"{self.base.path}: the index needs {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free there. "
                "Free some space, or choose a folder on another disk (hydra.run.dir)."
            )
        return Cost(reading.num_windows, done, reading.num_tokens, tokens / seconds, len(texts), self.processes, needed,
                    free)  # fmt: skip

    def encode(self, reading: Reading) -> IndexFolder:
        """Encode this process's share of the missing shards. Returns the folder with all rows, not yet committed."""
        folder = self._with(reading)
        new = range(self.first_shard, self.first_shard + len(reading.shards))
        mine = [shard for shard in new if shard % self.processes == self.position]
        total = sum(folder.manifest.shards[shard] for shard in mine)
        done = 0
        for shard in mine:
            if not folder.vectors_file(shard).exists():
                table = folder.table(shard)
                texts = [
                    titled(title, text)
                    for title, text in zip(
                        table.column("title").to_pylist(), table.column("text").to_pylist(), strict=True
                    )
                ]
                write_vectors(folder.vectors_file(shard), self.encoding(texts))
            done += folder.manifest.shards[shard]
            self.progress("encoding", done, total)
        return folder

    def wait_for_others(self, folder: IndexFolder) -> None:
        """Return once the vectors of every shard are there."""
        _wait(lambda: all(folder.vectors_file(shard).exists() for shard, _ in folder.blocks()))

    def finish(self, folder: IndexFolder, about: Mapping[str, Any]) -> IndexFolder:
        """Put the vectors into the engine, and commit the index."""
        finished = folder.changed(about=about)
        finished.commit()
        (self.base.path / _READING).unlink(missing_ok=True)
        return finished

    def _with(self, reading: Reading) -> IndexFolder:
        return self.base.changed(shards=(*self.base.manifest.shards, *reading.shards))


def empty_index(path: Path, settings: IndexSettings, encoding: Encoding) -> IndexFolder:
    """An index without documents, to be built."""
    manifest = Manifest((), encoding.encoder.embedding_dim, encoding.model, settings.record())
    return IndexFolder(path, manifest)


def _wait(ready: Callable[[], bool]) -> None:
    while not ready():
        time.sleep(_POLL)
