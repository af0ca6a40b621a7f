"""From a planned batch to tensors: a data set whose index is the number of the batch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mixlingua.data.rows import Augmentation, BatchPlan, PairTokenizer, PlannedBatch, Side, text_key
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


@dataclass
class TrainBatch:
    """One rank's share of a step: B queries and P = B * (1 + num_negatives) passages, tokenised.

    queries: input_ids and attention_mask, (B, Lq) int64; passages: the same, (P, Lp). Passage i < B is query i's
    positive; then follow num_negatives passages for query 0, as many for query 1, and so on.
    query_keys: (B, K + 1) int64; passage_keys: (P, K + 1) int64. The keys of a row are the store's keys and a hash of
    the passage's text; a hard negative has the hash of its text only, repeated. Passage j is a negative of query q
    exactly where passage_keys[j] and query_keys[q] have no value in common.
    index: the step's batch number in its plan; kind: "monolingual", "crosslingual", "mixed" or "english"; source: the
    store's name; query_languages, passage_languages: ISO 639-1 codes of the B rows. views: further texts of the B rows
    that a loss asked for, by name (data/views.py).
    """

    queries: dict[str, Tensor]
    passages: dict[str, Tensor]
    query_keys: Tensor
    passage_keys: Tensor
    index: int
    kind: str
    source: str
    query_languages: list[str]
    passage_languages: list[str]
    views: dict[str, View] = field(default_factory=dict)

    def pin_memory(self) -> Self:
        """The batch with its tensors in page-locked memory (called by the DataLoader)."""
        return replace(
            self,
            queries={name: tensor.pin_memory() for name, tensor in self.queries.items()},
            passages={name: tensor.pin_memory() for name, tensor in self.passages.items()},
            query_keys=self.query_keys.pin_memory(),
            passage_keys=self.passage_keys.pin_memory(),
            views={name: view.pin_memory() for name, view in self.views.items()},
        )


class StepDataset(Dataset[TrainBatch]):
    """One rank's share of every batch of a plan, tokenised: `dataset[i]` is batch number i.

    Each query brings num_negatives of its row's negatives, in its passage's language, a different window of them at
    different batches. views: further texts that the losses ask for, by name. An augmentation changes the texts, but
    neither the keys nor the views, which stay those of the store's texts. Nothing is random and nothing is kept between
    batches.
    """

    def __init__(
        self,
        stores: Sequence[ParallelStore],
        plan: BatchPlan,
        tokenizer: PairTokenizer,
        *,
        num_negatives: int,
        rank: int,
        world_size: int,
        views: ViewMakers | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self._stores = list(stores)
        self._plan = plan
        self._tokenizer = tokenizer
        self._views = dict(views or {})
        self._augmentation = augmentation
        self._num_negatives = num_negatives
        self._rank = rank
        self._world_size = world_size

    def __getitem__(self, index: int) -> TrainBatch:
        batch = self._plan.batch(index).slice(self._rank, self._world_size)
        store = self._stores[batch.source]
        rows = batch.rows.tolist()
        queries = store.texts(rows, "query", batch.query_languages)
        positives = store.texts(rows, "passage", batch.passage_languages)
        negatives = self._negatives(store, rows, batch)
        keys = np.empty((len(rows), store.keys.shape[1] + 1), np.int64)
        keys[:, :-1] = store.keys[batch.rows]
        keys[:, -1] = [text_key(text) for text in positives]
        negative_keys = np.repeat(np.array([text_key(text) for text in negatives], np.int64)[:, None], keys.shape[1], 1)
        if self._augmentation is not None:
            queries = self._augmented(self._augmentation, batch, "query", queries, 0)
            positives = self._augmented(self._augmentation, batch, "passage", positives, 0)
            negatives = self._augmented(self._augmentation, batch, "passage", negatives, 1)
        return TrainBatch(
            queries=self._tokenizer.queries(queries),
            passages=self._tokenizer.passages([*positives, *negatives]),
            query_keys=torch.from_numpy(keys),
            passage_keys=torch.from_numpy(np.concatenate([keys, negative_keys])),
            index=index,
            kind=batch.kind,
            source=store.name,
            query_languages=list(batch.query_languages),
            passage_languages=list(batch.passage_languages),
            views={name: make(store, batch) for name, make in self._views.items()},
        )

    def _negatives(self, store: ParallelStore, rows: list[int], batch: PlannedBatch) -> list[str]:
        if not self._num_negatives:
            return []
        start = batch.index * self._num_negatives
        return [
            texts[(start + number) % len(texts)]
            for texts in store.negatives(rows, batch.passage_languages)
            for number in range(self._num_negatives)
        ]

    @staticmethod
    def _augmented(change: Augmentation, batch: PlannedBatch, side: Side, texts: list[str], first: int) -> list[str]:
        """texts: as many for each row of the batch, row by row; their numbers begin at `first`."""
        languages = batch.query_languages if side == "query" else batch.passage_languages
        rows = batch.rows.tolist()
        changed = []
        for position, text in enumerate(texts):
            row, number = divmod(position, len(texts) // len(rows))
            changed.append(change(text, languages[row], side, (batch.index, rows[row], first + number)))
        return changed


class StepSampler(Sampler[int]):
    """The batch numbers of a training run, from `start` on.

    Its length is that of a whole pass, num_batches, also where it starts inside one: Lightning counts the batches that
    a resumed run has behind it. A second pass goes on with the numbers after the first.
    """

    def __init__(self, num_batches: int, start: int) -> None:
        self._num_batches = num_batches
        self._next = start

    def __len__(self) -> int:
        return self._num_batches

    def __iter__(self) -> Iterator[int]:
        # A generator, so that an iterator nobody reads from moves nothing: the DataLoader makes two and reads one.
        first = self._next
        self._next = (first // self._num_batches + 1) * self._num_batches
        yield from range(first, self._next)


class StepLoader(DataLoader[TrainBatch]):
    """A DataLoader that Lightning knows to be resumable; its position is part of PairDataModule's state."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to load: the sampler was made to start at the right batch."""
