"""Finding the rows whose vectors score highest, with faiss: exactly, or by an index that a factory string describes.

`Exact` reads the vectors themselves, memory-mapped and shard by shard. `Faiss` reads an index that was trained on a
sample of them and filled shard by shard, and scores what it finds again with the vectors.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import faiss
import numpy as np
from numpy.typing import NDArray

from mixlingua.errors import ConfigError, DataError, check_whole
from mixlingua.files import atomic_write
from mixlingua.search.folder import IndexFolder, Manifest
from mixlingua.search.settings import Engine, Found, IndexSettings, Mask, Vectors

logger = logging.getLogger(__name__)

_FEW = 20_000  # rows that may be found: fewer are searched exactly, which is fast and misses nothing


@dataclass(frozen=True)
class FaissSettings(IndexSettings):
    """An index of faiss in the run folder, memory-mapped.

    factory: a string of faiss.index_factory, such as Flat (exact), HNSW32, SQ8 (8 bits a component), IVF4096,PQ48x8; or
        of faiss.index_binary_factory, such as BFlat or BHNSW32: one bit a component
    candidates: rows taken from the index for each result, which are scored again with the float32 vectors; above 1 for
        indexes that hold less than these
    nprobe: lists of an IVF index that a query visits
    ef_search: how widely a query searches an HNSW graph
    training_windows: drawn at random to train an index that must be trained
    """

    KIND: ClassVar[str] = "faiss"

    factory: str = "Flat"
    candidates: int = 1
    nprobe: int = 32
    ef_search: int = 128
    training_windows: int = 131072

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("candidates", "nprobe", "ef_search", "training_windows"):
            check_whole(f"index.{name}", getattr(self, name), 1)
        if not isinstance(self.factory, str) or not self.factory:
            raise ConfigError(f"index.factory={self.factory}: must be a string of faiss.index_factory, such as HNSW32.")

    @property
    def is_exact(self) -> bool:
        """Flat searches the vectors themselves."""
        return self.factory == "Flat"

    @property
    def is_binary(self) -> bool:
        """Whether bits are searched."""
        return self.factory.startswith("B")

    def check(self, dim: int, num_rows: int) -> None:
        """Raise ConfigError where faiss cannot make such an index, or has too few rows to train it on."""
        if self.is_exact:
            return
        index = self._new(dim)
        lists = getattr(index, "nlist", 0) if self.is_binary else _lists(index)
        bits = re.search(r"PQ\d+(?:x(\d+))?", self.factory)
        needed = max(lists, 2 ** int(bits[1] or 8) if bits else 0)  # lists, and the codes of a product quantizer
        if num_rows < needed:
            raise ConfigError(
                f"index.factory={self.factory}: is trained on at least {needed:,} windows, and there are {num_rows:,}. "
                "Use fewer lists, or index.factory=Flat, which is fast enough for so few."
            )
        if self.training_windows < needed:
            raise ConfigError(
                f"index.training_windows={self.training_windows:,}: index.factory={self.factory} is trained on at "
                f"least {needed:,} windows. Raise it, or use fewer lists."
            )

    def num_bytes(self, num_rows: int, dim: int) -> int:
        """By the size of faiss' codes, and of the links of a graph."""
        if self.is_exact:
            return 0
        if self.is_binary:
            return num_rows * (dim // 8 + (264 if "HNSW" in self.factory else 8))
        try:
            size = self._new(dim).sa_code_size() + 8
        except RuntimeError:  # graphs have no codec of their own
            size = dim * (1 if "SQ8" in self.factory else 4) + 8 * _links(self.factory) + 16
        return num_rows * int(size)

    def fill(self, folder: IndexFolder, first_row: int) -> Mapping[str, Any]:
        """Write engine-N.faiss, which holds every row; deleted rows are passed over when it is searched.

        Raises ConfigError where faiss cannot train the index on these rows, or add them to it.
        """
        if self.is_exact:
            return {}
        known = folder.path / folder.manifest.engine if folder.manifest.engine and first_row else None
        centre = np.load(_centre_file(known)) if known else self._sample(folder).mean(axis=0)
        with self._refused("cannot make such an index of these windows"):
            index = self._read(folder, mapped=False) if known else self._trained(folder)
            for shard, start in folder.blocks():
                if start >= (first_row if known else 0):
                    index.add(self.codes(folder.searched(shard), centre))
        file = folder.path / f"engine-{folder.manifest.generation}.faiss"
        with atomic_write(_centre_file(file)) as partial:
            np.save(partial, centre)
        with atomic_write(file) as partial:
            (faiss.write_index_binary if self.is_binary else faiss.write_index)(index, str(partial))
        return {"engine": file.name}

    def clean_up(self, folder: IndexFolder, before: Manifest) -> None:
        """Remove the file that was searched before; deleted rows stay in the new one."""
        if before.engine not in (None, folder.manifest.engine):
            old = folder.path / str(before.engine)
            for file in (old, _centre_file(old)):
                file.unlink(missing_ok=True)

    def open(self, folder: IndexFolder) -> Engine:
        """The index, memory-mapped. Raises DataError where a file of it is damaged or missing."""
        if self.is_exact:
            return Exact(folder)
        index = self._read(folder, mapped=True)
        file = _centre_file(folder.path / str(folder.manifest.engine))
        try:
            return Faiss(folder, self, index, np.load(file, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: cannot be read ({error}). Build the index again.") from error

    def _new(self, dim: int) -> Any:
        with self._refused(f"makes no such index for vectors of {dim} components"):
            if self.is_binary:
                return faiss.index_binary_factory(8 * -(-dim // 8), self.factory)
            return faiss.index_factory(dim, self.factory, faiss.METRIC_INNER_PRODUCT)

    @contextmanager
    def _refused(self, what: str) -> Iterator[None]:
        """Errors of faiss as ConfigError. what: faiss does, or not."""
        try:
            yield
        except RuntimeError as error:
            said = str(error).rpartition(": ")[2]
            raise ConfigError(
                f"index.factory={self.factory}: faiss {what} ({said}). Use a string such as Flat, HNSW32, SQ8, "
                "IVF1024,Flat, or BFlat for one bit a component."
            ) from error

    def _trained(self, folder: IndexFolder) -> Any:
        index = self._new(folder.manifest.dim)
        if not index.is_trained:
            sample = self._sample(folder)
            logger.info("index.factory=%s: trained on %s windows", self.factory, f"{len(sample):,}")
            index.train(self.codes(sample, sample.mean(axis=0)))
        return index

    def _sample(self, folder: IndexFolder) -> Vectors:
        """Vectors of rows that are drawn at random."""
        found = np.flatnonzero(~folder.deleted)
        count = min(self.training_windows, len(found))
        return folder.gathered(np.sort(np.random.default_rng(0).choice(found, count, replace=False)))

    def codes(self, vectors: Vectors, centre: Vectors) -> NDArray[Any]:
        """What the index holds of vectors: themselves, or a bit for each component, which says whether it is above the
        mean of the training sample. Their signs alone would be alike: vectors of texts share a common direction."""
        return np.packbits(vectors > centre, axis=1) if self.is_binary else np.ascontiguousarray(vectors)

    def _read(self, folder: IndexFolder, *, mapped: bool) -> Any:
        file = folder.path / str(folder.manifest.engine)
        read = faiss.read_index_binary if self.is_binary else faiss.read_index
        try:
            index = read(str(file), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
        except RuntimeError as error:
            raise DataError(
                f"{file}: cannot be read ({str(error).rpartition(': ')[2]}). Build the index again."
            ) from error
        if index.ntotal > folder.num_rows or (mapped and index.ntotal != folder.num_rows):
            raise DataError(f"{file}: holds {index.ntotal:,} rows, the index {folder.num_rows:,}. Build it again.")
        return index


@dataclass(frozen=True)
class Exact:
    """Every vector is scored."""

    folder: IndexFolder

    def search(self, queries: Vectors, count: int, language: str | None) -> Found:
        """As `Engine` says; exact up to the rounding of float32."""
        return exact(queries, self.folder, count, _mask(self.folder, language))


def exact(queries: Vectors, folder: IndexFolder, count: int, allowed: Mask | None) -> Found:
    """The rows that score highest, over all vectors. allowed: (num_rows,), those that may be found; None: all."""
    best = Found(np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64))
    queries = np.ascontiguousarray(queries, np.float32)
    for shard, start in folder.blocks():
        block = np.ascontiguousarray(folder.searched(shard))
        here = None if allowed is None else allowed[start : start + len(block)]
        if here is not None and not here.any():
            continue
        width = min(count, len(block) if here is None else int(here.sum()))
        scores, rows = np.empty((len(queries), width), np.float32), np.empty((len(queries), width), np.int64)
        faiss.knn_inner_product(
            faiss.swig_ptr(queries), faiss.swig_ptr(block), queries.shape[1], len(queries), len(block), width,
            faiss.swig_ptr(scores), faiss.swig_ptr(rows), None if here is None else _selector(here),
        )  # fmt: skip
        best = _best(np.hstack([best.scores, scores]), np.hstack([best.rows, rows + start]), count)
    return best


def _best(scores: Vectors, rows: NDArray[np.int64], count: int) -> Found:
    """The first `count` by score, then by row; -1 is no row."""
    order = np.lexsort((rows, -np.where(rows >= 0, scores, -np.inf)), axis=1)[:, :count]
    return Found(np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1))


def _mask(folder: IndexFolder, language: str | None) -> Mask | None:
    """The rows that may be found, None where that is all."""
    return None if language is None and not folder.deleted.any() else folder.of_language(language)


def _selector(mask: Mask) -> Any:
    return faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))


class Faiss:
    """An index of faiss over the vectors of a folder, whose candidates are scored again with these vectors."""

    def __init__(self, folder: IndexFolder, settings: FaissSettings, index: Any, centre: Vectors) -> None:
        """centre: what the bits of a binary index are told by."""
        self.folder, self.settings, self.index, self.centre = folder, settings, index, centre

    def search(self, queries: Vectors, count: int, language: str | None) -> Found:
        """As `Engine` says. A query for which the index does not find enough rows is searched exactly.

        So is a language that has few rows, which a graph or a list would hardly lead to.
        """
        allowed = _mask(self.folder, language)
        reachable = self.folder.num_rows if allowed is None else int(allowed.sum())
        if allowed is not None and reachable <= max(_FEW, count * self.settings.candidates):
            return exact(queries, self.folder, count, allowed)
        found = self._rescored(queries, self._candidates(queries, count * self.settings.candidates, allowed), count)
        short = (found.rows >= 0).sum(axis=1) < min(count, reachable)
        if short.any():
            width = min(count, reachable)
            again = exact(queries[short], self.folder, width, allowed)
            found = Found(found.scores[:, :width], found.rows[:, :width])
            found.scores[short], found.rows[short] = again
        return found

    def _candidates(self, queries: Vectors, count: int, allowed: Mask | None) -> NDArray[np.int64]:
        """(Q, C) rows that the index finds, -1 where it finds no more."""
        codes = self.settings.codes(queries, self.centre)
        count = min(count, self.folder.num_rows)
        if allowed is None:
            return self.index.search(codes, count, params=self._parameters(None))[1]
        try:
            return self.index.search(codes, count, params=self._parameters(_selector(allowed)))[1]
        except RuntimeError:  # a kind of index that cannot pass rows over: more of them are taken, and dropped here
            share = allowed.mean()
            rows = self.index.search(
                codes, min(int(2 * count / share) + 1, self.folder.num_rows), params=self._parameters(None)
            )[1]
            return np.where((rows >= 0) & allowed[rows], rows, -1)

    def _parameters(self, selector: Any) -> Any:
        """Those of faiss for a search with a selector, for the kind of index at hand."""
        if self.settings.is_binary:
            kind = type(self.index)
            if kind is faiss.IndexBinaryHNSW:
                return faiss.SearchParametersHNSW(sel=selector, efSearch=self.settings.ef_search)
            if kind is faiss.IndexBinaryIVF:
                return faiss.SearchParametersIVF(sel=selector, nprobe=self.settings.nprobe)
            return faiss.SearchParameters(sel=selector) if selector else None
        return self._of_index(faiss.downcast_index(self.index), selector)

    def _of_index(self, index: Any, selector: Any) -> Any:
        if isinstance(index, faiss.IndexPreTransform):
            inner = self._of_index(faiss.downcast_index(index.index), selector)
            return faiss.SearchParametersPreTransform(index_params=inner)
        if isinstance(index, faiss.IndexRefine):
            inner = self._of_index(faiss.downcast_index(index.base_index), selector)
            return faiss.IndexRefineSearchParameters(k_factor=self.settings.candidates, base_index_params=inner)
        if isinstance(index, faiss.IndexIVF):
            return faiss.SearchParametersIVF(sel=selector, nprobe=self.settings.nprobe)
        if isinstance(index, faiss.IndexHNSW):
            return faiss.SearchParametersHNSW(sel=selector, efSearch=self.settings.ef_search)
        return faiss.SearchParameters(sel=selector) if selector else None

    def _rescored(self, queries: Vectors, rows: NDArray[np.int64], count: int) -> Found:
        """The best of each query's candidates by their exact scores."""
        distinct, places = np.unique(rows, return_inverse=True)
        vectors = self.folder.gathered(np.maximum(distinct, 0))[places.reshape(rows.shape)]
        scores = np.einsum("qd,qcd->qc", queries, vectors, dtype=np.float32)
        return _best(np.where(rows >= 0, scores, -np.inf).astype(np.float32), rows, count)


def _centre_file(engine: Path) -> Path:
    return engine.with_suffix(".npy")


def _lists(index: Any) -> int:
    try:
        return int(faiss.extract_index_ivf(index).nlist)
    except RuntimeError:
        return 0


def _links(factory: str) -> int:
    """Links of each node of an HNSW graph, by its factory string."""
    digits = factory.partition("HNSW")[2].partition("_")[0].partition(",")[0]
    return int(digits) if digits.isdigit() else 32
