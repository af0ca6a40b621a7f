"""Losses that copy what is known of a text: a frozen teacher's reading, scores of the data, its other languages."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from mixlingua.data.batches import View
from mixlingua.data.rows import Side
from mixlingua.errors import ConfigError, check_choice
from mixlingua.losses.base import StepInputs, StepLoss, above_zero

Sides = Literal["query", "passage", "both"]
Target = Literal["margin", "distribution"]
_TARGETS = ("margin", "distribution")
_CHOICES: dict[str, tuple[Side, ...]] = {"query": ("query",), "passage": ("passage",), "both": ("query", "passage")}
PIVOT: Mapping[Side, View] = {"query": View.PIVOT_QUERIES, "passage": View.PIVOT_PASSAGES}
SAME_TEXT: Mapping[Side, View] = {"query": View.TEACHER_QUERIES, "passage": View.TEACHER_PASSAGES}


def chosen_sides(loss: str, sides: Sides) -> tuple[Side, ...]:
    """The sides that `loss.NAME.sides` asks for. Raises ConfigError where it is none of query, passage and both."""
    check_choice(f"loss.{loss}.sides", sides, _CHOICES)
    return _CHOICES[sides]


class Distillation(StepLoss):
    """Squared distance between a text's vector and the teacher's vector of the same text in the pivot language.

    weight: in the sum of losses; 20 or so, since squared distances are small beside nats
    sides: query, passage or both (their mean)

    What counts is the rows that have a pivot side. For unit vectors the squared distance is 2 - 2 cos, so it lies
    between 0 and 4.
    Source: Reimers and Gurevych 2020 (arXiv 2004.09813), eq. 1, summed over components instead of averaged.
    """

    name: ClassVar[str] = "distillation"
    teacher_views: ClassVar[Mapping[Side, View]] = PIVOT

    def __init__(self, *, weight: float = 1.0, sides: Sides = "both") -> None:
        super().__init__(weight)
        self.sides = chosen_sides(self.name, sides)

    @property
    def views(self) -> dict[View, int]:
        return {self.teacher_views[side]: 1 for side in self.sides}

    def forward(self, step: StepInputs) -> Tensor:
        """The mean over rows, a scalar. Raises ConfigError where the teacher's embeddings have another length."""
        vectors: dict[Side, Tensor] = {"query": step.queries, "passage": step.passages[: len(step.queries)]}
        distances = [self._distance(step, vectors[side], self.teacher_views[side]) for side in self.sides]
        return torch.stack(distances).mean()

    def _distance(self, step: StepInputs, vectors: Tensor, view: View) -> Tensor:
        taught = step.views[view].vectors
        _check_same_size(self.name, vectors, taught)
        return step.mean_over(view, (vectors - taught).square().sum(1))


def _check_same_size(loss: str, vectors: Tensor, taught: Tensor) -> None:
    if vectors.shape[1] != taught.shape[1]:
        raise ConfigError(
            f"loss={loss}: the teacher's vectors have {taught.shape[1]} components, the model's {vectors.shape[1]}. "
            "Choose a teacher of the same size, or loss=relational."
        )


class Retention(Distillation):
    """Squared distance between a text's vector and the teacher's vector of that same text, in whatever language it is.

    The counterweight of the other losses: what the model could do before training, monolingual retrieval above all, is
    to stay. Together with distillation, a text's target lies between its own vector and that of its pivot side, by the
    two weights. weight, sides: as of `Distillation`.
    Source: learning without forgetting (Li and Hoiem 2016, arXiv 1606.09282), of vectors in place of class scores.
    """

    name = "retention"
    teacher_views = SAME_TEXT


