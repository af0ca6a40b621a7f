"""Small parallel rows, a tokenizer of characters and a plan that can be checked by hand."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from mixlingua.data.rows import PairRow
from mixlingua.sampling.plan import PlannedBatch


def make_rows(count: int, languages: tuple[str, ...] = ("de", "en"), num_negatives: int = 0) -> list[PairRow]:
    return [
        PairRow(
            id=f"row {number}",
            queries={language: f"query {number} {language}" for language in languages},
            passages={language: f"passage {number} {language}" for language in languages},
            passage_id=f"passage {number}",
            negatives={
                language: [f"wrong {number}.{n} {language}" for n in range(num_negatives)] for language in languages
            }
            if num_negatives
            else {},
        )
        for number in range(count)
    ]


@dataclass
class ListReader:
    listed: list[PairRow]
    name: str = "listed"

    def fingerprint(self) -> str:
        return repr(self.listed)

    def rows(self) -> Iterator[PairRow]:
        return iter(self.listed)


class CharacterTokenizer:
    """One token per character: its code point."""

    max_length = {"query": 64, "passage": 64}  # noqa: RUF012

    def queries(self, texts: list[str]) -> dict[str, Tensor]:
        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor([ord(c) for c in text]) for text in texts], batch_first=True
        )
        return {"input_ids": ids, "attention_mask": (ids > 0).long()}

    passages = queries


@dataclass
class CountingPlan:
    """Batch i holds rows i * batch_size onwards, queries in German, passages in English."""

    sources: list
    batch_size: int
    seed: int
    flavour: str = "plain"

    def batch(self, index: int) -> PlannedBatch:
        rows = (np.arange(self.batch_size) + index * self.batch_size) % self.sources[0].num_rows
        return PlannedBatch(index, "crosslingual", 0, rows, ["de"] * self.batch_size, ["en"] * self.batch_size)

    def describe(self) -> dict:
        return {
            "seed": self.seed,
            "data.batch_size": self.batch_size,
            "fingerprints of the sources": [source.fingerprint for source in self.sources],
            "strategy": {"name": "counting", "flavour": self.flavour},
            "languages": ("de", "en"),
        }


@pytest.fixture
def rows() -> Callable[..., list[PairRow]]:
    return make_rows


@pytest.fixture
def reader() -> type[ListReader]:
    return ListReader


@pytest.fixture
def tokenizer() -> CharacterTokenizer:
    return CharacterTokenizer()


@pytest.fixture
def plan() -> type[CountingPlan]:
    return CountingPlan


def characters(ids: Tensor) -> list[str]:
    return ["".join(chr(code) for code in row if code) for row in ids.tolist()]


@pytest.fixture
def decode() -> Callable[[Tensor], list[str]]:
    return characters
