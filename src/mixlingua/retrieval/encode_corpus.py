"""From a corpus to vectors on disk, shard by shard; what is there already is not encoded again."""

import logging
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch

from mixlingua.errors import DataError
from mixlingua.model import distributed
from mixlingua.retrieval.census import Census
from mixlingua.retrieval.corpus import Corpus, Passage
from mixlingua.retrieval.encode import Encode, check_vectors
from mixlingua.retrieval.exact import on_grid
from mixlingua.retrieval.shards import VectorShards

logger = logging.getLogger(__name__)


def encode_corpus(corpus: Corpus, census: Census, encode: Encode, shards: VectorShards, name: str) -> None:
    """Write the shards that are missing. name: what to call the corpus in messages.

    Every rank must call this and reads the corpus; rank 0 alone writes. A text that an earlier passage has is not
    encoded again but gets the vector of that passage, so that the two tie whatever shards they are in. Raises DataError
    where the corpus is no longer what the census read, ModelError where a vector is not finite, StorageError where the
    disk is full.
    """
    missing = distributed.on_first_rank(lambda: _missing(shards, name))
    if not missing:
        return
    batches = _batches(corpus, shards.manifest.shard_size)
    for shard in range(shards.num_shards):
        passages = next(batches, [])
        if len(passages) != len(shards.positions(shard)):
            raise DataError(f"{name}: changed while it was read. Evaluate again once nothing writes to it.")
        if shard in missing:
            _encode_shard(shard, passages, census, encode, shards, name)


def _missing(shards: VectorShards, name: str) -> set[int]:
    shards.start()
    missing = set(shards.missing())
    if missing:
        logger.info(
            "%s: %s passages in %d shards, of which %d are there (%s)",
            name,
            f"{shards.manifest.num_passages:,}",
            shards.num_shards,
            shards.num_shards - len(missing),
            shards.folder,
        )
    return missing


def _batches(corpus: Corpus, size: int) -> Iterator[list[Passage]]:
    passages = corpus.passages()
    while batch := list(islice(passages, size)):
        yield batch


def _encode_shard(
    shard: int, passages: list[Passage], census: Census, encode: Encode, shards: VectorShards, name: str
) -> None:
    start = shards.positions(shard).start
    first, last = np.searchsorted(census.copies[:, 0], [start, start + len(passages)])
    copies = census.copies[first:last]
    copies = copies[copies[:, 1] < start]  # the others have their original in this shard, and equal texts equal vectors
    rows = np.delete(np.arange(len(passages)), copies[:, 0] - start)
    texts = [passages[row].text for row in rows.tolist()]
    parts = []
    if texts:
        parts.append(on_grid(check_vectors(encode(texts, "passage"), len(texts), "passage", name)))

    def write() -> None:
        if len(copies):
            parts.append(shards.at(copies[:, 1]))
        order = torch.from_numpy(np.argsort(np.concatenate([rows, copies[:, 0] - start])))
        shards.write(shard, [passage.id for passage in passages], torch.cat(parts)[order])
        if (shard + 1) * 10 // shards.num_shards > shard * 10 // shards.num_shards:
            logger.info("%s: %d of %d shards are there", name, shard + 1, shards.num_shards)

    distributed.on_first_rank(write)