class Relational(StepLoss):
    """KL divergence from the teacher's distribution over the batch's passages, on the pivot side, to the model's.

    The model ranks the positives of all queries for each query in whatever languages the batch has; the teacher has
    ranked the same texts in the pivot language. The sizes of the two models' vectors may differ.

    weight: in the sum of losses
    temperature: of the model's scores
    teacher_temperature: of the teacher's scores

    Source: relational distillation with scores in place of distances (Park et al. 2019, arXiv 1904.05068), as a KL
    divergence of in-batch distributions (as in arXiv 2010.11386, section 3.2).
    """

    tells_apart = "positives"

    def __init__(self, *, weight: float = 1.0, temperature: float = 0.05, teacher_temperature: float = 0.05) -> None:
        super().__init__(weight)
        self.temperature = above_zero("loss.relational.temperature", temperature)
        self.teacher_temperature = above_zero("loss.relational.teacher_temperature", teacher_temperature)

    @property
    def views(self) -> dict[View, int]:
        return {View.PIVOT_QUERIES: 1, View.PIVOT_PASSAGES: 1}

    def forward(self, step: StepInputs) -> Tensor:
        """The mean over this process's rows, in nats."""
        taught_queries, taught_passages = step.views[View.PIVOT_QUERIES], step.all_views[View.PIVOT_PASSAGES]
        absent = ~taught_passages.present[None, :].expand(len(step.queries), -1)
        # A row without any column would be no distribution; it does not count below.
        absent = absent & taught_queries.present[:, None]
        scores = step.queries @ step.all_passages[step.positive_columns()].T / self.temperature
        wanted = taught_queries.vectors @ taught_passages.vectors.T / self.teacher_temperature
        log_p = functional.log_softmax(scores.masked_fill(absent, -math.inf), 1)
        log_q = functional.log_softmax(wanted.masked_fill(absent, -math.inf), 1)
        terms = torch.where(absent, 0.0, log_q.exp() * (log_q - log_p))
        return step.mean_over(View.PIVOT_QUERIES, terms.sum(1))


class Queue(StepLoss):
    """KL divergence from the teacher's distribution over its vectors of many pivot texts to the model's over the same.

    The texts are those of the batch and of the batches before, whose vectors are remembered: the teacher is frozen, so
    they never age. A text, in whatever language it is, is to rank them as the teacher ranks them for its pivot side:
    a query those of passages, a passage those of queries. The batch alone has few that are close to one another.

    Validation neither remembers nor looks at what is remembered: its losses at different steps are to compare.

    weight: in the sum of losses
    size: how many texts of each side are remembered
    temperature: of the scores of both

    Source: SEED (Fang et al. 2021, arXiv 2101.04731), section 3.2, with the other side of pairs in the queue.
    """

    def __init__(self, *, weight: float = 1.0, size: int = 8192, temperature: float = 0.02) -> None:
        super().__init__(weight)
        if size < 1:
            raise ConfigError(f"loss.queue.size={size}: how many texts are remembered, 1 or more.")
        self.size = size
        self.temperature = above_zero("loss.queue.temperature", temperature)

    @property
    def views(self) -> dict[View, int]:
        return {view: 1 for view in PIVOT.values()}

    def forward(self, step: StepInputs) -> Tensor:
        """The mean over this process's rows and over both sides, in nats.

        Raises ConfigError where the teacher's embeddings have another length.
        """
        asked, answering = PIVOT["query"], PIVOT["passage"]
        candidates = {view: step.all_views[view].vectors[step.all_views[view].present] for view in self.views}
        if self.training:
            for view, old in self.remembered.items():
                candidates[view] = torch.cat([old.to(candidates[view].device), candidates[view]])
            self.remembered = {view: vectors[-self.size :] for view, vectors in candidates.items()}
        of_queries = self._divergence(step, step.queries, asked, candidates[answering])
        of_passages = self._divergence(step, step.passages[: len(step.queries)], answering, candidates[asked])
        return (of_queries + of_passages) / 2

    def _divergence(self, step: StepInputs, vectors: Tensor, view: View, candidates: Tensor) -> Tensor:
        taught = step.views[view].vectors
        _check_same_size("queue", vectors, taught)
        log_p, log_q = (functional.log_softmax(rows @ candidates.T / self.temperature, 1) for rows in (vectors, taught))
        return step.mean_over(view, (log_q.exp() * (log_q - log_p)).sum(1))


