"""The folder of an index: what stands in it, how it is read, and how it changes without ever being half new.

index.json says what belongs to the index, and is replaced last: a reader finds the old index or the new one. Beside it
are rows/00000.arrow, ... (the windows of the documents, memory-mapped), vectors/00000.npy, ... (their vectors),
deleted-N.npy (rows that are no longer found), and what an engine searches instead of the vectors (`engines.py`). With
a postprocess, model/ is the encoder, and fitted.json says what its layer was fitted with.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mixlingua.errors import DataError, suggest_beside
from mixlingua.files import atomic_write, write_json
from mixlingua.languages import suggest_language
from mixlingua.reading import read_json, read_lines
from mixlingua.retrieval.shards import read_vectors

FORMAT = 1
MANIFEST = "index.json"
READING = "reading.json"  # says that all documents of a build were read, and what they are
FITTED = "fitted.json"  # what the layer of the index's own model was fitted with
ROW = pa.schema({"document": pa.string(), "language": pa.string(), "title": pa.string(), "text": pa.string(),
                 "number": pa.int32()})  # fmt: skip


@dataclass(frozen=True)
class Manifest:
    """What index.json says.

    shards: rows of each. dim: components of a vector as it is searched. model: the arguments, seed, fingerprint and
    precision that give the encoder back. index: the kind and the settings of the engine. generation: goes up with every
    change, and is part of the names of files that replace others. searched: the folder of the vectors that are
    searched. engine: the file or the collection that the engine searches, or None. deleted: the file of the rows that
    are no longer found, or None. about: figures for the card: sources, languages, times, recall.
    """

    shards: tuple[int, ...]
    dim: int
    model: Mapping[str, Any]
    index: Mapping[str, Any]
    generation: int = 1
    searched: str = "vectors"
    engine: str | None = None
    deleted: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True)
class Row:
    """A window as it was stored. number: its position in its document."""

    document: str
    language: str
    title: str
    text: str
    number: int


class IndexFolder:
    """The rows and vectors of an index, read as they are asked for. Safe to read from several threads."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest
        self.starts = np.cumsum([0, *manifest.shards])
        self.num_rows = int(self.starts[-1])
        self._searched: dict[int, NDArray[np.float32]] = {}

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The index in a folder. Raises DataError where there is none, or one that this version cannot read."""
        path = Path(path).expanduser()
        file = path / MANIFEST
        if not file.is_file():
            raise DataError(_no_index(path))
        content = read_json(file)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            found = content.get("format") if isinstance(content, dict) else type(content).__name__
            raise DataError(
                f"{file}: index format {found}; this version of mixlingua reads format {FORMAT}. Build it again."
            )
        try:
            manifest = Manifest(**{**content, "shards": tuple(content["shards"])})
            assert all(isinstance(rows, int) and rows > 0 for rows in manifest.shards)
        except (TypeError, KeyError, AssertionError) as error:
            raise DataError(f"{file}: damaged ({error}). Build the index again.") from error
        return cls(path, manifest)

    def hold(self) -> None:
        """Open every file that a search reads, so that a change of the index may remove it meanwhile.

        Raises DataError where one is damaged or missing.
        """
        self.of_language(None)
        for shard, _ in self.blocks():
            self.table(shard)
            self.searched(shard)

    def changed(self, **fields: Any) -> Self:
        """The same folder with other fields in its manifest, which `commit` writes."""
        return type(self)(self.path, replace(self.manifest, **fields))

    def commit(self) -> None:
        """Replace index.json, by which everything that the manifest names becomes the index."""
        write_json(self.path / MANIFEST, asdict(self.manifest))

    def rows_file(self, shard: int) -> Path:
        """Where the rows of a shard are."""
        return self.path / "rows" / f"{shard:05d}.arrow"

    def vectors_file(self, shard: int) -> Path:
        """Where the encoded vectors of a shard are."""
        return self.path / "vectors" / f"{shard:05d}.npy"

    def table(self, shard: int) -> pa.RecordBatch:
        """The rows of a shard, memory-mapped. Raises DataError where the file is damaged or missing."""
        return self._tables[shard]

    @cached_property
    def _tables(self) -> list[pa.RecordBatch]:
        return [self._read_table(shard) for shard in range(len(self.manifest.shards))]

    def _read_table(self, shard: int) -> pa.RecordBatch:
        file = self.rows_file(shard)
        try:
            batch = pa.ipc.open_file(pa.memory_map(str(file))).get_batch(0)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{file}: cannot be read ({error}). Build the index again.") from error
        if batch.schema != ROW or batch.num_rows != self.manifest.shards[shard]:
            raise DataError(f"{file}: {batch.num_rows} rows of {batch.schema.names}, not this index's. Build it again.")
        return batch

    def vectors(self, shard: int) -> NDArray[np.float32]:
        """(n, D) that the encoder gave, memory-mapped. Raises DataError where the file is damaged or missing."""
        return self._read_vectors("vectors", shard)

    def searched(self, shard: int) -> NDArray[np.float32]:
        """(n, D) that are searched, memory-mapped. Raises DataError where the file is damaged or missing."""
        if shard not in self._searched:
            self._searched[shard] = self._read_vectors(self.manifest.searched, shard)
        return self._searched[shard]

    def _read_vectors(self, folder: str, shard: int) -> NDArray[np.float32]:
        file = self.path / folder / f"{shard:05d}.npy"
        return read_vectors(file, self.manifest.shards[shard], "Build the index again.").numpy()

    def gathered(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, D): the searched vectors of rows."""
        shards = np.searchsorted(self.starts, rows, side="right") - 1
        vectors = np.empty((len(rows), self.manifest.dim), np.float32)
        for shard in np.unique(shards).tolist():
            here = shards == shard
            vectors[here] = self.searched(shard)[rows[here] - int(self.starts[shard])]
        return vectors

    def row(self, position: int) -> Row:
        """A window by its position in the index."""
        shard = int(np.searchsorted(self.starts, position, side="right")) - 1
        table, offset = self.table(shard), position - int(self.starts[shard])
        return Row(*(table.column(name)[offset].as_py() for name in ROW.names))

    def document_ids(self, positions: Sequence[int]) -> list[str]:
        """The document of each row."""
        shards = np.searchsorted(self.starts, positions, side="right") - 1
        return [
            self.table(shard).column("document")[position - int(self.starts[shard])].as_py()
            for shard, position in zip(shards.tolist(), positions, strict=True)
        ]

    @cached_property
    def deleted(self) -> NDArray[np.bool_]:
        """(num_rows,): the rows that are no longer found."""
        mask = np.zeros(self.num_rows, bool)
        if self.manifest.deleted is not None:
            file = self.path / self.manifest.deleted
            try:
                mask[np.load(file, allow_pickle=False)] = True
            except (OSError, ValueError, EOFError, IndexError) as error:
                raise DataError(f"{file}: cannot be read ({error}). Build the index again.") from error
        return mask

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The languages of the documents that are found, sorted."""
        return tuple(name for name, rows in self._rows_of_language.items() if rows.any())

    def of_language(self, language: str | None) -> NDArray[np.bool_]:
        """(num_rows,): the rows that are found, in a language or in all. Raises DataError for one that it has not."""
        if language is None:
            return ~self.deleted
        if language not in self.languages:
            near = suggest_language(str(language), self.languages)
            raise DataError(f"language={language}: the index has {', '.join(self.languages)} alone.{near}")
        return self._rows_of_language[language]

    @cached_property
    def _rows_of_language(self) -> dict[str, NDArray[np.bool_]]:
        masks: dict[str, NDArray[np.bool_]] = {}
        for shard, start in enumerate(self.starts[:-1].tolist()):
            encoded = pc.dictionary_encode(self.table(shard).column("language"))
            codes = encoded.indices.to_numpy()
            for code, name in enumerate(encoded.dictionary.to_pylist()):
                masks.setdefault(name, np.zeros(self.num_rows, bool))[start : start + len(codes)] = codes == code
        return {name: masks[name] & ~self.deleted for name in sorted(masks)}

    @cached_property
    def num_documents(self) -> dict[str, int]:
        """language -> documents that are found; in all: their sum."""
        counts = dict.fromkeys(self.languages, 0)
        for name in self.languages:
            for shard, start in enumerate(self.starts[:-1].tolist()):
                first = self.table(shard).column("number").to_numpy() == 0
                counts[name] += int((first & self._rows_of_language[name][start : start + len(first)]).sum())
        return counts

    def rows_of_documents(self, wanted: pa.Array) -> NDArray[np.int64]:
        """The rows, found so far, of documents with these ids, ascending."""
        rows = [
            start + np.flatnonzero(pc.is_in(self.table(shard).column("document"), value_set=wanted).to_numpy(False))
            for shard, start in enumerate(self.starts[:-1].tolist())
        ]
        found = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        return found[~self.deleted[found]]

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Each shard, and the position of its first row."""
        return enumerate(self.starts[:-1].tolist())


