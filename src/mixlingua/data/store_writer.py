"""Writing a parallel store row by row, in the memory of one record batch."""

import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa

from mixlingua.data.keys import PIVOT, conflict_rate, id_key, text_key
from mixlingua.data.rows import PairRow
from mixlingua.errors import DataError

FORMAT_VERSION = 2
BATCH_ROWS = 2048
MAX_LANGUAGES = 64  # one bit each in the coverage
_TEXTS = pa.schema([("query", pa.string()), ("passage", pa.string()), ("negatives", pa.list_(pa.string()))])
_IDS = pa.schema([("id", pa.string()), ("split_key", pa.string())])
_SIDE_FILES = ("keys.raw", "widths.raw", "coverage.raw")


class StoreWriter:
    """Collects rows into a folder that `ParallelStore` opens; nothing is valid before `finish`.

    A language may appear at any row: its file then starts with empty batches, so that all files stay aligned.
    """

    def __init__(self, folder: Path, *, name: str, fingerprint: str, batch_rows: int = BATCH_ROWS) -> None:
        self._folder = folder
        self._name = name
        self._fingerprint = fingerprint
        self._batch_rows = batch_rows
        self._pending: list[PairRow] = []
        self._num_batches = 0
        self._rows_per_language: dict[str, int] = {}
        self._min_negatives: int | None = None
        self._files = ExitStack()
        self._side = [self._files.enter_context((folder / file).open("wb")) for file in _SIDE_FILES]
        self._writers: dict[str, pa.RecordBatchFileWriter] = {}
        self.num_rows = 0

    def add(self, row: PairRow) -> None:
        """Append a row. Raises DataError where the store would hold more than 64 languages."""
        self._pending.append(row)
        self.num_rows += 1
        if len(self._pending) == self._batch_rows:
            self._flush()

    def abandon(self) -> None:
        """Close the files of a store that will not be finished."""
        self._files.close()

    def finish(self) -> None:
        """Write what is pending, the keys, the coverage and the metadata. Raises DataError where no row was added."""
        if not self.num_rows:
            raise DataError(f"source '{self._name}' gave no rows. Check its files and options.")
        if self._pending:
            self._flush()
        self._files.close()
        languages = sorted(self._rows_per_language)
        self._write_coverage(languages)
        conflict_rate = self._write_keys()
        for file in _SIDE_FILES:
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
            "conflict_rate": conflict_rate,
            "files": {file.name: file.stat().st_size for file in sorted(self._folder.iterdir())},
        }
        (self._folder / "store.json").write_text(json.dumps(metadata, indent=1), encoding="utf-8")

    def _flush(self) -> None:
        rows = self._pending
        names = [[row.id for row in rows], [row.split_key for row in rows]]
        self._writer("ids", _IDS).write_batch(pa.record_batch(names, schema=_IDS))
        for language in {language for row in rows for language in row.queries} | self._rows_per_language.keys():
            self._writer(language, _TEXTS).write_batch(self._texts(rows, language))
        positions = {language: position for position, language in enumerate(self._rows_per_language)}
        keys = [_row_keys(row) for row in rows]
        coverage = [sum(1 << positions[language] for language in row.queries) for row in rows]
        keys_file, widths_file, coverage_file = self._side
        keys_file.write(np.array([key for row in keys for key in row], np.int64).tobytes())
        widths_file.write(np.array([len(row) for row in keys], np.int64).tobytes())
        coverage_file.write(np.array(coverage, np.uint64).tobytes())
        self._num_batches += 1
        self._pending = []

    def _texts(self, rows: list[PairRow], language: str) -> pa.RecordBatch:
        queries = [row.queries.get(language) for row in rows]
        negatives = [row.negatives.get(language, []) if language in row.queries else None for row in rows]
        counts = [len(texts) for texts in negatives if texts is not None]
        self._rows_per_language[language] += len(counts)
        if counts:
            self._min_negatives = min(counts if self._min_negatives is None else [self._min_negatives, *counts])
        return pa.record_batch([queries, [row.passages.get(language) for row in rows], negatives], schema=_TEXTS)

    def _writer(self, file: str, schema: pa.Schema) -> pa.RecordBatchFileWriter:
        if file not in self._writers:
            if schema is _TEXTS:
                if len(self._rows_per_language) == MAX_LANGUAGES:
                    raise DataError(f"source '{self._name}' has more than {MAX_LANGUAGES} languages; drop some.")
                self._rows_per_language[file] = 0
            sink = self._files.enter_context(pa.OSFile(str(self._folder / f"{file}.arrow"), "wb"))
            writer = self._files.enter_context(pa.ipc.new_file(sink, schema))
            empty = pa.record_batch([pa.nulls(self._batch_rows, field.type) for field in schema], schema=schema)
            for _ in range(self._num_batches):
                writer.write_batch(empty)
            self._writers[file] = writer
        return self._writers[file]

    def _write_coverage(self, languages: list[str]) -> None:
        if all(count == self.num_rows for count in self._rows_per_language.values()):
            return
        found = np.memmap(self._folder / "coverage.raw", np.uint64, mode="r")
        coverage = np.lib.format.open_memmap(self._folder / "coverage.npy", "w+", np.uint64, (self.num_rows,))
        for old, language in enumerate(self._rows_per_language):
            bit = (found >> np.uint64(old)) & np.uint64(1)
            coverage |= bit << np.uint64(languages.index(language))
        coverage.flush()

    def _write_keys(self) -> float:
        """Lay the keys out as a matrix; the probability that two different rows share one, as an upper bound."""
        found = np.memmap(self._folder / "keys.raw", np.int64, mode="r")
        widths = np.memmap(self._folder / "widths.raw", np.int64, mode="r")
        starts = np.cumsum(widths) - widths
        keys = np.lib.format.open_memmap(self._folder / "keys.npy", "w+", np.int64, (self.num_rows, int(widths.max())))
        for column in range(keys.shape[1]):
            keys[:, column] = found[starts + np.where(column < widths, column, 0)]
        keys.flush()
        return conflict_rate(keys)


def _row_keys(row: PairRow) -> list[int]:
    pivot = PIVOT if PIVOT in row.passages else min(row.passages)
    names = [row.passage_id, *row.touches]
    return list(dict.fromkeys([*map(id_key, names), text_key(row.passages[pivot])]))
