"""How the vectors of passages become those that are searched: nothing is trained, and a search costs what it did."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from mixlingua.errors import ConfigError
from mixlingua.retrieval.expansion import NeighbourExpansion
from mixlingua.retrieval.localized_centring import LocalizedCentring


@dataclass(frozen=True)
class Indexing:
    """What is done to passages, in this order; by default nothing.

    context_weight: a passage x becomes x + context_weight · c, brought back to length one, c being the vector of the
    text that it is a part of. expansion: it is joined with its nearest passages in other languages. centring: its score
    is lowered by how near its nearest passages are.
    """

    context_weight: float = 0.0
    expansion: NeighbourExpansion | None = None
    centring: LocalizedCentring | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.context_weight < math.inf:
            raise ConfigError(f"context_weight={self.context_weight}: 0 for passages alone, or more, such as 0.2.")

    @property
    def note(self) -> str:
        """What a reader of figures should know, a sentence for each part."""
        sentences = []
        if self.context_weight:
            sentences.append(f"Each passage has {self.context_weight} of its paragraph's vector added.")
        if self.expansion:
            sentences.append("Each passage is joined with its nearest ones in other languages, before it is searched.")
        if self.centring:
            sentences.append("Each passage's score is lowered by how near its nearest ones in its language are.")
        return " ".join(sentences)

    def passages(self, passages: Tensor, contexts: Tensor, languages: Sequence[str]) -> Tensor:
        """What is searched, (P, D) or (P, D + 1) float32 on the CPU, for the (P, D) unit rows of passages.

        contexts: (P, D) unit rows, not looked at without a context_weight; languages: of each row. Raises DataError as
        the parts do.
        """
        if self.context_weight:
            passages = functional.normalize(passages + self.context_weight * contexts, dim=1)
        if self.expansion:
            passages = self.expansion(passages, languages)
        return self.centring(passages, languages) if self.centring else passages

    def queries(self, queries: Tensor) -> Tensor:
        """What searches, (Q, D) or (Q, D + 1), for the (Q, D) vectors of questions."""
        return self.centring.queries(queries) if self.centring else queries
