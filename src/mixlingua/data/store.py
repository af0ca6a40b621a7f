"""The parallel store: the same pairs in several languages, memory-mapped, reached by row number."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pyarrow as pa

from mixlingua.data.rows import PairRow
from mixlingua.data.store_writer import FORMAT_VERSION, StoreWriter
from mixlingua.errors import DataError
from mixlingua.files import atomic_folder


class ParallelStore:
    """Pairs by row number, read from memory-mapped files as they are asked for.

    Attributes: path; name; num_rows; languages, sorted ISO 639-1 codes; rows_per_language; fingerprint, equal for equal
    content; conflict_rate, an upper bound of the probability that two different random rows share a key (exact where
    rows share at most one); min_negatives, the least number of negatives that a row has in any of its languages.
    coverage: (num_rows,) uint64, bit i set where the row has languages[i]; None where every row has every language.
    keys: (num_rows, K) int64; rows that share a key never belong in one batch. A row's keys stand for its passage_id,
    its `touches` and its passage's text in one language (English where it has it); shorter rows repeat their first key.

    A folder holds store.json, coverage.npy, keys.npy, ids.arrow (column `id`) and, per language, de.arrow (columns
    `query`, `passage`, `negatives`, null where the row lacks the language). The Arrow files have record batches of
    `batch_rows` rows, so that row -> (batch, offset) is arithmetic.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the store at `path`. Raises DataError where it is missing, damaged or of another format version."""
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

    def __reduce__(self) -> tuple[Callable[[Path], Self], tuple[Path]]:
        return type(self), (self.path,)

    @cached_property
    def keys(self) -> np.ndarray:
        return np.load(self.path / "keys.npy", mmap_mode="r")

    @cached_property
    def coverage(self) -> np.ndarray | None:
        file = self.path / "coverage.npy"
        return np.load(file, mmap_mode="r") if file.exists() else None

    def texts(self, rows: Sequence[int], side: Literal["query", "passage"], languages: Sequence[str]) -> list[str]:
        """The query or passage of rows[i] in languages[i]. Raises DataError for a row that lacks its language."""
        texts: list[str] = self._values(rows, side, languages)
        return texts

    def negatives(self, rows: Sequence[int], languages: Sequence[str]) -> list[list[str]]:
        """The negatives of rows[i] in languages[i], an empty list where there are none."""
        negatives: list[list[str]] = self._values(rows, "negatives", languages)
        return negatives

    def ids(self, rows: Sequence[int]) -> list[str]:
        """The ids that the source gave to these rows."""
        return [self._batch("ids", int(row)).column("id")[int(row) % self._batch_rows].as_py() for row in rows]

    def _values(self, rows: Sequence[int], column: str, languages: Sequence[str]) -> list:
        values = []
        for row, language in zip(map(int, rows), languages, strict=True):
            if not 0 <= row < self.num_rows:
                raise IndexError(f"row {row} of store '{self.name}', which has {self.num_rows} rows")
            value = self._batch(language, row).column(column)[row % self._batch_rows].as_py()
            if value is None:
                raise DataError(f"store '{self.name}': row {row} ({self.ids([row])[0]}) has no text in '{language}'.")
            values.append(value)
        return values

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
