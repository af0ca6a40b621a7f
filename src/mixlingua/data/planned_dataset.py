"""A batch plan for the trainer of sentence-transformers: its batches as a data set, and a sampler that keeps them.

    dataset = planned_dataset(plan, num_batches=500)
    arguments = SentenceTransformerTrainingArguments(..., batch_sampler=planned_batches(plan), max_steps=500,
                                                     per_device_train_batch_size=plan.batch_size)

Needs the library `datasets`. Meant for one process: with several, that trainer gives each process whole batches.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import BatchSampler

from mixlingua.data.store import ParallelStore
from mixlingua.errors import ConfigError
from mixlingua.sampling.plan import BatchPlan, PlannedBatch

if TYPE_CHECKING:
    from datasets import Dataset


def planned_dataset(plan: BatchPlan[ParallelStore], num_batches: int, num_negatives: int = 0) -> "Dataset":
    """The rows of a plan's first batches, one after the other: `anchor`, `positive`, and `negative_1`, ...

    Texts are read as they are asked for; 8 bytes a row are kept. num_negatives: of each row's negatives, as many as
    every row has, or fewer. Raises ConfigError where a source has rows with fewer.
    """
    from datasets import Dataset

    for store in plan.sources:
        if store.min_negatives < num_negatives:
            raise ConfigError(f"num_negatives={num_negatives}: '{store.name}' has rows with {store.min_negatives}.")

    def read(places: dict[str, list[int]]) -> dict[str, list[str]]:
        steps, offsets = np.divmod(np.array(places["place"]), plan.batch_size)
        columns: dict[str, list[str]] = {}
        for step in dict.fromkeys(steps.tolist()):
            batch, chosen = plan.batch(step), offsets[steps == step]
            for name, texts in _texts(plan, batch, chosen, num_negatives).items():
                columns.setdefault(name, []).extend(texts)
        return columns

    dataset = Dataset.from_dict({"place": np.arange(num_batches * plan.batch_size)})
    return dataset.with_transform(read)


def _texts(
    plan: BatchPlan[ParallelStore], batch: PlannedBatch, chosen: Any, num_negatives: int
) -> dict[str, list[str]]:
    store, rows = plan.sources[batch.source_index], batch.rows[chosen].tolist()
    query_languages, passage_languages = (
        [languages[place] for place in chosen] for languages in (batch.query_languages, batch.passage_languages)
    )
    columns = {
        "anchor": store.texts(rows, "query", query_languages),
        "positive": store.texts(rows, "passage", passage_languages),
    }
    if num_negatives:
        negatives, start = store.negatives(rows, passage_languages), batch.index * num_negatives
        for number in range(num_negatives):
            columns[f"negative_{number + 1}"] = [texts[(start + number) % len(texts)] for texts in negatives]
    return columns


class _PlannedBatches(BatchSampler):
    """Batch i is the rows of batch i of the plan. Every epoch begins at batch 0: use max_steps, and one epoch."""

    def __init__(self, num_batches: int, batch_size: int) -> None:
        super().__init__(range(num_batches * batch_size), batch_size, drop_last=True)

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield list(range(start, start + self.batch_size))


def planned_batches(plan: BatchPlan[ParallelStore]) -> Callable[..., BatchSampler]:
    """What `SentenceTransformerTrainingArguments(batch_sampler=...)` takes, for a data set of `planned_dataset`.

    The sampler that it makes raises ConfigError where the trainer's batch size is not the plan's.
    """

    def make(dataset: Any, batch_size: int, **_: Any) -> BatchSampler:
        if batch_size != plan.batch_size or len(dataset) % batch_size:
            raise ConfigError(
                f"per_device_train_batch_size={batch_size}: the plan's batches have {plan.batch_size} rows. Set it to "
                "this, and take the data set from planned_dataset."
            )
        return _PlannedBatches(len(dataset) // batch_size, batch_size)

    return make
