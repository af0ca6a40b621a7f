"""How a parallel store is made: from a reader, once, and cached by what its files contain.

`build_store` is what training calls; `StoreWriter` writes the files that `data/store.py` describes, in the memory of
one record batch.
"""

import logging
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mixlingua.data.groups import same_texts
from mixlingua.data.rows import PairRow, Reader, id_key, query_key, row_keys, text_key, unit_interval
from mixlingua.data.store import FORMAT_VERSION, IDS, SIDES, TEXTS, ParallelStore, paired
from mixlingua.errors import DataError
from mixlingua.files import atomic_folder, content_hash, lock, remove_partial, write_json
from mixlingua.sampling.rows import conflict_rate

log = logging.getLogger(__name__)


def build_store(reader: Reader, cache_root: str | Path, *, progress: bool = True) -> ParallelStore:
    """The store of a reader's rows.

    It is built under cache_root once and found again as long as the files' content and the reader's options stay the
    same; one that is damaged is built again. All languages are kept, whichever are trained on. Raises DataError for bad
    files.
    """
    fingerprint = content_hash(str(FORMAT_VERSION), reader.name, reader.fingerprint())
    folder = Path(cache_root) / "stores" / f"{reader.name}-{fingerprint[:16]}"
    try:
        return ParallelStore(folder)
    except DataError:  # not there yet, damaged, or about to be written by another process
        with lock(folder):
            if folder.exists():
                try:
                    return ParallelStore(folder)
                except DataError as error:
                    log.warning("%s Building it again.", error)
                    shutil.rmtree(folder)
            remove_partial(folder)
            rows = reader.rows()
            # A reader that has to fetch and prepare does so before its first row, and shows its own progress.
            first = list(islice(rows, 1))
            columns = SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
            with Progress(*columns, disable=not progress, transient=True) as bar:
                counted = bar.track(chain(first, rows), description=f"reading {reader.name}")
                return write_store(folder, counted, name=reader.name, fingerprint=fingerprint)


def write_store(path: str | Path, rows: Iterable[PairRow], *, name: str, fingerprint: str) -> ParallelStore:
    """Write rows to a new store as they come, and open it. The folder appears at `path` once it is complete.

    Raises DataError where there are no rows.
    """
    with (
        atomic_folder(path, mark="store.json") as folder,
        StoreWriter(folder, name=name, fingerprint=fingerprint) as writer,
    ):
        for row in rows:
            writer.add(row)
        writer.finish()
    return ParallelStore(path)


MAX_LANGUAGES = 64  # one bit each in the coverage
_RAW_FILES = ("keys.raw", "key_counts.raw", "coverage.raw")  # written row by row


