"""A world small enough to work out by hand, and several ranks in one process."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from mixlingua import distributed


@pytest.fixture(autouse=True)
def cache(own_cache):
    """Vectors that another test left would be taken for this one's."""
    return own_cache


class OneHot:
    """An encoder whose scores are written in the texts: the passage "p3" is the third unit vector, and the query
    "p3=0.9 p1=0.5" scores it 0.9, "p1" 0.5 and all others 0."""

    def __init__(self, dim: int = 64) -> None:
        self.dim = dim
        self.calls: list[tuple[list[str], str]] = []

    def __call__(self, texts: Sequence[str], side: str) -> torch.Tensor:
        self.calls.append((list(texts), side))
        vectors = torch.zeros(len(texts), self.dim)
        for row, text in enumerate(texts):
            for entry in text.split():
                name, _, score = entry.partition("=")
                vectors[row, int(name[1:])] = float(score or 1)
        return vectors


@pytest.fixture
def one_hot() -> OneHot:
    return OneHot()


class Ranks:
    """Runs a function on several ranks, one thread each, that meet in their collectives."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def __call__(self, world_size: int, function: Callable[[], object]) -> list:
        own, barrier, slots = threading.local(), threading.Barrier(world_size, timeout=60), [None] * world_size

        def gather(part: object) -> list:
            slots[own.rank] = part
            barrier.wait()
            gathered = list(slots)
            barrier.wait()
            return gathered

        def on_rank(rank: int) -> object:
            own.rank = rank
            try:
                return function()
            except BaseException:
                barrier.abort()
                raise

        with self.monkeypatch.context() as patch, ThreadPoolExecutor(world_size) as pool:
            patch.setattr(distributed, "rank", lambda: own.rank)
            patch.setattr(distributed, "world_size", lambda: world_size)
            patch.setattr(distributed, "all_gather_objects", gather)
            return list(pool.map(on_rank, range(world_size)))


@pytest.fixture
def on_ranks(monkeypatch: pytest.MonkeyPatch) -> Ranks:
    return Ranks(monkeypatch)
