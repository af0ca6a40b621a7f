"""Further texts of a batch's rows, for losses that hold a text against its own translations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mixlingua.data.keys import text_key
from mixlingua.data.protocols import PairTokenizer, PlannedBatch, Side
from mixlingua.data.store import ParallelStore

QUERIES, PASSAGES = "queries", "passages"  # not views, but the batch's own texts
PIVOT_QUERIES = "pivot_queries"  # each row's query in the pivot language, for a teacher
PIVOT_PASSAGES = "pivot_passages"  # its passage
OWN_QUERIES = "own_queries"  # each row's query as the batch has it, for a teacher
OWN_PASSAGES = "own_passages"  # its passage
VARIANT_QUERIES = "variant_queries"  # its query in another language than the batch's, for the model itself
VARIANT_PASSAGES = "variant_passages"  # its passage in one or several other languages, for the model itself
TEACHER_VIEWS = (PIVOT_QUERIES, PIVOT_PASSAGES, OWN_QUERIES, OWN_PASSAGES)
SIDES: Mapping[str, Side] = {
    QUERIES: "query",
    PASSAGES: "passage",
    PIVOT_QUERIES: "query",
    PIVOT_PASSAGES: "passage",
    OWN_QUERIES: "query",
    OWN_PASSAGES: "passage",
    VARIANT_QUERIES: "query",
    VARIANT_PASSAGES: "passage",
}


@dataclass
class View:
    """One or several further texts for each of B rows, tokenised: K of the first row, then K of the second, and so on.

    features: input_ids and attention_mask, (B K, L) int64. present: (B K,) bool, whether the row has such a text; where
    it has not, its own query or passage stands there, which must not count.
    """

    features: dict[str, Tensor]
    present: Tensor

    def pin_memory(self) -> "View":
        """The same in page-locked memory."""
        return View({name: tensor.pin_memory() for name, tensor in self.features.items()}, self.present.pin_memory())


class ViewMaker(Protocol):
    """Gives a batch's view. Travels to worker processes; nothing in it is random."""

    def __call__(self, store: ParallelStore, batch: PlannedBatch) -> View: ...


@dataclass(frozen=True)
class TeacherTexts:
    """Queries or passages as the teacher reads them; language: in the pivot language, None: in those of the batch."""

    side: Side
    language: str | None
    tokenizer: PairTokenizer

    def __call__(self, store: ParallelStore, batch: PlannedBatch) -> View:
        """The texts of the batch's rows; rows without the pivot language are absent."""
        languages = list(batch.query_languages if self.side == "query" else batch.passage_languages)
        present = np.ones(len(languages), np.bool_)
        if self.language is not None:
            present = store.holds(batch.rows, self.language)
            languages = [self.language if there else own for there, own in zip(present, languages, strict=True)]
        texts = store.texts(batch.rows.tolist(), self.side, languages)
        features = self.tokenizer.queries(texts) if self.side == "query" else self.tokenizer.passages(texts)
        return View(features, torch.from_numpy(present))


@dataclass(frozen=True)
class Variants:
    """Each row's query or passage in `count` other training languages that it has, drawn by seed, batch and row."""

    side: Side
    languages: tuple[str, ...]
    tokenizer: PairTokenizer
    seed: int
    count: int

    def __call__(self, store: ParallelStore, batch: PlannedBatch) -> View:
        """The texts of the batch's rows; where a row has too few languages, texts are absent."""
        held = {language: store.holds(batch.rows, language) for language in self.languages}
        own = batch.query_languages if self.side == "query" else batch.passage_languages
        rows: list[int] = []
        languages: list[str] = []
        present: list[bool] = []
        for place, (row, language) in enumerate(zip(batch.rows.tolist(), own, strict=True)):
            others = [name for name in self.languages if held[name][place] and name != language]
            drawn = sorted(others, key=lambda name: text_key(f"{self.seed} {batch.index} {row} {self.side} {name}"))
            drawn = drawn[: self.count]
            missing = self.count - len(drawn)
            rows += [row] * self.count
            languages += drawn + [language] * missing
            present += [True] * len(drawn) + [False] * missing
        texts = store.texts(rows, self.side, languages)
        features = self.tokenizer.queries(texts) if self.side == "query" else self.tokenizer.passages(texts)
        return View(features, torch.tensor(present))


ViewMakers = Mapping[str, ViewMaker]
