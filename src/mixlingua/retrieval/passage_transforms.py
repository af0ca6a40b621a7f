"""What is done to the vectors of passages before they are searched: untrained, without labels.

`PassageTransforms` holds the three steps in their order: the vector of the passage's paragraph is added (context),
the passage is joined with its nearest passages in other languages (`Joining`), and hubs score less (`HubCorrection`).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mixlingua.errors import ConfigError, DataError, check_whole
from mixlingua.retrieval.search import exact_scores, on_grid, top


@dataclass(frozen=True)
class Joining:
    """Each passage x becomes x + Σ_l exp((cos(x, n_l) - 1) / temperature) n_l, scaled to unit length.

    n_l is the passage of language l that is nearest to x, for every language l but x's own.
    temperature: above 0. The lower, the nearer a passage must be to count: at 0.05, one at a cosine of .95 counts .37,
    and one at .85 counts .05. A passage whose translations are not in the pool therefore hardly moves.
    Source: database-side feature augmentation of image retrieval (Turcot and Lowe 2009; Arandjelović and Zisserman
    2012), with one neighbour in each language in place of the nearest ones, and a Gaussian kernel as weight.
    """

    temperature: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ConfigError(f"joining.temperature={self.temperature}: must be above 0, such as 0.05.")

    def __call__(self, passages: Tensor, languages: Sequence[str]) -> Tensor:
        """(P, D) float32 unit rows for (P, D) unit rows, on the CPU; languages: of each row.

        Passages in a single language stay as they are. The nearest passages are found exactly, in P² D operations. The
        first of equally near ones counts, so equal passages in one language stay equal. Raises DataError where there
        are not P languages.
        """
        if len(languages) != len(passages):
            raise DataError(f"joining: {len(passages)} passages, but the languages of {len(languages)}.")
        rows_of_language = _rows_of_language(languages)
        if len(rows_of_language) < 2:
            return passages
        searched = on_grid(passages)
        joined = passages.clone()
        for rows in rows_of_language.values():
            outside = torch.ones(len(passages), dtype=torch.bool)
            outside[rows] = False
            cosines, nearest = top(searched[outside], [searched[rows]], count=1)
            weights = torch.exp((cosines - 1) / self.temperature).float()
            joined[outside] += weights * passages[rows[nearest[:, 0]]]
        return functional.normalize(joined, dim=1)


@dataclass(frozen=True)
class HubCorrection:
    """The score of a passage x becomes q·x - weight · h(x), where h(x) is the mean cosine of x to its nearest passages.

    weight: of h(x), above 0
    neighbours: how many passages h(x) is the mean over, all in x's own language

    Passages in other languages do not count: they are translations, and the more of them a pool has, the better.
    Source: localized centering (Hara et al., AAAI 2015), in which the score loses the γ-th power of x's inner product
    with the mean of its nearest neighbours, which is h(x); here it has a weight in place of a power. With 1/2, and
    questions as neighbours, it would be CSLS (Conneau et al. 2018, arXiv 1710.04087).
    """

    weight: float = 0.4
    neighbours: int = 50

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise ConfigError(f"hub_correction.weight={self.weight}: must be above 0, such as 0.4.")
        check_whole("hub_correction.neighbours", self.neighbours, 1)

    def problem(self, num_passages: Mapping[str, int]) -> str | None:
        """Which languages have too few passages to be neighbours, or None. num_passages: by language."""
        too_few = {name: count for name, count in sorted(num_passages.items()) if count <= self.neighbours}
        if not too_few:
            return None
        counts = ", ".join(f"{name} ({count})" for name, count in too_few.items())
        return (
            f"hub_correction.neighbours={self.neighbours}: needs more than {self.neighbours} passages in each "
            f"language; too few are in {counts}. Set it to "
            f"{max(min(too_few.values()) - 1, 1)}, or leave the hub correction out."
        )

    def __call__(self, passages: Tensor, languages: Sequence[str]) -> Tensor:
        """(P, D + 1) float32 rows for (P, D) unit rows, on the CPU: the last column is -weight · h(x).

        languages: of each row. The score is the inner product with a query whose last component is 1 (`queries`).
        The nearest passages are found exactly, so equal passages stay equal. Raises DataError where there are not P
        languages, or where one of them has too few passages.
        """
        if len(languages) != len(passages):
            raise DataError(f"hub_correction: {len(passages)} passages, but the languages of {len(languages)}.")
        if problem := self.problem(Counter(languages)):
            raise DataError(problem)
        searched = on_grid(passages)
        mean_cosine = torch.empty(len(passages), 1)
        for rows in _rows_of_language(languages).values():
            same_language = searched[rows]
            nearest, _ = top(same_language, [same_language], self.neighbours + 1)  # each passage finds itself as well
            to_itself = exact_scores(same_language, same_language)
            mean_cosine[rows, 0] = ((nearest.sum(dim=1) - to_itself) / self.neighbours).float()
        return torch.cat([passages, -self.weight * mean_cosine], dim=1)

    def queries(self, queries: Tensor) -> Tensor:
        """(Q, D + 1) rows for the (Q, D) vectors of queries."""
        return torch.cat([queries, torch.ones(len(queries), 1)], dim=1)


def _rows_of_language(languages: Sequence[str]) -> dict[str, Tensor]:
    """language -> the rows in it, ascending; languages in alphabetical order."""
    names = sorted(set(languages))
    codes = torch.tensor([names.index(language) for language in languages])
    return {name: (codes == code).nonzero()[:, 0] for code, name in enumerate(names)}


@dataclass(frozen=True)
class PassageTransforms:
    """The steps that a pool's vectors go through, in this order; by default none.

    context_weight: a passage x becomes x + context_weight · c, scaled to unit length, where c is the vector of the text
    that the passage is a part of. joining: how each passage is joined with its nearest ones in other languages.
    hub_correction: how much the passages that are near to many score less.
    """

    context_weight: float = 0.0
    joining: Joining | None = None
    hub_correction: HubCorrection | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.context_weight < math.inf:
            raise ConfigError(f"context_weight={self.context_weight}: must be 0 (no context) or more, such as 0.2.")

    @property
    def note(self) -> str:
        """What a reader of the figures should know: one sentence for each step."""
        sentences = []
        if self.context_weight:
            sentences.append(f"Each passage has {self.context_weight} of its paragraph's vector added.")
        if self.joining:
            sentences.append("Each passage is joined with its nearest ones in other languages, before it is searched.")
        if self.hub_correction:
            sentences.append("Each passage's score is lowered by how near its nearest ones in its language are.")
        return " ".join(sentences)

    def passages(self, passages: Tensor, contexts: Tensor, languages: Sequence[str]) -> Tensor:
        """What is searched, (P, D) or (P, D + 1) float32 on the CPU, for the (P, D) unit rows of passages.

        contexts: (P, D) unit rows, unused where context_weight is 0; languages: of each row. Raises DataError as the
        steps do.
        """
        if self.context_weight:
            passages = functional.normalize(passages + self.context_weight * contexts, dim=1)
        if self.joining:
            passages = self.joining(passages, languages)
        return self.hub_correction(passages, languages) if self.hub_correction else passages

    def queries(self, queries: Tensor) -> Tensor:
        """What searches, (Q, D) or (Q, D + 1), for the (Q, D) vectors of queries."""
        return self.hub_correction.queries(queries) if self.hub_correction else queries
