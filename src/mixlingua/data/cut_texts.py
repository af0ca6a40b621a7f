"""Texts that are longer than a model reads: how many are cut, and how much of them is lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from mixlingua.data.rows import Side
from mixlingua.data.store import ParallelStore
from mixlingua.data.tokenizer import PairTokenizer
from mixlingua.sampling.random import random_subset

SAMPLE = 512  # rows of a training source whose texts are counted
SIDES: tuple[Side, ...] = ("query", "passage")


@dataclass(frozen=True)
class Cut:
    """num_texts: distinct texts that were counted. num_cut: those longer than the limit. limit: tokens that the model
    reads, special ones and the prefix included; None where nothing was cut. lost_tokens: those behind the limit."""

    num_texts: int = 0
    num_cut: int = 0
    limit: int | None = None
    lost_tokens: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.num_texts + other.num_texts,
            self.num_cut + other.num_cut,
            self.limit or other.limit,
            self.lost_tokens + other.lost_tokens,
        )

    def note(self, side: Side, sampled: bool = False) -> str | None:
        """What to tell of it in a sentence; None where nothing was cut. sampled: not all texts were counted."""
        if not self.num_cut or self.limit is None:
            return None
        share = self.lost_tokens / (self.num_cut * self.limit + self.lost_tokens)
        texts = {"query": "queries", "passage": "passages"}[side]
        counted = f"{self.num_cut:,} of {self.num_texts:,} {'sampled ' if sampled else ''}{texts}"
        return f"{counted} are longer than {self.limit} tokens and are cut; {share:.0%} of their tokens are lost"


def cut_of(lost: Mapping[str, int], texts: Sequence[str], limit: int) -> Cut:
    """Of distinct texts. lost: text -> tokens behind the limit, of those that have any."""
    of_texts = [lost[text] for text in texts if text in lost]
    return Cut(len(texts), len(of_texts), limit if of_texts else None, sum(of_texts))


def sampled_cut(
    store: ParallelStore, tokenizer: PairTokenizer, languages: Sequence[str], *, seed: int, source_index: int
) -> dict[Side, Cut]:
    """What training cuts of a source's queries and passages: of SAMPLE random rows, of all where there are no more.

    languages: those trained on; each row is counted in one of them that it has.
    """
    rows = random_subset(store.num_rows, min(SAMPLE, store.num_rows), seed=seed, source_index=source_index)
    held = np.stack([store.holds(rows, language) for language in languages], axis=1)
    chosen = [
        (row, np.flatnonzero(of_row)[number % of_row.sum()])
        for number, (row, of_row) in enumerate(zip(rows.tolist(), held, strict=True))
        if of_row.any()
    ]
    cuts: dict[Side, Cut] = {}
    for side in SIDES:
        texts = store.texts([row for row, _ in chosen], side, [languages[int(index)] for _, index in chosen])
        distinct = list(dict.fromkeys(texts))
        _, lost = tokenizer.encode_counting(distinct, side)
        cuts[side] = cut_of(lost, distinct, tokenizer.max_length[side])
    return cuts
