"""The parallel store: the same pairs in several languages, memory-mapped, reached by row number."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from mixlingua.data.keys import conflict_rate
from mixlingua.data.protocols import Side
from mixlingua.data.rows import PairRow
from mixlingua.data.store_writer import FORMAT_VERSION, StoreWriter
from mixlingua.errors import DataError
from mixlingua.files import atomic_folder, content_hash


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
