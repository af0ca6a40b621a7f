"""How the vectors of passages become those that are searched: nothing is trained, and a search costs what it did."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mixlingua.errors import ConfigError, DataError
from mixlingua.retrieval.search import exact_scores, on_grid, top


@dataclass(frozen=True)
class NeighbourExpansion:
    """Each passage x becomes x + Σ_l exp((cos(x, n_l) - 1) / temperature) n_l, brought back to length one, where n_l is
    the passage of language l that is nearest to it, for every language l but its own.

    temperature: above 0. The lower, the nearer a passage must be to count: at 0.05, one at a cosine of .95 counts .37,
    at .85 .05. So a passage whose translations are not in the index stays about where it is.
    Source: database-side feature augmentation of image retrieval (Turcot and Lowe 2009; Arandjelović and Zisserman
    2012), with one neighbour in each language in place of the nearest ones, and a Gaussian kernel as weight.
    """

    temperature: float

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ConfigError(f"expansion.temperature={self.temperature}: a number above 0, such as 0.05.")

    def __call__(self, passages: Tensor, languages: Sequence[str]) -> Tensor:
        """(P, D) float32 unit rows for (P, D) unit rows, on the CPU; languages: of each row.

        In one language nothing changes. Neighbours are searched for exactly, in P² D operations; of equally near ones
        the first counts, so equal passages in one language stay equal. Raises DataError where languages are not P.
        """
        if len(languages) != len(passages):
            raise DataError(f"expansion: {len(passages)} passages, but the languages of {len(languages)}.")
        names = sorted(set(languages))
        if len(names) < 2:
            return passages
        codes = torch.tensor([names.index(language) for language in languages])
        searched = on_grid(passages)
        expanded = passages.clone()
        for code in range(len(names)):
            inside, outside = (codes == code).nonzero()[:, 0], (codes != code).nonzero()[:, 0]
            cosines, nearest = top(searched[outside], [searched[inside]], count=1)
            weights = torch.exp((cosines - 1) / self.temperature).float()
            expanded[outside] += weights * passages[inside[nearest[:, 0]]]
        return functional.normalize(expanded, dim=1)


@dataclass(frozen=True)
class LocalizedCentring:
    """The score of a passage x becomes q·x - weight · h(x), h(x) being the mean cosine of x to its nearest passages.

    weight: above 0. neighbours: how many of the nearest passages in x's own language h(x) is the mean of. In one
    language, since translations are no crowd: the more of them an index holds, the better.
    Source: localized centering (Hara et al., AAAI 2015), in which the score loses the γ-th power of x's inner product
    with the mean of its nearest neighbours, which is h(x); here it has a weight in place of a power. With 1/2, and
    questions as neighbours, it would be CSLS (Conneau et al. 2018, arXiv 1710.04087).
    """

    weight: float
    neighbours: int

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise ConfigError(f"centring.weight={self.weight}: a number above 0, such as 0.4; null for no centring.")
        if isinstance(self.neighbours, bool) or not isinstance(self.neighbours, int) or self.neighbours < 1:
            raise ConfigError(f"centring.neighbours={self.neighbours}: a whole number of passages, at least 1.")

    def problem(self, num_passages: Mapping[str, int]) -> str | None:
        """Why an index cannot have it: languages with too few passages to be neighbours. num_passages: by language."""
        few = {name: count for name, count in sorted(num_passages.items()) if count <= self.neighbours}
        if not few:
            return None
        counts = ", ".join(f"{name} ({count})" for name, count in few.items())
        return (
            f"centring.neighbours={self.neighbours}: needs more than {self.neighbours} passages in each language; "
            f"too few are in {counts}. Set it to {max(min(few.values()) - 1, 1)}, or leave the centring out."
        )

    def __call__(self, passages: Tensor, languages: Sequence[str]) -> Tensor:
        """(P, D + 1) float32 rows for (P, D) unit rows, on the CPU: -weight · h(x) is put behind each.

        languages: of each row. The score is the inner product with a question behind which `queries` put 1.
        Neighbours are searched for exactly, so that equal passages stay equal. Raises DataError where languages are not
        P, or one of them has too few passages to be neighbours.
        """
        if len(languages) != len(passages):
            raise DataError(f"centring: {len(passages)} passages, but the languages of {len(languages)}.")
        if problem := self.problem(Counter(languages)):
            raise DataError(problem)
        names = sorted(set(languages))
        codes = torch.tensor([names.index(language) for language in languages])
        searched = on_grid(passages)
        crowding = torch.empty(len(passages), 1)
        for code in range(len(names)):
            inside = (codes == code).nonzero()[:, 0]
            own = searched[inside]
            nearest = top(own, [own], self.neighbours + 1)[0]  # itself among them
            crowding[inside, 0] = ((nearest.sum(dim=1) - exact_scores(own, own)) / self.neighbours).float()
        return torch.cat([passages, -self.weight * crowding], dim=1)

    def queries(self, queries: Tensor) -> Tensor:
        """(Q, D + 1) rows for the (Q, D) vectors of questions."""
        return torch.cat([queries, torch.ones(len(queries), 1)], dim=1)


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
