"""From a planned batch to tensors: a data set whose index is the number of the batch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mixlingua.data.rows import Augmentation, Side, text_key
from mixlingua.data.store import ParallelStore
from mixlingua.data.tokenizer import PairTokenizer
from mixlingua.errors import MixlinguaError
from mixlingua.sampling.plan import BatchPlan, PlannedBatch


class View(StrEnum):
    """A text of each row that a loss may look at, by name.

    Every batch has `QUERIES` and `PASSAGES`. The others are made where a loss asks for them: the teacher reads the
    teacher views, and the model itself reads the variants, which are the row's text in other languages.
    """

    QUERIES = "queries"
    PASSAGES = "passages"
    PIVOT_QUERIES = "pivot_queries"  # for the teacher, in the pivot language
    PIVOT_PASSAGES = "pivot_passages"
    TEACHER_QUERIES = "teacher_queries"  # for the teacher, in the batch's own language
    TEACHER_PASSAGES = "teacher_passages"
    VARIANT_QUERIES = "variant_queries"  # for the model, in another language than the batch's
    VARIANT_PASSAGES = "variant_passages"

    @property
    def side(self) -> Side:
        """Whether it is a query or a passage."""
        return "query" if self.endswith("queries") else "passage"

    @property
    def read_by_teacher(self) -> bool:
        """Whether the teacher reads it, and not the model in training."""
        return self.startswith(("pivot", "teacher"))


@dataclass
class ViewTexts:
    """The texts of a view, tokenised: K for the first of B rows, then K for the second, and so on.

    features: input_ids and attention_mask, (B K, L) int64. present: (B K,) bool, whether the row has such a text. Where
    it has none, its text in the batch's language stands in, and losses leave it out.
    """

    features: dict[str, Tensor]
    present: Tensor

    def pin_memory(self) -> Self:
        """The same in page-locked memory."""
        return replace(self, features=_pinned(self.features), present=self.present.pin_memory())


class ViewMaker(Protocol):
    """Gives a batch's texts of one view. It travels to worker processes; nothing in it is random."""

    @property
    def tokenizer(self) -> PairTokenizer: ...

    def __call__(self, store: ParallelStore, batch: PlannedBatch) -> ViewTexts: ...


@dataclass(frozen=True)
class TeacherTexts:
    """Queries or passages for the teacher: in the pivot language, or in the batch's own where `pivot` is None."""

    side: Side
    pivot: str | None
    tokenizer: PairTokenizer

    def __call__(self, store: ParallelStore, batch: PlannedBatch) -> ViewTexts:
        """One text a row; rows that lack the pivot language are absent."""
        languages = _languages(batch, self.side)
        present = np.ones(len(languages), np.bool_)
        if self.pivot is not None:
            present = store.holds(batch.rows, self.pivot)
            languages = [self.pivot if held else own for held, own in zip(present, languages, strict=True)]
        texts = store.texts(batch.rows.tolist(), self.side, languages)
        return ViewTexts(_features(self.tokenizer, self.side, texts), torch.from_numpy(present))


@dataclass(frozen=True)
class VariantTexts:
    """Each row's query or passage in `count` other training languages that it has, drawn by seed, batch and row."""

    side: Side
    languages: tuple[str, ...]
    tokenizer: PairTokenizer
    seed: int
    count: int

    def __call__(self, store: ParallelStore, batch: PlannedBatch) -> ViewTexts:
        """`count` texts a row; where a row has fewer other languages, the rest are absent."""
        held = {language: store.holds(batch.rows, language) for language in self.languages}
        rows: list[int] = []
        languages: list[str] = []
        present: list[bool] = []
        for position, (row, language) in enumerate(zip(batch.rows.tolist(), _languages(batch, self.side), strict=True)):
            others = [name for name in self.languages if held[name][position] and name != language]
            others.sort(key=lambda name: text_key(f"{self.seed} {batch.index} {row} {self.side} {name}"))
            drawn = others[: self.count]
            missing = self.count - len(drawn)
            rows += [row] * self.count
            languages += drawn + [language] * missing
            present += [True] * len(drawn) + [False] * missing
        texts = store.texts(rows, self.side, languages)
        return ViewTexts(_features(self.tokenizer, self.side, texts), torch.tensor(present))


