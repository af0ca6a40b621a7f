"""64-bit keys: equal for texts or ids that must not be told apart inside a batch."""

import hashlib

import numpy as np

PIVOT = "en"


def id_key(name: str) -> int:
    """The key of a passage id (or of an id of text that a passage contains), as a signed 64-bit integer."""
    return _key(b"id:" + name.encode())


def text_key(text: str) -> int:
    """The key of a text, as a signed 64-bit integer: equal texts have equal keys, whatever their ids."""
    return _key(b"text:" + text.encode())


def unit_interval(name: str) -> float:
    """A number in [0, 1) that depends on the name alone: the reproducible stand-in for a random draw."""
    return (_key(b"unit:" + name.encode()) & (2**53 - 1)) / 2**53


def conflict_rate(keys: np.ndarray) -> float:
    """An upper bound of the probability that two different rows share a key; exact where rows share at most one.

    keys: (N, K) int64, the keys of each row; a row may repeat one.
    """
    ordered = np.sort(keys, axis=1)
    distinct = np.ones(ordered.shape, bool)
    distinct[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    shared = np.unique(ordered[distinct], return_counts=True)[1].astype(np.float64)
    pairs = len(keys) * (len(keys) - 1)
    return min(1.0, float((shared * (shared - 1)).sum()) / pairs) if pairs else 0.0


def _key(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little", signed=True)
