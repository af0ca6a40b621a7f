"""The vectors of corpora on disk while they are searched: encoded where they are missing, kept or removed after.

`encoded` is the whole life of the vectors; `VectorShards` is a folder of them, and `encode_corpus` fills it.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixlingua import distributed
from mixlingua.data.tokenizer import Cut
from mixlingua.errors import DataError, StorageError
from mixlingua.files import atomic_write, cache_dir, content_hash, lock, remove_locked, write_json
from mixlingua.reading import read_json
from mixlingua.retrieval.corpus import Census, Corpus, Passage, record
from mixlingua.retrieval.encode import CountsCutTexts, Encode, encode_checked
from mixlingua.retrieval.search import on_grid

logger = logging.getLogger(__name__)


class SearchedCorpus(NamedTuple):
    """A corpus to be searched, what reading it once found, and what to call it in messages."""

    corpus: Corpus
    census: Census
    name: str


@contextmanager
def encoded(
    corpora: Sequence[SearchedCorpus], encode: Encode, dim: int, *, shard_size: int, keep: bool
) -> Iterator[list["VectorShards"]]:
    """The stored vectors of each corpus, which no other process touches meanwhile.

    dim: D, of a vector. Shards that are there are not encoded again. In the end the vectors are removed unless `keep`;
    where an error or a signal ends the search they stay, for the next attempt, unless the corpus changed. Every rank
    must enter this. Raises what `encode_corpus` raises, and StorageError before anything is encoded where the disk has
    too little room.
    """
    stored = [
        VectorShards(encode.fingerprint, census.identity, census.num_passages, shard_size) for _, census, _ in corpora
    ]
    with ExitStack() as locks:
        distributed.on_first_rank(lambda: _reserve(stored, dim, locks))
        for (corpus, census, name), shards in zip(corpora, stored, strict=True):
            encode_corpus(corpus, census, encode, shards, name)
        yield stored
        if not keep:
            distributed.on_first_rank(lambda: _remove(stored))


def _reserve(stored: Sequence["VectorShards"], dim: int, locks: ExitStack) -> None:
    """Keep other processes from the folders, and see that there is room for what is missing."""
    for folder in sorted({shards.folder for shards in stored}):
        locks.enter_context(lock(folder))
    passages = sum(len(shards.positions(shard)) for shards in stored for shard in shards.missing())
    needed, free = 4 * dim * passages, shutil.disk_usage(stored[0].folder.parent).free
    if needed > free:
        raise StorageError(
            f"{stored[0].folder.parent}: {passages:,} vectors need {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are "
            "free there. Free some space, choose another disk by the environment variable MIXLINGUA_CACHE, or take "
            "fewer languages or a smaller pool."
        )


def _remove(stored: Sequence["VectorShards"]) -> None:
    for shards in stored:
        shards.remove()


def write_vectors(path: Path, vectors: Tensor) -> None:
    """Write (n, D) rows as .npy. Raises StorageError where the disk is full."""
    array = np.ascontiguousarray(vectors.numpy())
    with atomic_write(path) as partial, partial.open("wb") as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(array.data)  # numpy's own writer does not say that a disk is full


def read_vectors(path: Path, num_rows: int, mend: str) -> Tensor:
    """The (num_rows, D) float32 rows of a .npy file, memory-mapped, to be read only.

    Raises DataError, ending with `mend`, where the file is damaged or holds something else.
    """
    try:
        array: NDArray[np.float32] = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error}). {mend}") from error
    if array.dtype != np.float32 or array.ndim != 2 or len(array) != num_rows:
        raise DataError(f"{path}: holds {array.dtype} of shape {array.shape}, not a shard's vectors. {mend}")
    return torch.from_numpy(array)


_FORMAT = 2


@dataclass(frozen=True)
class VectorShards:
    """A folder of 00000.npy, ... ((n, D) float32 rows), their ids in 00000.ids.json, ..., what had been read until then
    in 00000.sha256, ..., the count of texts that were cut in 00000.cut.json, ..., and manifest.json.

    The fields decide the vectors, and thereby the folder: the encoder's fingerprint, the corpus' identity (of its
    census), its number of passages, and how many of them a shard has. A shard is there once its .npy is; the other
    files are written first. Shards are written in order, by one process.
    """

    fingerprint: str
    corpus: str
    num_passages: int
    shard_size: int

    @cached_property
    def folder(self) -> Path:
        """Where the vectors are kept."""
        key = content_hash(str(_FORMAT), json.dumps(asdict(self), sort_keys=True))
        return cache_dir() / "vectors" / key[:24]

    @property
    def num_shards(self) -> int:
        """Shards in all, those that are missing included."""
        return -(-self.num_passages // self.shard_size)

    def start(self) -> None:
        """Write the manifest. Raises StorageError where the disk is full."""
        write_json(self.folder / "manifest.json", {"format": _FORMAT, **asdict(self)})

    def missing(self) -> list[int]:
        """The shards that are not there, ascending."""
        return [shard for shard in range(self.num_shards) if not self._path(shard, "npy").exists()]

    def positions(self, shard: int) -> range:
        """Which passages of the corpus a shard holds."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.num_passages))

    def write(self, shard: int, ids: Sequence[str], read: str, vectors: Tensor, cut: Cut | None = None) -> None:
        """Add a shard: n ids and (n, D) float32 vectors. read: hexadecimal SHA-256 of the `record` of every passage of
        the corpus up to its last one. cut: of its texts, where they were counted.

        Raises StorageError where the disk is full.
        """
        assert len(ids) == len(vectors) == len(self.positions(shard))
        if cut is not None:
            write_json(self._path(shard, "cut.json"), asdict(cut))
        write_json(self._path(shard, "ids.json"), list(ids), indent=None)
        with atomic_write(self._path(shard, "sha256")) as partial:
            partial.write_text(read, encoding="utf-8")
        write_vectors(self._path(shard, "npy"), vectors)

    def vectors(self, shard: int) -> Tensor:
        """The (n, D) rows of a shard, memory-mapped, to be read only. Raises DataError where the file is damaged."""
        mend = f"Remove {self.folder}, and encode again."
        return read_vectors(self._path(shard, "npy"), len(self.positions(shard)), mend)

    def ids(self, shard: int) -> list[str]:
        """The ids of a shard's passages, in the order of its rows."""
        ids: list[str] = read_json(self._path(shard, "ids.json"))
        return ids

    def read(self, shard: int) -> str:
        """The SHA-256 of what had been read of the corpus when the shard was written, as `write` takes it."""
        return self._path(shard, "sha256").read_text(encoding="utf-8")

    def cut(self, shards: Iterable[int]) -> Cut:
        """The texts of some shards that were cut, as far as they were counted."""
        files = (self._path(shard, "cut.json") for shard in shards)
        cuts = (Cut(**read_json(file)) for file in files if file.exists())
        return sum(cuts, Cut())

    def at(self, positions: NDArray[np.int64]) -> Tensor:
        """(n, D): the vectors of n >= 1 passages."""
        shard_of = positions // self.shard_size
        gathered: Tensor | None = None
        for shard in np.unique(shard_of).tolist():
            rows = np.flatnonzero(shard_of == shard)
            vectors = self.vectors(shard)[torch.from_numpy(positions[rows] - self.positions(shard).start)]
            if gathered is None:
                gathered = vectors.new_empty(len(positions), vectors.shape[1])
            gathered[torch.from_numpy(rows)] = vectors
        assert gathered is not None
        return gathered

    def remove(self) -> None:
        """Delete the folder, and its lock, which must be held where others may use it."""
        remove_locked(self.folder)

    def __iter__(self) -> Iterator[Tensor]:
        """The vectors of each shard in turn."""
        return (self.vectors(shard) for shard in range(self.num_shards))

    def _path(self, shard: int, suffix: str) -> Path:
        return self.folder / f"{shard:05d}.{suffix}"