def view_makers(
    views: Mapping[View, int],
    tokenizer: PairTokenizer,
    teacher_tokenizer: PairTokenizer | None,
    *,
    pivot: str,
    languages: Sequence[str],
    seed: int,
) -> dict[View, ViewMaker]:
    """How to make each view that the losses ask for; views: with the number of texts a row.

    teacher_tokenizer: needed where a view is the teacher's. pivot: its language. languages, seed: of the variants.
    """
    makers: dict[View, ViewMaker] = {}
    for view, count in views.items():
        if view.read_by_teacher:
            assert teacher_tokenizer is not None
            language = pivot if view in (View.PIVOT_QUERIES, View.PIVOT_PASSAGES) else None
            makers[view] = TeacherTexts(view.side, language, teacher_tokenizer)
        else:
            makers[view] = VariantTexts(view.side, tuple(languages), tokenizer, seed, count)
    return makers


def _languages(batch: PlannedBatch, side: Side) -> list[str]:
    """The language of each row's query or passage."""
    return batch.query_languages if side == "query" else batch.passage_languages


def _features(tokenizer: PairTokenizer, side: Side, texts: list[str]) -> dict[str, Tensor]:
    return tokenizer.queries(texts) if side == "query" else tokenizer.passages(texts)


def _pinned(features: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.pin_memory() for name, tensor in features.items()}


