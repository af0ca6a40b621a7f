"""Finding the rows whose vectors score highest: exactly, or by an index of faiss that any factory string describes.

An engine is told which rows may be found. `Exact` reads the vectors themselves, memory-mapped and shard by shard;
`Faiss` reads an index that was trained on a sample of them and filled shard by shard.
"""

import logging
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mixlingua.search.folder import IndexFolder

logger = logging.getLogger(__name__)

Vectors = NDArray[np.float32]
FLAT = "Flat"


class Found(NamedTuple):
    """scores: (Q, K) float32, highest first; rows: (Q, K) int64, -1 where no further row was found."""

    scores: Vectors
    rows: NDArray[np.int64]


class Engine(Protocol):
    """Searches the rows of an index. Safe to call from several threads."""

    def search(self, queries: Vectors, count: int, allowed: NDArray[np.bool_] | None, language: str | None) -> Found:
        """The `count` rows with the highest inner product for each of (Q, D) queries.

        allowed: (num_rows,), the rows that may be found; None: all. They are those in the language, or in all, that are
        not deleted.
        """


def exact(queries: Vectors, folder: IndexFolder, count: int, allowed: NDArray[np.bool_] | None, vectors: str) -> Found:
    """The rows that score highest, over all vectors. Of equal scores the earlier row is first.

    vectors: the folder of the vectors that are searched.
    """
    import faiss

    best = Found(np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64))
    queries = np.ascontiguousarray(queries, np.float32)
    for shard, start in folder.blocks():
        block = folder.vectors(shard, vectors)
        here = None if allowed is None else allowed[start : start + len(block)]
        if here is not None and not here.any():
            continue
        selector = None if here is None else faiss.IDSelectorBitmap(np.packbits(here, bitorder="little"))
        width = min(count, len(block) if here is None else int(here.sum()))
        scores, rows = np.empty((len(queries), width), np.float32), np.empty((len(queries), width), np.int64)
        faiss.knn_inner_product(
            faiss.swig_ptr(queries), faiss.swig_ptr(block), queries.shape[1], len(queries), len(block), width,
            faiss.swig_ptr(scores), faiss.swig_ptr(rows), selector,
        )  # fmt: skip
        best = _merged(best, Found(scores, rows + start), count)
    return best


def _merged(one: Found, other: Found, count: int) -> Found:
    scores = np.concatenate([one.scores, other.scores], axis=1)
    rows = np.concatenate([one.rows, other.rows], axis=1)
    order = np.lexsort((rows, -scores), axis=1)[:, :count]
    return Found(np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1))


@dataclass(frozen=True)
class Exact:
    """Every vector is scored. vectors: the folder of those that are searched."""

    folder: IndexFolder
    vectors: str

    def search(self, queries: Vectors, count: int, allowed: NDArray[np.bool_] | None, language: str | None) -> Found:
        """As `Engine` says; exact up to the rounding of float32."""
        return exact(queries, self.folder, count, allowed, self.vectors)