class StoreWriter:
    """Collects rows into a folder that `ParallelStore` opens; nothing is valid before `finish`.

    A context manager, which closes the files. A language may appear at any row: its file then starts with empty
    batches, so that all files stay aligned.
    """

    def __init__(self, folder: Path, *, name: str, fingerprint: str, batch_rows: int = 2048) -> None:
        self._folder, self._name, self._fingerprint, self._batch_rows = folder, name, fingerprint, batch_rows
        self._pending: list[PairRow] = []
        self._num_batches = 0
        self._rows_per_language: dict[str, int] = {}
        self._min_negatives: int | None = None
        self._is_translations = True  # until a row comes whose query is not its passage
        self._has_negatives = self._has_scores = False
        self._open_files = ExitStack()
        self._arrow_files: dict[str, pa.RecordBatchFileWriter] = {}
        folder.mkdir(exist_ok=True)
        self._raw_files = [self._open_files.enter_context((folder / file).open("wb")) for file in _RAW_FILES]
        self.num_rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open_files.close()

    def add(self, row: PairRow) -> None:
        """Append a row. Raises DataError where the store would hold more than 64 languages."""
        self._pending.append(row)
        self._is_translations = self._is_translations and row.queries == row.passages
        self.num_rows += 1
        if len(self._pending) == self._batch_rows:
            self._flush()

    def finish(self) -> None:
        """Write what is pending, the keys, the coverage and the metadata. Raises DataError where no row was added."""
        if not self.num_rows:
            raise DataError(f"source '{self._name}' gave no rows. Check its files and options.")
        if self._pending:
            self._flush()
        self._open_files.close()
        languages = sorted(self._rows_per_language)
        self._write_coverage(languages)
        rate = self._write_keys()
        for file in _RAW_FILES:
            (self._folder / file).unlink()
        metadata = {
            "format": FORMAT_VERSION,
            "name": self._name,
            "fingerprint": self._fingerprint,
            "num_rows": self.num_rows,
            "batch_rows": self._batch_rows,
            "languages": languages,
            "rows_per_language": {language: self._rows_per_language[language] for language in languages},
            "min_negatives": self._min_negatives or 0,
            "is_translations": self._is_translations,
            "has_scores": self._has_scores,
            "conflict_rate": rate,
            "files": {},
        }
        description = self._folder / "store.json"
        write_json(description, metadata)
        self._write_known(ParallelStore(self._folder))
        metadata["files"] = {
            file.name: file.stat().st_size for file in sorted(self._folder.iterdir()) if file != description
        }
        write_json(description, metadata)

    def _write_known(self, store: ParallelStore) -> None:
        """Which rows ask and answer the same; the answers of questions that have several; and, for the rows' negatives,
        which question every passage answers and which row has it."""
        known = np.stack([same_texts(store, side) for side in SIDES], axis=1)
        np.save(self._folder / "known.npy", known)
        pairs = np.unique(known, axis=0)  # sorted by question
        asked_again = pairs[1:, 0] == pairs[:-1, 0]
        np.save(self._folder / "several.npy", pairs[np.append(False, asked_again) | np.append(asked_again, False)])
        if self._has_negatives:
            keys, rows = zip(*(store.text_keys("passage", language) for language in store.languages), strict=True)
            texts, first = np.unique(np.concatenate(keys), return_index=True)
            first_rows = np.concatenate(rows)[first]
            questions, passages = known[first_rows].T
            np.save(self._folder / "passages.npy", np.stack([texts, passages, questions, first_rows], axis=1))
            np.save(self._folder / "answers.npy", np.unique(paired(known[:, 0], known[:, 1])))

    def _flush(self) -> None:
        rows = self._pending
        names = zip(
            *((row.id, row.split_key, id_key(f"split: {row.unit}"), unit_interval(row.unit)) for row in rows),
            strict=True,
        )
        self._arrow_file("ids", IDS).write_batch(pa.record_batch(list(map(list, names)), schema=IDS))
        for language in {language for row in rows for language in row.queries} | self._rows_per_language.keys():
            self._arrow_file(language, TEXTS).write_batch(self._texts(rows, language))
        bits = {language: 1 << position for position, language in enumerate(self._rows_per_language)}
        keys = [row_keys(row) for row in rows]
        raw = (
            np.array([key for of_row in keys for key in of_row], np.int64),
            np.array([len(of_row) for of_row in keys], np.int64),
            np.array([sum(bits[language] for language in row.queries) for row in rows], np.uint64),
        )
        for file, values in zip(self._raw_files, raw, strict=True):
            file.write(values.tobytes())
        self._num_batches += 1
        self._pending = []

    def _texts(self, rows: list[PairRow], language: str) -> pa.RecordBatch:
        queries = [row.queries.get(language) for row in rows]
        passages = [row.passages.get(language) for row in rows]
        negatives = [row.negatives.get(language, []) if language in row.queries else None for row in rows]
        scores = [row.scores.get(language, []) if language in row.queries else None for row in rows]
        counts = [len(texts) for texts in negatives if texts is not None]
        self._rows_per_language[language] += len(counts)
        self._min_negatives = min(
            counts if self._min_negatives is None else [self._min_negatives, *counts], default=None
        )
        self._has_negatives |= any(counts)
        self._has_scores |= any(scores)
        keys = [
            [None if text is None else key(text) for text in texts]
            for key, texts in ((query_key, queries), (text_key, passages))
        ]
        return pa.record_batch([queries, passages, negatives, scores, *keys], schema=TEXTS)

    def _arrow_file(self, name: str, schema: pa.Schema) -> pa.RecordBatchFileWriter:
        if name not in self._arrow_files:
            if schema is TEXTS:
                if len(self._rows_per_language) == MAX_LANGUAGES:
                    raise DataError(f"source '{self._name}' has more than {MAX_LANGUAGES} languages; drop some.")
                self._rows_per_language[name] = 0
            sink = self._open_files.enter_context(pa.OSFile(str(self._folder / f"{name}.arrow"), "wb"))
            file = self._open_files.enter_context(pa.ipc.new_file(sink, schema))
            empty = pa.record_batch([pa.nulls(self._batch_rows, field.type) for field in schema], schema=schema)
            for _ in range(self._num_batches):
                file.write_batch(empty)
            self._arrow_files[name] = file
        return self._arrow_files[name]

    def _write_coverage(self, languages: list[str]) -> None:
        """From bits in the order in which the languages appeared to bits in alphabetical order."""
        if all(count == self.num_rows for count in self._rows_per_language.values()):
            return
        raw = np.memmap(self._folder / "coverage.raw", np.uint64, mode="r")
        coverage = np.lib.format.open_memmap(self._folder / "coverage.npy", "w+", np.uint64, (self.num_rows,))
        for appeared, language in enumerate(self._rows_per_language):
            bit = (raw >> np.uint64(appeared)) & np.uint64(1)
            coverage |= bit << np.uint64(languages.index(language))
        coverage.flush()

    def _write_keys(self) -> float:
        """Lay the keys out as a matrix, and return their conflict rate."""
        raw = np.memmap(self._folder / "keys.raw", np.int64, mode="r")
        counts = np.memmap(self._folder / "key_counts.raw", np.int64, mode="r")
        starts = np.cumsum(counts) - counts
        keys = np.lib.format.open_memmap(self._folder / "keys.npy", "w+", np.int64, (self.num_rows, int(counts.max())))
        for column in range(keys.shape[1]):
            keys[:, column] = raw[starts + np.where(column < counts, column, 0)]
        keys.flush()
        return conflict_rate(keys)
