"""Lowering the scores of hubs: passages that lie near many others, and so near questions that they do not answer."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixlingua.errors import ConfigError, DataError
from mixlingua.retrieval.exact import exact_scores, on_grid
from mixlingua.retrieval.top import top


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
