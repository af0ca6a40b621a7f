"""Further texts of a batch's rows, for losses that hold a text against its own translations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from mixlingua.data.keys import text_key
from mixlingua.data.store import ParallelStore

PIVOT_QUERIES = "pivot_queries"  # each row's query in the pivot language, for a teacher
PIVOT_PASSAGES = "pivot_passages"  # its passage
VARIANT_QUERIES = "variant_queries"  # its query in another language than the batch's, for the model itself
TEACHER_VIEWS = (PIVOT_QUERIES, PIVOT_PASSAGES)


@dataclass
class View:
    """One further text for each of B rows, tokenised.

    features: input_ids and attention_mask, (B, L) int64. present: (B,) bool, the rows that have such a text; the others
    hold their own query or passage, which must not count.
    """

    features: dict[str, Tensor]
    present: Tensor

    def pin_memory(self) -> "View":
        """The same in page-locked memory."""
        return View({name: tensor.pin_memory() for name, tensor in self.features.items()}, self.present.pin_memory())


class Rows(Protocol):
    """What a view needs of a planned batch."""

    @property
    def index(self) -> int: ...
    @property
    def rows(self) -> np.ndarray: ...
    @property
    def query_languages(self) -> list[str]: ...
    @property
    def passage_languages(self) -> list[str]: ...


class SideTokenizer(Protocol):
    def queries(self, texts: list[str]) -> dict[str, Tensor]: ...

    def passages(self, texts: list[str]) -> dict[str, Tensor]: ...


class ViewMaker(Protocol):
    """Gives a batch's view. Travels to worker processes; nothing in it is random."""

    def __call__(self, store: ParallelStore, batch: Rows) -> View: ...


@dataclass(frozen=True)
class PivotTexts:
    """Queries or passages in the pivot language, as the teacher reads them."""

    side: Literal["query", "passage"]
    pivot: str
    tokenizer: SideTokenizer

    def __call__(self, store: ParallelStore, batch: Rows) -> View:
        """The texts of the batch's rows; rows without the pivot language are absent."""
        present = store.holds(batch.rows, self.pivot)
        own = batch.query_languages if self.side == "query" else batch.passage_languages
        languages = [self.pivot if there else language for there, language in zip(present, own, strict=True)]
        texts = store.texts(batch.rows.tolist(), self.side, languages)
        features = self.tokenizer.queries(texts) if self.side == "query" else self.tokenizer.passages(texts)
        return View(features, torch.from_numpy(present))


@dataclass(frozen=True)
class VariantQueries:
    """Each row's query in another training language that the row has, drawn by seed, batch and row."""

    languages: tuple[str, ...]
    tokenizer: SideTokenizer
    seed: int

    def __call__(self, store: ParallelStore, batch: Rows) -> View:
        """The texts of the batch's rows; rows with one language only are absent."""
        held = {language: store.holds(batch.rows, language) for language in self.languages}
        chosen = [
            self._choose([language for language in self.languages if held[language][place] and language != own], key)
            for place, (own, key) in enumerate(zip(batch.query_languages, self._keys(batch), strict=True))
        ]
        languages = [other or own for other, own in zip(chosen, batch.query_languages, strict=True)]
        features = self.tokenizer.queries(store.texts(batch.rows.tolist(), "query", languages))
        return View(features, torch.tensor([other is not None for other in chosen]))

    def _keys(self, batch: Rows) -> Sequence[int]:
        return [text_key(f"{self.seed} {batch.index} {row}") for row in batch.rows.tolist()]

    @staticmethod
    def _choose(languages: list[str], key: int) -> str | None:
        return languages[key % len(languages)] if languages else None


ViewMakers = Mapping[str, ViewMaker]
