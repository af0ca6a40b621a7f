"""Rows that belong together: those that ask or answer the same within a source, and those that are held out together.

Rows are linked by keys that they share; groups are the connected components. What grows in memory is 12 bytes a row
and 8 for each link between two rows; keys are read in turn.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mixlingua.data.rows import Side
from mixlingua.data.store import SIDES, ParallelStore
from mixlingua.errors import ConfigError, DataError
from mixlingua.files import atomic_write, content_hash, lock

logger = logging.getLogger(__name__)

KeysOfRows = tuple[NDArray[np.int64], NDArray[np.int64]]  # (M,) keys, and (M,) the row of each
Keys = Callable[[], KeysOfRows]
_KEYS_AT_ONCE = 1 << 24


def linked_rows(num_rows: int, keys: Sequence[Keys]) -> NDArray[np.int32]:
    """(num_rows,) the number of each row's group: rows that share a key are in one, and what shares one with those."""
    num_keys = sum(len(read()[0]) for read in keys)
    num_buckets = 1 + num_keys // _KEYS_AT_ONCE
    links = [_links(keys, bucket, num_buckets) for bucket in range(num_buckets)]
    pairs = np.concatenate([np.empty((2, 0), np.int32), *links], axis=1)
    graph = coo_array((np.ones(pairs.shape[1], np.bool_), tuple(pairs)), (num_rows, num_rows))
    labels: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return labels


def _links(keys: Sequence[Keys], bucket: int, num_buckets: int) -> NDArray[np.int32]:
    """(2, M) pairs of rows with a key of a bucket in common, enough to connect all that have it."""
    found = []
    for read in keys:
        values, rows = read()
        chosen = values % num_buckets == bucket
        found.append((values[chosen], rows[chosen]))
    values, rows = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(values, kind="stable")
    same = np.diff(values[order]) == 0
    return np.stack([rows[order][:-1][same], rows[order][1:][same]]).astype(np.int32)


def same_texts(store: ParallelStore, side: Side) -> NDArray[np.int64]:
    """(num_rows,) the same number for rows whose queries (or passages) are equal in some language, whichever.

    It is the smallest key of the texts of the group, and so no number of another side or group.
    """
    keys = [partial(store.text_keys, side, language) for language in store.languages]
    labels = linked_rows(store.num_rows, keys)
    smallest = np.full(labels.max() + 1, np.iinfo(np.int64).max)
    for read in keys:
        values, rows = read()
        np.minimum.at(smallest, labels[rows], values)
    return smallest[labels]


def hold_out(
    stores: Sequence[ParallelStore], fraction: float, cache_root: str | Path
) -> list[tuple[ParallelStore, ParallelStore]]:
    """Each store divided into the rows to train on and those that are held out, (training, validation).

    Rows are held out together where they share a query or a passage in any language, within a source or across them;
    or, within a source, a split key, a passage id or one of `touches`. So many rows are expected as the fraction says.
    The first row of a group decides for it, by a hash of its split key or passage id: rows that share nothing are split
    as if each were alone, and further rows at the end of a source change no group but their own. A group that texts
    hold together and that has more rows than the fraction asks for is trained on.
    Raises DataError where a source would have no row on a side, ConfigError for a fraction outside [0, 1).
    """
    if not 0.0 < fraction < 1.0:
        raise ConfigError(f"data.validation_fraction={fraction}: it must be at least 0 and below 1.")
    known = content_hash(repr(float(fraction)), *(store.fingerprint for store in stores))
    file = Path(cache_root) / "splits" / f"{known[:16]}.npy"
    with lock(file):
        if not file.exists():
            with atomic_write(file) as partial_file:
                np.save(partial_file, held_out_rows(stores, fraction))
    held_out = np.split(np.load(file), np.cumsum([store.num_rows for store in stores])[:-1])
    divided = []
    for store, chosen in zip(stores, held_out, strict=True):
        for side, count in (("training", np.count_nonzero(~chosen)), ("validation", np.count_nonzero(chosen))):
            if not count:
                raise DataError(
                    f"source '{store.name}': data.validation_fraction={fraction} leaves no row for {side}. The source "
                    "is too small to be split so, or its rows share texts; choose another fraction or 0."
                )
        validation = store.subset(np.flatnonzero(chosen), f"{store.name} (held out)")
        divided.append((store.subset(np.flatnonzero(~chosen)), validation))
    return divided


def apart_from(training: Sequence[ParallelStore], validation: Sequence[ParallelStore]) -> list[ParallelStore]:
    """The validation stores without the rows that share a query or a passage with a training row, in any language.

    How many these are is logged. Raises DataError where no row of a store is left.
    """
    rest = []
    for store in validation:
        columns = [store.text_keys(side, code) for code in store.languages for side in SIDES]
        keys, rows = (np.concatenate(column) for column in zip(*columns, strict=True))
        trained = np.zeros(len(keys), np.bool_)
        for other in training:
            for side, code in product(SIDES, other.languages):
                trained |= np.isin(keys, other.text_keys(side, code)[0])
        shared = np.zeros(store.num_rows, np.bool_)
        shared[rows[trained]] = True
        if shared.all():
            raise DataError(
                f"data.validation_sources: every row of '{store.name}' has a query or a passage that is trained on. "
                "Take other rows to validate with, or data.validation_fraction=0.1."
            )
        if shared.any():
            logger.warning(
                "data.validation_sources: %d of the %d rows of '%s' have a query or a passage that is trained on. They "
                "are left out of validation.", shared.sum(), store.num_rows, store.name,
            )  # fmt: skip
            store = store.subset(np.flatnonzero(~shared))
        rest.append(store)
    return rest


def held_out_rows(stores: Sequence[ParallelStore], fraction: float) -> NDArray[np.bool_]:
    """(N,) whether each row of all stores, one store after the other, is held out, as `hold_out` says."""
    keys: list[Keys] = []
    first = 0
    for number, store in enumerate(stores):
        own = partial(_own_keys, store, first, number)
        keys += [partial(own, column) for column in range(-1, store.keys.shape[1])]
        keys += [partial(_text_keys, store, first, side, code) for code in store.languages for side in SIDES]
        first += store.num_rows
    draws = np.concatenate([store.draws for store in stores])
    labels = linked_rows(first, keys)
    _, first_rows, sizes = np.unique(labels, return_index=True, return_counts=True)
    lowest, highest = np.ones(len(sizes)), np.zeros(len(sizes))
    np.minimum.at(lowest, labels, draws)
    np.maximum.at(highest, labels, draws)
    too_large = (lowest < highest) & (sizes > fraction * len(draws))
    chosen: NDArray[np.bool_] = ((draws[first_rows] < fraction) & ~too_large)[labels]
    return chosen


def _own_keys(store: ParallelStore, first: int, number: int, column: int) -> KeysOfRows:
    """A column of the store's keys, -1 for that of what rows are held out with. Names mean nothing in other stores."""
    values = store.unit_keys if column < 0 else np.asarray(store.keys[:, column])
    return values ^ np.int64(number << 32), np.arange(first, first + store.num_rows)


def _text_keys(store: ParallelStore, first: int, side: Side, language: str) -> KeysOfRows:
    values, rows = store.text_keys(side, language)
    return values, rows + first
