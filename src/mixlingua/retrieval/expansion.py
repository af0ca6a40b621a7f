"""Joining each passage of an index with what is nearest to it in other languages.

A question finds a passage in its own language before the same passage in others, because vectors keep some of their
language. Passages of one meaning lie closer to one another, whatever their languages, than questions lie to them. So an
index can put right, before any question is asked, part of what the encoder did not: nothing is trained, and a question
is searched for as before.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mixlingua.errors import ConfigError, DataError
from mixlingua.retrieval.exact import on_grid
from mixlingua.retrieval.top import top


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
