"""What a training step receives."""

from dataclasses import dataclass, field, replace
from typing import Self

from torch import Tensor

from mixlingua.data.views import View


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
