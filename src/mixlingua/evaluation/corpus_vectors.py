"""The vectors of corpora while they are searched: encoded where they are missing, kept from others, removed after."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from mixlingua.errors import StorageError
from mixlingua.files import lock
from mixlingua.model import distributed
from mixlingua.retrieval.census import Census
from mixlingua.retrieval.corpus import Corpus
from mixlingua.retrieval.encode import Encode
from mixlingua.retrieval.encode_corpus import encode_corpus
from mixlingua.retrieval.shards import Manifest, VectorShards


class Part(NamedTuple):
    """A corpus to be searched, what reading it once found, and what to call it in messages."""

    corpus: Corpus
    census: Census
    name: str


@contextmanager
def encoded(
    parts: Sequence[Part], encode: Encode, dim: int, *, shard_size: int, keep: bool
) -> Iterator[list[VectorShards]]:
    """The stored vectors of each part, which no other process touches meanwhile.

    dim: D, of a vector. Shards that are there are not encoded again. In the end vectors are removed unless `keep`;
    where an error or a signal ends the search they stay, for the next attempt. Every rank must enter this. Raises what
    `encode_corpus` raises, and StorageError before anything is encoded where the disk has too little room.
    """
    shards = [
        VectorShards(Manifest(encode.fingerprint, part.census.identity, part.census.num_passages, shard_size))
        for part in parts
    ]
    with ExitStack() as held:
        distributed.on_first_rank(lambda: _reserve(shards, dim, held))
        for part, own in zip(parts, shards, strict=True):
            encode_corpus(part.corpus, part.census, encode, own, part.name)
        yield shards
        if not keep:
            distributed.on_first_rank(lambda: _remove(shards))


def _reserve(shards: Sequence[VectorShards], dim: int, held: ExitStack) -> None:
    """Keep other processes from the folders, and see that there is room for what is missing."""
    for folder in sorted({part.folder for part in shards}):
        held.enter_context(lock(folder))
    passages = sum(len(part.positions(shard)) for part in shards for shard in part.missing())
    needed, free = 4 * dim * passages, shutil.disk_usage(shards[0].folder.parent).free
    if needed > free:
        raise StorageError(
            f"{shards[0].folder.parent}: {passages:,} vectors need {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are "
            "free there. Free some space, choose another disk by the environment variable MIXLINGUA_CACHE, or take "
            "fewer languages or a smaller pool."
        )


def _remove(shards: Sequence[VectorShards]) -> None:
    for part in shards:
        part.remove()