@dataclass
class TrainBatch:
    """One rank's share of a step: B queries and P = B * (1 + num_negatives) passages, tokenised.

    queries: input_ids and attention_mask, (B, Lq) int64; passages: the same, (P, Lp). Passage i < B is query i's
    positive; then follow num_negatives passages for query 0, as many for query 1, and so on.
    query_keys: (B, K + 2 + M) int64; passage_keys: (P, K + 2 + M) int64. The keys of a row are the store's keys and
    what is known of its question and its passage; a query has those of M further passages that answer it in other rows;
    a hard negative has the keys of a row that has it as its passage, but for those of its own row, and what is known of
    it. Where there are fewer, one is repeated. Passage j is a negative of
    query q exactly where passage_keys[j] and query_keys[q] have no value in common: neither the row's own passage in
    any language, nor an answer to the same question, nor text that it contains.
    scores: (B, 1 + num_negatives) a teacher's scores of each query's own passages, NaN where there are none; None where
    the source has no scores.
    index: the step's batch number in its plan; kind: "monolingual", "crosslingual", "mixed" or "english"; source: the
    store's name; query_languages, passage_languages: ISO 639-1 codes of the B rows. views: the further texts of the B
    rows that a loss asked for.
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
    scores: Tensor | None = None
    views: dict[View, ViewTexts] = field(default_factory=dict)

    def pin_memory(self) -> Self:
        """The batch with its tensors in page-locked memory (called by the DataLoader)."""
        return replace(
            self,
            queries=_pinned(self.queries),
            passages=_pinned(self.passages),
            query_keys=self.query_keys.pin_memory(),
            passage_keys=self.passage_keys.pin_memory(),
            scores=None if self.scores is None else self.scores.pin_memory(),
            views={view: texts.pin_memory() for view, texts in self.views.items()},
        )


class StepDataset(Dataset[TrainBatch]):
    """One rank's share of every batch of a plan, tokenised: `dataset[i]` is batch number i.

    Each query brings num_negatives of its row's negatives, in its passage's language, a different window of them at
    different batches; of a source of translations, which has none, it brings none. views: makers of the further texts
    that the losses ask for. An augmentation changes the texts of the batch, but neither the keys nor the views, which
    stay those of the store's texts. Nothing is random and nothing is kept between batches.
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
        views: Mapping[View, ViewMaker] | None = None,
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
        whole = self._plan.batch(index)
        batch = whole.slice(self._rank, self._world_size)
        store = self._stores[batch.source_index]
        rows = batch.rows.tolist()
        queries = store.texts(rows, "query", batch.query_languages)
        positives = store.texts(rows, "passage", batch.passage_languages)
        negatives, scores = self._negatives(store, rows, batch)
        further = store.further_answers(batch.rows, whole.rows, with_negatives=bool(self._num_negatives))
        keys = np.column_stack([store.keys[batch.rows], store.known[batch.rows]])
        query_keys = np.column_stack([keys, further])
        passage_keys = np.column_stack([keys, np.repeat(keys[:, -1:], further.shape[1], axis=1)])
        if negatives:
            of_negatives = store.negative_keys(np.repeat(batch.rows, len(negatives) // len(rows)), negatives)
            of_negatives = np.column_stack([of_negatives, np.repeat(of_negatives[:, -1:], further.shape[1], axis=1)])
            passage_keys = np.concatenate([passage_keys, of_negatives])
        if self._augmentation is not None:
            queries = _augmented(self._augmentation, batch, "query", queries, first=0)
            positives = _augmented(self._augmentation, batch, "passage", positives, first=0)
            negatives = _augmented(self._augmentation, batch, "passage", negatives, first=1)
        return TrainBatch(
            queries=self._tokenizer.queries(queries),
            passages=self._tokenizer.passages([*positives, *negatives]),
            query_keys=torch.from_numpy(query_keys),
            passage_keys=torch.from_numpy(passage_keys),
            index=index,
            kind=batch.kind,
            source=store.name,
            query_languages=batch.query_languages,
            passage_languages=batch.passage_languages,
            scores=scores,
            views={view: make(store, batch) for view, make in self._views.items()},
        )

    def largest_batch(self) -> int:
        """Bytes of the largest batch that may come: as the first, with every text as long as its tokenizer allows."""
        batch = self[0]
        features = [(batch.queries, self._tokenizer, "query"), (batch.passages, self._tokenizer, "passage")]
        features += [(texts.features, self._views[view].tokenizer, view.side) for view, texts in batch.views.items()]
        tokens = sum(
            tensor.shape[0] * tokenizer.max_length[side] * tensor.element_size()
            for tensors, tokenizer, side in features
            for tensor in tensors.values()
        )
        others = (batch.query_keys, batch.passage_keys, batch.scores)
        return tokens + sum(tensor.nbytes for tensor in others if tensor is not None)

    def _negatives(self, store: ParallelStore, rows: list[int], batch: PlannedBatch) -> tuple[list[str], Tensor | None]:
        """The hard negatives, query by query, and the scores of each query's passage and hard negatives."""
        languages = batch.passage_languages
        count = self._num_negatives if store.min_negatives >= self._num_negatives else 0
        listed = store.negatives(rows, languages) if count else [[]] * len(rows)
        chosen = [[(batch.index * count + number) % len(texts) for number in range(count)] for texts in listed]
        negatives = [texts[place] for texts, places in zip(listed, chosen, strict=True) for place in places]
        if not store.has_scores:
            return negatives, None
        scores = torch.full((len(rows), 1 + count), torch.nan)
        for row, (given, places) in enumerate(zip(store.scores(rows, languages), chosen, strict=True)):
            if given:
                scores[row] = torch.tensor([given[0], *(given[1 + place] for place in places)])
        return negatives, scores


def _augmented(change: Augmentation, batch: PlannedBatch, side: Side, texts: list[str], *, first: int) -> list[str]:
    """texts: as many for each row of the batch, row by row; a row's texts are numbered from `first`."""
    languages, rows = _languages(batch, side), batch.rows.tolist()
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
    """A DataLoader that Lightning knows to be resumable; its position is part of PairDataModule's state.

    A worker's error arrives as it is; torch itself would pass on the text of its traceback.
    """

    def __init__(self, dataset: StepDataset, **options: Any) -> None:
        super().__init__(_ErrorsReturned(dataset), batch_size=None, **options)  # type: ignore[arg-type]

    def __iter__(self) -> Any:
        return map(_raised, super().__iter__())

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to load: the sampler was made to start at the right batch."""


@dataclass
class _ErrorsReturned(Dataset[TrainBatch | MixlinguaError]):
    dataset: StepDataset

    def __getitem__(self, index: int) -> TrainBatch | MixlinguaError:
        try:
            return self.dataset[index]
        except MixlinguaError as error:
            return error


def _raised(item: TrainBatch | MixlinguaError) -> TrainBatch:
    if isinstance(item, MixlinguaError):
        raise item
    return item
