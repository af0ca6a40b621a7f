"""The vectors of a corpus on disk: memory-mapped shards, each either whole or absent."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixlingua.errors import DataError
from mixlingua.files import atomic_write, cache_dir, content_hash, remove_locked

_FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """What decides the vectors: the encoder's fingerprint, the corpus' identity, and passages in all and in a shard."""

    fingerprint: str
    corpus: str
    num_passages: int
    shard_size: int

    @property
    def folder(self) -> Path:
        """Where such vectors are kept."""
        key = content_hash(str(_FORMAT), json.dumps(asdict(self), sort_keys=True))
        return cache_dir() / "vectors" / key[:24]


class VectorShards:
    """A folder of 00000.npy, ... ((n, D) float32 rows), their ids in 00000.ids.json, ..., and manifest.json.

    A shard is there once its .npy is; its ids are written first. Shards are written in order, by one process.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.folder = manifest.folder
        self.num_shards = -(-manifest.num_passages // manifest.shard_size)

    def start(self) -> None:
        """Write the manifest. Raises StorageError where the disk is full."""
        with atomic_write(self.folder / "manifest.json") as partial:
            partial.write_text(json.dumps({"format": _FORMAT, **asdict(self.manifest)}, indent=1), encoding="utf-8")

    def missing(self) -> list[int]:
        """The shards that are not there, ascending."""
        return [shard for shard in range(self.num_shards) if not self._path(shard, "npy").exists()]

    def positions(self, shard: int) -> range:
        """Which passages of the corpus a shard holds."""
        size = self.manifest.shard_size
        return range(shard * size, min((shard + 1) * size, self.manifest.num_passages))

    def write(self, shard: int, ids: Sequence[str], vectors: Tensor) -> None:
        """Add a shard: n ids and (n, D) float32 vectors. Raises StorageError where the disk is full."""
        assert len(ids) == len(vectors) == len(self.positions(shard))
        with atomic_write(self._path(shard, "ids.json")) as partial:
            partial.write_text(json.dumps(list(ids), ensure_ascii=False), encoding="utf-8")
        array = np.ascontiguousarray(vectors.numpy())
        with atomic_write(self._path(shard, "npy")) as partial, partial.open("wb") as file:
            header = np.lib.format.header_data_from_array_1_0(array)
            np.lib.format.write_array_header_1_0(file, header)
            file.write(array.data)  # numpy's own writer does not say that a disk is full

    def vectors(self, shard: int) -> Tensor:
        """The (n, D) rows of a shard, memory-mapped, to be read only. Raises DataError where the file is damaged."""
        path = self._path(shard, "npy")
        try:
            array: NDArray[np.float32] = np.load(path, mmap_mode="c", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: cannot be read ({error}). Remove {self.folder}, and encode again.") from error
        if array.dtype != np.float32 or array.ndim != 2 or len(array) != len(self.positions(shard)):
            found = f"{array.dtype} of shape {array.shape}"
            raise DataError(f"{path}: holds {found}, not a shard's vectors. Remove {self.folder}, and encode again.")
        return torch.from_numpy(array)

    def ids(self, shard: int) -> list[str]:
        """The ids of a shard's passages, in the order of its rows."""
        ids: list[str] = json.loads(self._path(shard, "ids.json").read_text(encoding="utf-8"))
        return ids

    def at(self, positions: NDArray[np.int64]) -> Tensor:
        """(n, D): the vectors of n >= 1 passages."""
        shards = positions // self.manifest.shard_size
        rows: Tensor | None = None
        for shard in np.unique(shards).tolist():
            here = np.flatnonzero(shards == shard)
            vectors = self.vectors(shard)[torch.from_numpy(positions[here] - self.positions(shard).start)]
            rows = vectors.new_empty(len(positions), vectors.shape[1]) if rows is None else rows
            rows[torch.from_numpy(here)] = vectors
        assert rows is not None
        return rows

    def remove(self) -> None:
        """Delete the folder, and its lock, which must be held where others may use it."""
        remove_locked(self.folder)

    def __iter__(self) -> Iterator[Tensor]:
        """The vectors of each shard in turn."""
        return (self.vectors(shard) for shard in range(self.num_shards))

    def _path(self, shard: int, suffix: str) -> Path:
        return self.folder / f"{shard:05d}.{suffix}"
