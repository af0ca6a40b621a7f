"""From a planned batch to tensors: a data set whose index is the number of the batch."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from mixlingua.data.batch import TrainBatch
from mixlingua.data.keys import text_key
from mixlingua.data.protocols import Augmentation, BatchPlan, PairTokenizer, PlannedBatch, Side
from mixlingua.data.store import ParallelStore
from mixlingua.data.views import ViewMakers


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
