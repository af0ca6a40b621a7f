"""Sources made of random coverage and keys, without text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Hybrid, Strategy

HYBRID = Hybrid()


@dataclass
class MadeSource:
    name: str
    num_rows: int
    languages: tuple[str, ...]
    coverage: NDArray[np.uint64] | None = None
    keys: NDArray[np.int64] | None = None
    conflict_rate: float = 0.0
    fingerprint: str = "made"
    is_translations: bool = False

    def has(self, row: int) -> set[str]:
        if self.coverage is None:
            return set(self.languages)
        return {language for bit, language in enumerate(self.languages) if int(self.coverage[row]) >> bit & 1}


def make_plan(sources: Sequence[MadeSource], strategy: Strategy = HYBRID, **changes: Any) -> BatchPlan:
    """With batches of 12 rows in four languages, or with changes."""
    settings = {"languages": ("ar", "de", "en", "tr"), "batch_size": 12, "seed": 0}
    return BatchPlan(sources, strategy=strategy, **(settings | changes))


def true_conflict_rate(keys: NDArray[np.int64]) -> float:
    """By comparing all pairs of rows."""
    shared = (keys[:, None, :, None] == keys[None, :, None, :]).any(axis=(2, 3))
    np.fill_diagonal(shared, False)
    return float(shared.sum() / (len(keys) * (len(keys) - 1)))


@pytest.fixture(scope="session")
def make_source() -> Callable[..., MadeSource]:
    """make_source(num_rows, languages, seed=, name=, having=, rows_per_passage=): a source of random rows.

    having: the share of rows that has each language, None for all; rows_per_passage: rows that share a key on average.
    Half of the rows carry a second key.
    """

    def make(
        num_rows: int,
        languages: str = "ar de en tr",
        *,
        seed: int = 0,
        name: str = "made",
        having: tuple[float, ...] | None = None,
        rows_per_passage: float | None = None,
    ) -> MadeSource:
        rng = np.random.default_rng(seed)
        codes = tuple(languages.split())
        source = MadeSource(name, num_rows, codes)
        if having is not None:
            held = rng.random((num_rows, len(codes))) < np.array(having)
            source.coverage = (held * 2 ** np.arange(len(codes))).sum(axis=1).astype(np.uint64)
        if rows_per_passage is not None:
            keys = rng.integers(0, max(1, round(num_rows / rows_per_passage)), (num_rows, 2))
            keys[::2, 1] = keys[::2, 0]
            source.keys = keys
            source.conflict_rate = true_conflict_rate(keys)
        return source

    return make
