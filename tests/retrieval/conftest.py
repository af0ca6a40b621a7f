"""A corpus in memory, and a cache of one test's own."""

import os
from collections.abc import Iterator

import pytest

from mixlingua.retrieval.corpus import Passage


class ListCorpus:
    """Passages in memory; `read` counts how often they were asked for."""

    def __init__(self, texts: dict[str, str] | list[tuple[str, str]]) -> None:
        self.entries = [Passage(*entry) for entry in (texts.items() if isinstance(texts, dict) else texts)]
        self.read = 0

    @property
    def size(self) -> int:
        return sum(len(passage.text) for passage in self.entries)

    def passages(self) -> Iterator[Passage]:
        self.read += 1
        return iter(self.entries)

    def where(self, position: int) -> str:
        return f"list:{position + 1}"


@pytest.fixture
def list_corpus() -> type[ListCorpus]:
    return ListCorpus


@pytest.fixture
def cache(own_cache, monkeypatch):
    """A cache of this test's own, for many small shards."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return own_cache