@dataclass(frozen=True)
class ExistingIndex:
    """An index that is there: what action=search searches, and action=index changes.

    path: the run folder of the `action=index` that made it
    delete: ids of documents to be taken out, or a text file with one a line
    """

    path: str
    delete: Sequence[str] | str = ()

    def ids(self) -> list[str]:
        """The ids to be deleted. Raises DataError where they are in a file that cannot be read."""
        if isinstance(self.delete, str):
            return [line.strip() for _, line in read_lines(Path(self.delete)) if line.strip()]
        return [str(name) for name in self.delete]


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """Write the rows of a shard. Raises StorageError where the disk is full."""
    columns = [pa.array([getattr(row, name) for row in rows], ROW.field(name).type) for name in ROW.names]
    with atomic_write(file) as partial, pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, ROW) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=ROW))


def remove_index(path: Path) -> None:
    """Remove the index in a folder, or what a stopped build has left there; index.json goes first."""
    own_model = ["model"] if (path / FITTED).exists() else []  # any other is not the index's
    patterns = (MANIFEST, READING, "rows", "vectors", "searched-*", "engine-*", "deleted-*", *own_model, FITTED)
    for found in [found for pattern in patterns for found in path.glob(pattern)]:
        shutil.rmtree(found) if found.is_dir() else found.unlink()


def _no_index(path: Path) -> str:
    if not path.exists():
        return (
            f"index={path}: no such folder.{suggest_beside(path)} `action=index` makes an index; its run folder is the "
            "index."
        )
    if (path / "rows").is_dir():
        return f"index={path}: the index was not finished. Go on with it by resume={path} hydra.run.dir={path}."
    return f"index={path}: the folder holds no index (no {MANIFEST}). `action=index corpus=PATH` makes one."