def encode_corpus(corpus: Corpus, census: Census, encode: Encode, shards: VectorShards, name: str) -> None:
    """Write the shards that are missing. name: what to call the corpus in messages.

    Every rank must call this and reads the corpus; rank 0 alone writes. A text that an earlier passage has is not
    encoded again but gets the vector of that passage, so that the two tie whatever shards they are in. Raises
    ModelError where a vector is not finite, StorageError where the disk is full.

    Raises DataError on all ranks, and removes all shards, where the corpus is no longer what the census read, on any
    rank: other ids or texts, more or fewer passages. Shards of an attempt that was stopped must be of the same reading
    too. The last shard is not written before the whole is known to be right. So where no shard is missing, nothing is
    read, and what became of the corpus since does not matter. Of a corpus that cannot change (`Census.of_content`), the
    number of passages is checked, and that all readings are equal.
    """
    there = distributed.on_first_rank(lambda: _start(shards, name))
    if isinstance(encode, CountsCutTexts):
        encode.count(distributed.on_first_rank(lambda: shards.cut(there)), "passage")
    if len(there) == shards.num_shards:
        return
    passages, read = corpus.passages(), hashlib.sha256()
    changed = False
    for shard in range(shards.num_shards):
        batch = list(islice(passages, shards.shard_size))
        for passage in batch:
            read.update(record(passage))
        digest, last = read.hexdigest(), shard == shards.num_shards - 1
        changed |= len(batch) != len(shards.positions(shard)) or digest != there.get(shard, digest)
        if last:
            changed |= next(passages, None) is not None or (census.of_content and digest != census.identity)
        if shard not in there or last:
            _refuse_changed(changed, shards, name)
        if shard not in there:
            _encode_shard(shard, batch, digest, census, encode, shards, name)


