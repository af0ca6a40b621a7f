"""The parallel store: the same pairs in several languages, memory-mapped, reached by row number."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from mixlingua.data.rows import PIVOT, PairRow, Side, id_key, text_key
from mixlingua.errors import DataError
from mixlingua.files import atomic_folder, content_hash
from mixlingua.sampling.source import conflict_rate

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


class ParallelStore:
    """Pairs by row number, read from memory-mapped files as they are asked for.

    Attributes: path; name; num_rows; languages, sorted ISO 639-1 codes; rows_per_language; fingerprint, equal for equal
    content; conflict_rate, an upper bound of the probability that two different random rows share a key (exact where
    rows share at most one); min_negatives, the least number of negatives that a row has in any of its languages.
    coverage: (num_rows,) uint64, bit i set where the row has languages[i]; None where every row has every language.
    keys: (num_rows, K) int64; rows that share a key never belong in one batch. A row's keys stand for its passage_id,
    its `touches` and its passage's text in one language (English where it has it); shorter rows repeat their first key.

    A folder holds store.json, coverage.npy, keys.npy, ids.arrow (columns `id`, `split_key`) and, per language, de.arrow
    (columns `query`, `passage`, `negatives`, null where the row lacks the language). The Arrow files have record
    batches of `batch_rows` rows, so that row -> (batch, offset) is arithmetic.
    """

    def __init__(self, path: str | Path, rows: np.ndarray | None = None) -> None:
        """Open the store at `path`. Raises DataError where it is missing, damaged or of another format version.

        rows: (M,) int64, all different, the rows of the files that the store consists of; None: all. Keys and coverage
        of a part are in memory; its min_negatives is that of all rows, and a language that it lacks is still listed.
        """
        self.path = Path(path)
        metadata = _read_metadata(self.path)
        self.name: str = metadata["name"]
        self.num_rows: int = metadata["num_rows"]
        self.languages: tuple[str, ...] = tuple(metadata["languages"])
        self.rows_per_language: dict[str, int] = metadata["rows_per_language"]
        self.conflict_rate: float = metadata["conflict_rate"]
        self.min_negatives: int = metadata["min_negatives"]
        self.fingerprint: str = metadata["fingerprint"]
        self._batch_rows: int = metadata["batch_rows"]
        self._readers: dict[str, pa.RecordBatchFileReader] = {}
        damaged = [name for name, size in metadata["files"].items() if not _has_size(self.path / name, size)]
        if damaged:
            raise DataError(
                f"{self.path / damaged[0]}: missing or cut short. Delete {self.path} to build the store again."
            )
        self._rows = rows
        if rows is not None:
            self.num_rows = len(rows)
            self.fingerprint = content_hash(self.fingerprint, np.asarray(rows, np.int64).tobytes())
            self.rows_per_language = self._count_languages()
            self.conflict_rate = conflict_rate(self.keys)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The store at `path`; the same as the constructor."""
        return cls(path)

    @classmethod
    def write(cls, path: str | Path, rows: Iterator[PairRow], *, name: str, fingerprint: str) -> Self:
        """Write rows to a new store as they come, in the memory of one record batch, and open it.

        The folder appears at `path` once it is complete. Raises DataError where there are no rows.
        """
        with atomic_folder(path) as folder:
            writer = StoreWriter(folder, name=name, fingerprint=fingerprint)
            for row in rows:
                writer.add(row)
            writer.finish()
        return cls(path)

    def part(self, rows: np.ndarray) -> Self:
        """A store of these rows: its row i is this store's rows[i]. Raises IndexError for rows that do not exist."""
        return type(self)(self.path, rows if self._rows is None else self._rows[rows])

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[Path, np.ndarray | None]]:
        return type(self), (self.path, self._rows)

    @cached_property
    def keys(self) -> np.ndarray:
        return self._own(np.load(self.path / "keys.npy", mmap_mode="r"))

    @cached_property
    def coverage(self) -> np.ndarray | None:
        file = self.path / "coverage.npy"
        return self._own(np.load(file, mmap_mode="r")) if file.exists() else None

    def holds(self, rows: np.ndarray, language: str) -> np.ndarray:
        """(N,) bool, whether each of the rows has the language."""
        if language not in self.languages:
            return np.zeros(len(rows), bool)
        if self.coverage is None:
            return np.ones(len(rows), bool)
        bit = np.uint64(self.languages.index(language))
        return (self.coverage[rows] >> bit & np.uint64(1)).astype(bool)

    def texts(self, rows: Sequence[int], side: Side, languages: Sequence[str]) -> list[str]:
        """The query or passage of rows[i] in languages[i]. Raises DataError for a row that lacks its language."""
        texts: list[str] = self._values(rows, side, languages)
        return texts

    def negatives(self, rows: Sequence[int], languages: Sequence[str]) -> list[list[str]]:
        """The negatives of rows[i] in languages[i], an empty list where there are none."""
        negatives: list[list[str]] = self._values(rows, "negatives", languages)
        return negatives

    def ids(self, rows: Sequence[int]) -> list[str]:
        """The ids that the source gave to these rows."""
        return self._names(rows, "id")

    def split_keys(self, rows: Sequence[int]) -> list[str]:
        """What these rows are held out with, such as their documents; empty where the source did not say."""
        return self._names(rows, "split_key")

    def _names(self, rows: Sequence[int], column: str) -> list[str]:
        found = (self._file_row(int(row)) for row in rows)
        return [self._batch("ids", row).column(column)[row % self._batch_rows].as_py() for row in found]

    def _values(self, rows: Sequence[int], column: str, languages: Sequence[str]) -> list:
        values = []
        for row, language in zip(map(int, rows), languages, strict=True):
            place = self._file_row(row)
            value = self._batch(language, place).column(column)[place % self._batch_rows].as_py()
            if value is None:
                raise DataError(f"store '{self.name}': row {row} ({self.ids([row])[0]}) has no text in '{language}'.")
            values.append(value)
        return values

    def _file_row(self, row: int) -> int:
        if not 0 <= row < self.num_rows:
            raise IndexError(f"row {row} of store '{self.name}', which has {self.num_rows} rows")
        return row if self._rows is None else int(self._rows[row])

    def _own(self, values: np.ndarray) -> np.ndarray:
        return values if self._rows is None else values[self._rows]

    def _count_languages(self) -> dict[str, int]:
        coverage = self.coverage
        if coverage is None:
            return dict.fromkeys(self.languages, self.num_rows)
        bits = ((coverage >> np.uint64(bit)) & np.uint64(1) for bit in range(len(self.languages)))
        return {language: int(held.sum()) for language, held in zip(self.languages, bits, strict=True)}

    def _batch(self, file: str, row: int) -> pa.RecordBatch:
        if file not in self._readers:
            if file != "ids" and file not in self.languages:
                raise DataError(f"store '{self.name}': no language '{file}'; it has {', '.join(self.languages)}.")
            self._readers[file] = pa.ipc.open_file(pa.memory_map(str(self.path / f"{file}.arrow")))
        return self._readers[file].get_batch(row // self._batch_rows)


def _has_size(file: Path, size: int) -> bool:
    return file.is_file() and file.stat().st_size == size


def _read_metadata(path: Path) -> dict:
    file = path / "store.json"
    if not file.is_file():
        raise DataError(f"{path}: not a parallel store (no store.json). Build it from its source.")
    try:
        metadata = json.loads(file.read_text(encoding="utf-8"))
        version = metadata["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: damaged ({error}). Delete {path} to build the store again.") from error
    if version != FORMAT_VERSION:
        raise DataError(
            f"{file}: store format {version}, this version of mixlingua reads format {FORMAT_VERSION}. "
            f"Delete {path} to build the store again."
        )
    return dict(metadata)
