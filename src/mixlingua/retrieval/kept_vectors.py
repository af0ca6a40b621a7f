"""Vectors that are computed once for a text and kept on disk, such as a teacher's, for all runs that need them again.

A text is known by its token ids, which hold its prefix and where it was cut: equal ids have equal vectors. A folder is
of one encoder in one precision, so a changed one never finds another's vectors. Files are written once, whole and under
names of their own: any number of processes may add to a folder and read from it, and what two of them add twice is only
there twice.
"""

import hashlib
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor

from mixlingua import distributed
from mixlingua.errors import DataError
from mixlingua.files import cache_dir, content_hash
from mixlingua.retrieval.shards import read_vectors, write_vectors

_FORMAT = "2"  # raise it when the same encoder comes to give other vectors
WRITE_AFTER = 4096  # vectors that are held in memory before they are written
Keys = NDArray[np.uint64]  # (N, 2), the two halves of a hash of 128 bits


def folder_of(fingerprint: str, precision: str, dim: int) -> Path:
    """Where the vectors of an encoder are kept. fingerprint: of all that decides its vectors; dim: their length."""
    return cache_dir() / "kept" / content_hash(_FORMAT, fingerprint, precision, str(dim))[:24]


def keys_of(token_ids: Sequence[Sequence[int]]) -> Keys:
    """The keys of texts, by their token ids without padding."""
    digests = (hashlib.blake2b(np.asarray(ids, np.int64).tobytes(), digest_size=16).digest() for ids in token_ids)
    return np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)


def kept_whole(parts: Sequence[str], num_texts: int, compute: Callable[[], Tensor]) -> Tensor:
    """The (num_texts, D) float32 vectors of a list of texts, from the cache or computed and kept there as they are.

    For what is measured: no vector is rounded, and none comes from a batch of other texts, so figures are the same
    whether they were kept or not. parts: all that decides the vectors, and the texts. Every rank must call this.
    Raises DataError where a kept file is damaged.
    """
    versions = (_FORMAT, torch.__version__, transformers.__version__)
    path = cache_dir() / "measured" / f"{content_hash(*versions, *parts)[:32]}.npy"
    if all(distributed.all_gather_objects(path.is_file())):
        return read_vectors(path, num_texts, _MEND)
    vectors = compute()
    if distributed.rank() == 0:
        write_vectors(path, vectors)
    return vectors


class KeptVectors:
    """The kept vectors of a folder: memory-mapped float16 rows, found by key.

    NAME.npy holds (n, D) float16 and NAME.keys.npy (n, 2) uint64, which is written last. Memory grows by 24 bytes a
    text. What other processes write is seen after this one has written, or was opened anew.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, NDArray[np.float16]] = {}  # by name, in the order in which `_places` counts their rows
        self._starts: list[int] = []  # of each file's rows
        self._keys = np.empty((0, 2), np.uint64)  # of all files, sorted by the first half
        self._places = np.empty(0, np.int64)  # of each of these keys, its row
        self._waiting: dict[tuple[int, int], NDArray[np.float16]] = {}
        self._look()

    def get(self, keys: Keys, dim: int) -> tuple[Tensor, Tensor]:
        """(N, D) float32 vectors, and (N,) bool, which of them are there; the rows of the others are zero."""
        vectors, found = np.zeros((len(keys), dim), np.float16), np.zeros(len(keys), np.bool_)
        if len(self._keys):
            positions = np.searchsorted(self._keys[:, 0], keys[:, 0]).clip(max=len(self._keys) - 1)
            found = (self._keys[positions] == keys).all(1)
            places = self._places[positions]
            file_of = np.searchsorted(self._starts, places, side="right") - 1
            arrays = list(self._files.values())
            for file in np.unique(file_of[found]).tolist():
                rows = np.flatnonzero(found & (file_of == file))
                vectors[rows] = arrays[file][places[rows] - self._starts[file]]
        for row in np.flatnonzero(~found).tolist() if self._waiting else ():
            if (waiting := self._waiting.get((int(keys[row, 0]), int(keys[row, 1])))) is not None:
                vectors[row], found[row] = waiting, True
        return torch.from_numpy(vectors.astype(np.float32)), torch.from_numpy(found)

    def put(self, keys: Keys, vectors: Tensor) -> None:
        """Keep vectors (N, D), rounded to float16. They are written once there are many, and by `flush`."""
        rows = vectors.detach().cpu().half().numpy()
        self._waiting |= {(int(key[0]), int(key[1])): row for key, row in zip(keys, rows, strict=True)}
        if len(self._waiting) >= WRITE_AFTER:
            self.flush()

    def flush(self) -> None:
        """Write what is held in memory. Raises StorageError where the disk is full."""
        if not self._waiting:
            return
        path = self.folder / uuid.uuid4().hex
        arrays = {".npy": np.stack(list(self._waiting.values())), ".keys.npy": np.array(list(self._waiting), np.uint64)}
        for suffix, array in arrays.items():
            write_vectors(path.with_suffix(suffix), torch.from_numpy(array))
        self._waiting = {}
        self._look()

    def complete(self, token_ids: Sequence[Sequence[int]], dim: int, encode: Callable[[list[int]], Tensor]) -> Tensor:
        """(N, D) float32 vectors of texts; those that are not there are asked of `encode` by position, and are kept.

        Each text is asked for once, however often it is there: an English sentence is both itself and its pivot side.
        All are rounded to float16, whether they were there or not, so that a run does not depend on it.
        """
        keys = keys_of(token_ids)
        vectors, found = self.get(keys, dim)
        if not found.all():
            _, first, of_text = np.unique(keys, axis=0, return_index=True, return_inverse=True)
            new = np.unique(first[of_text[~found.numpy()]])
            self.put(keys[new], encode(new.tolist()))
            vectors, _ = self.get(keys, dim)
        return vectors

    def _look(self) -> None:
        """Take up the files that are there and not known yet."""
        new = sorted(path.name.removesuffix(".keys.npy") for path in self.folder.glob("[!.]*.keys.npy"))
        keys, places = [self._keys], [self._places]
        start = self._starts[-1] + len(next(reversed(self._files.values()))) if self._files else 0
        for name in new:
            if name in self._files:
                continue
            of_file = _read(self.folder / f"{name}.keys.npy", np.dtype(np.uint64), mapped=False)
            vectors = _read(self.folder / f"{name}.npy", np.dtype(np.float16), mapped=True)
            if len(of_file) != len(vectors):
                raise DataError(f"{self.folder / name}.npy: has {len(vectors)} rows for {len(of_file)} keys. {_MEND}")
            self._files[name] = vectors
            self._starts.append(start)
            keys.append(of_file)
            places.append(np.arange(start, start + len(of_file)))
            start += len(of_file)
        if len(keys) > 1:
            every = np.concatenate(keys)
            order = np.argsort(every[:, 0], kind="stable")
            self._keys, self._places = every[order], np.concatenate(places)[order]


_MEND = "Remove this folder of the cache; what it held is computed again."


def _read(path: Path, dtype: np.dtype, *, mapped: bool) -> NDArray:
    """Raises DataError where a file is damaged."""
    try:
        array: NDArray = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error}). {_MEND}") from error
    if array.dtype != dtype or array.ndim != 2:
        raise DataError(f"{path}: holds {array.dtype} of shape {array.shape}, not what was written here. {_MEND}")
    return array