def _refuse_changed(changed: bool, shards: VectorShards, name: str) -> None:
    """Every rank must call this. changed: whether the corpus did, as this rank reads it."""
    if any(distributed.all_gather_objects(changed)):
        distributed.on_first_rank(shards.remove)
        raise DataError(f"{name}: changed while it was read. Evaluate again once nothing writes to it.")


def _start(shards: VectorShards, name: str) -> Mapping[int, str]:
    """Write the manifest, and say what is missing. Returns what was read for each shard that is there."""
    shards.start()
    missing = set(shards.missing())
    if missing:
        logger.info(
            "%s: %s passages in %d shards, of which %d are there (%s)",
            name,
            f"{shards.num_passages:,}",
            shards.num_shards,
            shards.num_shards - len(missing),
            shards.folder,
        )
    return {shard: shards.read(shard) for shard in range(shards.num_shards) if shard not in missing}


def _encode_shard(
    shard: int, passages: list[Passage], read: str, census: Census, encode: Encode, shards: VectorShards, name: str
) -> None:
    start = shards.positions(shard).start
    first, last = np.searchsorted(census.copies[:, 0], [start, start + len(passages)])
    copies = census.copies[first:last]
    copies = copies[copies[:, 1] < start]  # the others have their original in this shard, and equal texts equal vectors
    rows = np.delete(np.arange(len(passages)), copies[:, 0] - start)
    texts = [passages[row].text for row in rows.tolist()]
    vectors = []
    cut = None
    if texts:
        vectors.append(on_grid(encode_checked(encode, texts, "passage", name)))
        cut = encode.latest_cut if isinstance(encode, CountsCutTexts) else None

    def write() -> None:
        if len(copies):
            vectors.append(shards.at(copies[:, 1]))
        order = torch.from_numpy(np.argsort(np.concatenate([rows, copies[:, 0] - start])))
        shards.write(shard, [passage.id for passage in passages], read, torch.cat(vectors)[order], cut)
        if (shard + 1) * 10 // shards.num_shards > shard * 10 // shards.num_shards:
            logger.info("%s: %d of %d shards are there", name, shard + 1, shards.num_shards)

    distributed.on_first_rank(write)
