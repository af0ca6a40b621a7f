"""What every loss is and sees: the embeddings of a step, and the weighted sum of several losses.

Losses are pure: tensors in, a scalar out. They know no rank and no trainer; `training.module` gathers for them.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mixlingua.data.batches import View
from mixlingua.errors import ConfigError


@dataclass(frozen=True)
class ViewVectors:
    """The embeddings of a view of N texts, such as a teacher's of the rows' English text.

    vectors: (N, T). present: (N,) bool, the texts that there are; the other rows must not count.
    """

    vectors: Tensor
    present: Tensor


@dataclass(frozen=True)
class TokenVectors:
    """The tokens of N texts.

    vectors: (N, L, H) unit rows, the states that are pooled. content: (N, L) bool, the tokens of the texts
    themselves; the others are padding, special tokens and prefixes.
    """

    vectors: Tensor
    content: Tensor


@dataclass(frozen=True)
class StepInputs:
    """The embeddings of Q queries and P passages of this process, and of all W processes, as unit rows of D components.

    queries: (Q, D), passages: (P, D); all_queries: (W Q, D), all_passages: (W P, D), with gradient.
    query_rows: (Q,) int64, where this process's queries stand in all_queries.
    positives: (Q,) int64, where their passages stand in all_passages; passages[:Q] are the same positives.
    Keys: (., K) int64. Two rows that share a key have the same passage or the same question, or belong together, and
    are no negatives of each other.
    views, all_views: what the losses asked for beside them, of this process and of all, in the order of queries. The
    teacher's have no gradient.
    tokens: of this process, of the views whose tokens a loss asked for.
    scores, all_scores: (., 1 + N) a teacher's scores of each query's passage and its N hard negatives, NaN in rows
    without any; None where the source has none.
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
    views: Mapping[View, ViewVectors] = field(default_factory=dict)
    all_views: Mapping[View, ViewVectors] = field(default_factory=dict)
    tokens: Mapping[View, TokenVectors] = field(default_factory=dict)
    scores: Tensor | None = None
    all_scores: Tensor | None = None

    def known_answers(self) -> Tensor:
        """(Q, W P) bool: the passages that share a key with a query, its positive among them."""
        return share_a_key(self.query_keys, self.all_passage_keys)

    def positive_columns(self) -> Tensor:
        """(W Q,) int64: where the positives of all queries stand in all_passages, in the order of all_queries."""
        num_queries, num_passages = len(self.queries), len(self.passages)
        rows = torch.arange(len(self.all_queries), device=self.queries.device)
        return rows // num_queries * num_passages + rows % num_queries

    def mean_over(self, view: View, values: Tensor) -> Tensor:
        """The mean of (Q,) values over the rows that have the view; zero where no row has.

        Its mean over processes is the mean over all rows, however they are spread.
        """
        return self.mean_of(values, self.views[view].present, self.all_views[view].present)

    def mean_of(self, values: Tensor, present: Tensor, all_present: Tensor) -> Tensor:
        """The mean of (Q,) values over the present ones of all processes, likewise. all_present: (W Q,) bool."""
        processes = len(self.all_queries) / len(self.queries)
        return torch.where(present, values, 0.0).sum() * processes / all_present.sum().clamp(min=1)


def share_a_key(left: Tensor, right: Tensor) -> Tensor:
    """left: (N, K), right: (M, L) int64 keys. Returns (N, M) bool: whether row i and row j have a key in common."""
    shared = torch.zeros(len(left), len(right), dtype=torch.bool, device=left.device)
    for left_key in left.T:
        for right_key in right.T:
            shared |= left_key[:, None] == right_key[None, :]
    return shared


class StepLoss(nn.Module, ABC):
    """Maps the embeddings of a step to a scalar; `weight` is its factor in the sum of several.

    Training calls it in float32, whatever the precision of the encoder.
    remembered: (M, D) embeddings of earlier batches that it looks at again, by view. They are saved in checkpoints.
    Raises ConfigError where the weight is no number of 0 or more.
    """

    trains_texts = True  # whether the embeddings of whole texts have a gradient from it
    # Among what it tells a query's passage from others, where it does; with one alone it learns nothing.
    tells_apart: ClassVar[Literal["passages", "positives"] | None] = None

    def __init__(self, weight: float) -> None:
        super().__init__()
        if not 0 <= weight < math.inf:
            raise ConfigError(f"weight={weight}: a number of 0 or more.")
        self.weight = weight
        self.remembered: dict[View, Tensor] = {}

    @property
    def views(self) -> dict[View, int]:
        """The views that it needs beside the queries and passages, and how many texts of each row."""
        return {}

    @property
    def token_views(self) -> frozenset[View]:
        """The views of which it needs a vector for each token."""
        return frozenset()

    @abstractmethod
    def forward(self, step: StepInputs) -> Tensor:
        """The loss of this process, a scalar; its mean over processes is that of the whole batch."""


