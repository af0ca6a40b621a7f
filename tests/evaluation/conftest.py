"""A world small enough to work out by hand, and several ranks in one process."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from mixlingua import distributed
from mixlingua.evaluation.tasks import RetrievalTask


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


@pytest.fixture
def two_languages() -> RetrievalTask:
    """Two parallel questions: q1, answered by p0 and p3, and q2, by p1 and p4; q3, by p2, is German only.

    de pool: d0 d1 d2 = p0 p1 p2; en pool: e0 e1 e2 = p3 p4 p5.
    """
    relevant = {"q1": {"d0": 1, "e0": 1}, "q2": {"d1": 1, "e1": 1}}
    return RetrievalTask(
        name="small",
        revision="1",
        licence="CC0",
        note="made by hand",
        queries={
            "de": {"q1": "p0=0.9 p2=0.8 p3=0.7 p5=-0.1", "q2": "p0=0.9 p1=0.5 p4=0.5 p5=0.6", "q3": "p2=0.1"},
            "en": {"q1": "p0=-0.5 p1=-0.2 p3=0.9", "q2": "p3=0.3 p4=0.3"},
        },
        passages={"de": {"d0": "p0", "d1": "p1", "d2": "p2"}, "en": {"e0": "p3", "e1": "p4", "e2": "p5"}},
        qrels={"de": relevant | {"q3": {"d2": 1}}, "en": relevant},
    )


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
