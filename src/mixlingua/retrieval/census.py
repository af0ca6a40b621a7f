"""One reading of a corpus before anything is encoded: errors come first, and what the search needs to know."""

import hashlib
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from mixlingua.errors import DataError
from mixlingua.files import cache_dir, storage_error
from mixlingua.retrieval.corpus import Corpus
from mixlingua.retrieval.repeats import Digests, repeats

_DIGEST = 16  # bytes: two numbers of 64 bits
_IDS, _TEXTS = slice(0, 2), slice(2, 4)
_PART = 2**18  # passages: 8 MiB


@dataclass(frozen=True)
class Census:
    """What one reading of a corpus found.

    identity: hexadecimal SHA-256 of all ids and texts in order, whatever the files. num_passages: N. positions: of the
    wanted ids that it holds, from 0. copies: (K, 2), the position of every passage whose text an earlier passage has,
    ascending, and the position of the first that has it.
    """

    identity: str
    num_passages: int
    positions: Mapping[str, int]
    copies: NDArray[np.int64]


def take_census(corpus: Corpus, wanted: Collection[str], name: str) -> Census:
    """Read a corpus once. name: what to call it in messages; wanted: ids whose positions are needed.

    Memory is bounded but for the wanted ids and the copies: 32 bytes a passage go to an unnamed file in the cache.
    Raises DataError with file and line where a passage cannot be read or two have one id, StorageError where the
    cache's disk is full.
    """
    positions: dict[str, int] = {}
    identity = hashlib.sha256()
    number = 0
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=cache_dir()) as spool:
        try:
            for number, passage in enumerate(corpus.passages(), start=1):
                record = _digest(passage.id) + _digest(passage.text)
                identity.update(record)
                spool.write(record)
                if passage.id in wanted:
                    positions.setdefault(passage.id, number - 1)
            spool.flush()
        except OSError as error:
            raise storage_error(cache_dir() / "vectors", error) or error from error
        if number == 0:
            raise DataError(f"{name}: no passages; a corpus needs at least one.")
        _refuse_repeated_ids(corpus, repeats(lambda: _records(spool, _IDS), number))
        return Census(identity.hexdigest(), number, positions, repeats(lambda: _records(spool, _TEXTS), number))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def _records(spool: IO[bytes], columns: slice) -> Iterator[Digests]:
    """The digests of all ids or all texts, in parts."""
    spool.seek(0)
    while data := spool.read(2 * _DIGEST * _PART):
        yield np.frombuffer(data, np.uint64).reshape(-1, 4)[:, columns]


def _refuse_repeated_ids(corpus: Corpus, pairs: NDArray[np.int64]) -> None:
    if len(pairs):
        later, first = pairs[0].tolist()
        raise DataError(
            f"{corpus.where(later)}: duplicate id, first seen at {corpus.where(first)} ({len(pairs)} in all). Every "
            "passage needs an id of its own."
        )
