"""What batches are made with, and is made elsewhere: plans, tokenizers, augmentations."""

from typing import Any, Literal, Protocol, Self

import numpy as np
from torch import Tensor

Side = Literal["query", "passage"]


class PairTokenizer(Protocol):
    """Tokenises a whole batch: input_ids and attention_mask, padded to the longest. Travels to worker processes."""

    def queries(self, texts: list[str]) -> dict[str, Tensor]: ...

    def passages(self, texts: list[str]) -> dict[str, Tensor]: ...


class PlannedBatch(Protocol):
    """What a plan decides about one batch: rows of stores[source], and each row's query and passage language."""

    @property
    def index(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def source(self) -> int: ...
    @property
    def rows(self) -> np.ndarray: ...
    @property
    def query_languages(self) -> list[str]: ...
    @property
    def passage_languages(self) -> list[str]: ...

    def slice(self, rank: int, world_size: int) -> Self: ...


class BatchPlan(Protocol):
    """A batch by its number alone; `describe` holds, in plain containers, everything else that decides it."""

    def batch(self, index: int) -> PlannedBatch: ...

    def describe(self) -> dict[str, Any]: ...


class Augmentation(Protocol):
    """Changes a text before it is tokenised: equal arguments give equal texts, in every process. Travels to workers.

    place: the number of the batch, the text's row in its source, and 0, or from 1 the number of the hard negative.
    `describe` holds, in plain containers, everything else that decides the texts.
    """

    def __call__(self, text: str, language: str, side: Side, place: tuple[int, int, int]) -> str: ...

    def describe(self) -> dict[str, Any]: ...
