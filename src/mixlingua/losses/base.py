"""The loss of a step: a weighted sum of named losses."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mixlingua.errors import ConfigError


@dataclass(frozen=True)
class Targets:
    """Vectors of further texts of a step's rows, such as a teacher's of their English side.

    vectors: (N, T). present: (N,) bool, the rows that have such a text; others hold something that must not count.
    """

    vectors: Tensor
    present: Tensor


@dataclass(frozen=True)
class Tokens:
    """The tokens of N texts.

    vectors: (N, L, H) unit rows, the states that are pooled. content: (N, L) bool, the tokens of the texts
    themselves; the others are padding, special tokens and prefixes.
    """

    vectors: Tensor
    content: Tensor


@dataclass(frozen=True)
class StepVectors:
    """The vectors of Q queries and P passages of this process, and of all W processes, as unit rows of D components.

    queries: (Q, D), passages: (P, D); all_queries: (W Q, D), all_passages: (W P, D), with gradient; query_rows: (Q,)
    int64, where this process's queries stand in all_queries; positives: (Q,) int64, where their passages stand in
    all_passages, so that passages[:Q] are the positives. Keys: (., K) int64; two rows that share one are the same text
    or belong together, and are no negatives of each other. targets, all_targets: further vectors by view
    (data/views.py) of this process and of all, in the order of queries; what a teacher gave has no gradient. tokens:
    of this process, of the texts that a loss asked for by name, which may be queries, passages or a view.
    """

    queries: Tensor
    passages: Tensor
    all_queries: Tensor
    all_passages: Tensor
    query_rows: Tensor
    positives: Tensor
    query_keys: Tensor
    all_query_keys: Tensor
    all_passage_keys: Tensor
    targets: Mapping[str, Targets] = field(default_factory=dict)
    all_targets: Mapping[str, Targets] = field(default_factory=dict)
    tokens: Mapping[str, Tokens] = field(default_factory=dict)

    def mean_over(self, view: str, values: Tensor) -> Tensor:
        """The mean of (Q,) values over the rows that have the view; zero where no row has.

        Over all processes: averaged over them it is the mean over all rows, however they are spread.
        """
        present, everywhere = self.targets[view].present, self.all_targets[view].present
        processes = len(self.all_queries) / len(self.queries)
        return torch.where(present, values, 0.0).sum() * processes / everywhere.sum().clamp(min=1)


class StepLoss(nn.Module, ABC):
    """Maps the vectors of a step to a scalar; `weight` is its factor in the sum of several."""

    of_texts = True  # whether the vectors of whole texts have a gradient from it

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    @property
    def views(self) -> dict[str, int]:
        """The further texts that it needs (data/views.py), and how many of each row."""
        return {}

    @property
    def tokens(self) -> frozenset[str]:
        """The texts, by name (data/views.py), of which it needs a vector for each token."""
        return frozenset()

    @abstractmethod
    def forward(self, step: StepVectors) -> Tensor:
        """The loss of this process, a scalar; its mean over processes is that of the whole batch."""


def share_a_key(left: Tensor, right: Tensor) -> Tensor:
    """left: (N, K), right: (M, L) int64. Returns (N, M) bool: whether row i of left and row j of right share a value.

    Rows of one text (the same passage, the same sentence) share a key, so neither is a negative of the other.
    """
    shared = torch.zeros(len(left), len(right), dtype=torch.bool, device=left.device)
    for left_key in left.T:
        for right_key in right.T:
            shared |= left_key[:, None] == right_key[None, :]
    return shared


def above_positive(scores: Tensor, positives: Tensor, margin: float) -> Tensor:
    """scores: (Q, P) cosines; positives: (Q,). Returns (Q, P) bool: passages more than `margin` above the positive.

    Source: the false-negative mask of Qwen3-Embedding (Zhang et al. 2025, arXiv 2506.05176, section 3.1, margin 0.1).
    """
    own = scores.gather(1, positives[:, None])
    return scores > own + margin


def above_positive_for_teacher(step: StepVectors, queries: str, passages: str, margin: float) -> Tensor:
    """(Q, W P) bool: passages that the teacher puts more than `margin` above a query's own.

    queries, passages: the views with the teacher's vectors. Rows without one, and hard negatives, are never masked.
    Source: GISTEmbed (Solatorio 2024, arXiv 2402.16829, section 3.1), with a teacher that reads the rows' pivot side.
    """
    asked, every = step.targets[queries], step.all_targets[passages]
    scores = (asked.vectors @ every.vectors.T).masked_fill(~every.present[None, :], -math.inf)
    own = scores.gather(1, step.query_rows[:, None])
    masked = (scores > own + margin) & asked.present[:, None] & (own > -math.inf)
    columns = positive_columns(step)
    everywhere = masked.new_zeros(len(step.queries), len(step.all_passages))
    everywhere[:, columns] = masked
    return everywhere


def positive_columns(step: StepVectors) -> Tensor:
    """(W Q,) int64: where the positives of all queries stand in all_passages, in the order of all_queries."""
    num_queries, num_passages = len(step.queries), len(step.passages)
    rows = torch.arange(len(step.all_queries), device=step.queries.device)
    return rows // num_queries * num_passages + rows % num_queries


class TotalLoss(nn.Module):
    """The sum of losses, each times its weight.

    Raises ConfigError where there is none, or a weight is no number of 0 or more.
    """

    def __init__(self, losses: Mapping[str, StepLoss]) -> None:
        super().__init__()
        if not losses:
            raise ConfigError(
                "loss=[]: nothing to train by; choose one or several, such as loss=[infonce,distillation]."
            )
        for name, loss in losses.items():
            if not 0 <= loss.weight < math.inf:
                raise ConfigError(f"loss.{name}.weight={loss.weight}: a number of 0 or more.")
        self.losses = nn.ModuleDict(losses)
        self._typed = dict(losses)  # the same: torch's container does not know what it holds

    @property
    def views(self) -> dict[str, int]:
        """The further texts that any of the losses needs, and how many of each row."""
        return {view: count for loss in self._typed.values() for view, count in loss.views.items()}

    @property
    def tokens(self) -> frozenset[str]:
        """The texts of which any of the losses needs a vector for each token."""
        return frozenset(name for loss in self._typed.values() for name in loss.tokens)

    @property
    def of_texts(self) -> bool:
        """Whether the vectors of whole texts have a gradient from any of the losses."""
        return any(loss.of_texts for loss in self._typed.values())

    @property
    def temperature(self) -> float | None:
        """The temperature in force of the first loss that learns one or was given one."""
        found = (getattr(loss, "temperature", None) for loss in self._typed.values())
        return next((float(temperature) for temperature in found if isinstance(temperature, float)), None)

    def forward(self, step: StepVectors) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum, a scalar, and each loss before its weight."""
        parts: dict[str, Tensor] = {name: loss(step) for name, loss in self._typed.items()}
        weighted = [self._typed[name].weight * part for name, part in parts.items()]
        return torch.stack(weighted).sum(), parts