class ScoreDistillation(StepLoss):
    """Over a query's passage and its hard negatives, the model's scores follow the teacher's of the training data.

    weight: in the sum of losses
    target: margin (MarginMSE: the squared difference of the margins between passage and negative) or distribution (the
    KL divergence from the teacher's distribution over the passages to the model's)
    scale: of "margin", what the model's cosines are multiplied by to be compared with the teacher's scores
    temperature: of "distribution", what the model's cosines are divided by
    teacher_temperature: of "distribution", what the teacher's scores are divided by

    Rows without scores do not count. data.num_negatives must be 1 or more.
    Source: Hofstätter et al. 2020 (arXiv 2010.02666), eq. 7; Ren et al. 2021 (arXiv 2110.07367), eq. 4.
    """

    def __init__(
        self,
        *,
        weight: float = 1.0,
        target: Target = "margin",
        scale: float = 1.0,
        temperature: float = 0.05,
        teacher_temperature: float = 1.0,
    ) -> None:
        super().__init__(weight)
        check_choice("loss.score_distillation.target", target, _TARGETS)
        self.target = target
        self.scale = above_zero("loss.score_distillation.scale", scale)
        self.temperature = above_zero("loss.score_distillation.temperature", temperature)
        self.teacher_temperature = above_zero("loss.score_distillation.teacher_temperature", teacher_temperature)

    def forward(self, step: StepInputs) -> Tensor:
        """The mean over the rows that have scores, a scalar. Raises ConfigError where the batch has none."""
        if step.scores is None or step.all_scores is None or step.scores.shape[1] < 2:
            raise ConfigError(
                "loss=score_distillation: the batch has no teacher's scores of passages and negatives. Use sources "
                "with scores alone (docs/data.md), and data.num_negatives=1 or more."
            )
        present = ~step.scores.isnan().any(1)
        taught = torch.where(present[:, None], step.scores, 0.0)
        scores = _own_scores(step.queries, step.passages)
        if self.target == "margin":
            margins, taught_margins = (rows[:, :1] - rows[:, 1:] for rows in (scores * self.scale, taught))
            losses = (margins - taught_margins).square().mean(1)
        else:
            expected = functional.log_softmax(taught / self.teacher_temperature, dim=1)
            predicted = functional.log_softmax(scores / self.temperature, dim=1)
            losses = (expected.exp() * (expected - predicted)).sum(1)
        return step.mean_of(losses, present, ~step.all_scores.isnan().any(1))


def _own_scores(queries: Tensor, passages: Tensor) -> Tensor:
    """(Q, 1 + N) cosines of each query with its passage and with its N hard negatives.

    queries: (Q, D); passages: (Q (1 + N), D), the positives, then N for the first query, N for the second, and so on.
    """
    num_queries, size = queries.shape
    own = torch.cat([passages[:num_queries, None], passages[num_queries:].reshape(num_queries, -1, size)], dim=1)
    return torch.einsum("qd,qnd->qn", queries, own)


class LanguageVariants(StepLoss):
    """Symmetric KL divergence between what a query finds in the batch and what it finds in another language.

    Both distributions are over the passages of all processes, without the further ones that share a key with the query.
    Both sides have a gradient. Rows with one language only do not count.

    weight: in the sum of losses
    temperature: what scores are divided by

    Source: the divergence between language variants of a query by which multilingual rankings are made alike (LaKDA).
    """

    tells_apart = "passages"

    def __init__(self, *, weight: float = 1.0, temperature: float = 0.05) -> None:
        super().__init__(weight)
        self.temperature = above_zero("loss.variants.temperature", temperature)

    @property
    def views(self) -> dict[View, int]:
        return {View.VARIANT_QUERIES: 1}

    def forward(self, step: StepInputs) -> Tensor:
        """The mean over this process's rows of (KL(p, q) + KL(q, p)) / 2, in nats."""
        ignored = step.known_answers().scatter(1, step.positives[:, None], False)
        log_p = self._log_softmax(step.queries, step, ignored)
        log_q = self._log_softmax(step.views[View.VARIANT_QUERIES].vectors, step, ignored)
        terms = (log_p.exp() - log_q.exp()) * (log_p - log_q) / 2
        return step.mean_over(View.VARIANT_QUERIES, torch.where(ignored, 0.0, terms).sum(1))

    def _log_softmax(self, queries: Tensor, step: StepInputs, ignored: Tensor) -> Tensor:
        scores = queries @ step.all_passages.T / self.temperature
        # A finite floor: infinities less infinities have no gradient.
        return functional.log_softmax(scores.masked_fill(ignored, torch.finfo(scores.dtype).min / 2), 1)