def above_zero(key: str, value: float) -> float:
    """The value. Raises ConfigError, naming the key, unless it is above 0."""
    if not value > 0:
        raise ConfigError(f"{key}={value}: it must be above 0.")
    return value


class TotalLoss(nn.Module):
    """The sum of losses, each times its weight. Raises ConfigError where there is none."""

    def __init__(self, losses: Mapping[str, StepLoss]) -> None:
        super().__init__()
        if not losses:
            raise ConfigError(
                "loss=[]: nothing to train by; choose one or several, such as loss=[infonce,distillation]."
            )
        for name, loss in losses.items():
            if not isinstance(loss, StepLoss):
                kind = f"{type(loss).__module__}.{type(loss).__qualname__}"
                raise ConfigError(
                    f"loss.{name}: {kind} is no loss of a step. Derive it from mixlingua.losses.base.StepLoss: "
                    "super().__init__(weight), and forward(step) that returns a scalar."
                )
        self.losses = nn.ModuleDict(losses)
        self._typed = dict(losses)  # the same: torch's container does not know what it holds

    @property
    def views(self) -> dict[View, int]:
        """The views that any of the losses needs, and how many texts of each row."""
        return {view: count for loss in self._typed.values() for view, count in loss.views.items()}

    @property
    def token_views(self) -> frozenset[View]:
        """The views of which any of the losses needs a vector for each token."""
        return frozenset(view for loss in self._typed.values() for view in loss.token_views)

    @property
    def trains_texts(self) -> bool:
        """Whether the embeddings of whole texts have a gradient from any of the losses."""
        return any(loss.trains_texts for loss in self._typed.values())

    @property
    def temperature(self) -> float | None:
        """The temperature in force of the first loss that learns one or was given one."""
        temperatures = (getattr(loss, "temperature", None) for loss in self._typed.values())
        return next((float(value) for value in temperatures if isinstance(value, float)), None)

    def remembered(self) -> dict[str, dict[str, Tensor]]:
        """What each loss remembers, by the names of views, for checkpoints."""
        return {
            name: {view.value: vectors for view, vectors in loss.remembered.items()}
            for name, loss in self._typed.items()
        }

    def remember(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Remember what `remembered` gave. A loss that is not in it starts with nothing."""
        for name, loss in self._typed.items():
            loss.remembered = {View(view): vectors for view, vectors in state.get(name, {}).items()}

    def forward(self, step: StepInputs) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum, a scalar, and each loss before its weight. Raises ConfigError for a loss that gives no scalar, and
        for one that would learn nothing from a batch of one passage."""
        counts = {"passages": len(step.all_passages), "positives": len(step.positive_columns()), None: 0}
        if idle := [name for name, loss in self._typed.items() if counts[loss.tells_apart] == 1]:
            raise ConfigError(
                "data.batch_size=1: the batch has no passage that a query could be told from, so "
                f"loss={','.join(idle)} would learn nothing. Use 2 pairs or more."
            )
        values: dict[str, Tensor] = {name: loss(step) for name, loss in self._typed.items()}
        for name, value in values.items():
            if not isinstance(value, Tensor) or value.dim():
                given = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
                raise ConfigError(
                    f"loss.{name}: forward gave {given}, and must give a tensor without dimensions: the mean over the "
                    "queries, as by .mean()."
                )
        total = torch.stack([self._typed[name].weight * value for name, value in values.items()]).sum()
        if torch.is_grad_enabled() and not total.requires_grad:
            raise ConfigError(
                f"loss=[{','.join(values)}]: the loss has no gradient. It must be computed from the step's queries and "
                "passages, without .detach() or .item()."
            )
        return total, values
