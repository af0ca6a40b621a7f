"""InfoNCE over in-batch negatives: one positive a query, or its parallel passages in several languages."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixlingua.data.batches import View
from mixlingua.errors import ConfigError
from mixlingua.losses.base import StepInputs, StepLoss, ViewVectors, above_zero, share_a_key


def info_nce(
    queries: Tensor, passages: Tensor, positives: Tensor, ignored: Tensor, scale: Tensor | float, hardness: float = 0.0
) -> Tensor:
    """Mean cross-entropy of each query's positive passage against all passages, in nats.

    queries: (Q, D), passages: (P, D), unit rows; positives: (Q,) int64, the column of each query's passage;
    ignored: (Q, P) bool, passages that are no negatives of a query (the positive is never ignored);
    scale: one over the temperature. hardness: beta of `harder`; 0 counts every negative once.
    Source: van den Oord et al. 2018 (arXiv 1807.03748), eq. 4, with cosine similarity over a temperature.
    """
    scores = queries @ passages.T * scale
    ignored = ignored.scatter(1, positives[:, None], False)
    scores = scores.masked_fill(ignored, -math.inf)
    if hardness:
        scores = harder(scores, positives, hardness)
    return functional.cross_entropy(scores, positives)


def harder(scores: Tensor, positives: Tensor, beta: float) -> Tensor:
    """Scores with each negative weighted by exp(beta score), the weights of a query's negatives averaging one.

    scores: (Q, P), -inf where ignored; positives: (Q,). A weight in the loss is its logarithm added to the score.
    Source: Robinson et al. 2021 (arXiv 2010.04592), eq. 5, without its correction for false negatives.
    """
    negative = torch.isfinite(scores).scatter(1, positives[:, None], False)
    exponents = (beta * scores).masked_fill(~negative, -math.inf)
    count = negative.sum(1, keepdim=True).clamp(min=1)
    weights = exponents - torch.logsumexp(exponents, 1, keepdim=True) + count.log()
    return torch.where(negative, scores + weights, scores)


def above_positive(scores: Tensor, positives: Tensor, margin: float) -> Tensor:
    """scores: (Q, P) cosines; positives: (Q,). Returns (Q, P) bool: passages more than `margin` above the positive.

    Source: the false-negative mask of Qwen3-Embedding (Zhang et al. 2025, arXiv 2506.05176, section 3.1, margin 0.1).
    """
    return scores > scores.gather(1, positives[:, None]) + margin


def above_positive_for_teacher(left: ViewVectors, right: ViewVectors, positives: Tensor, margin: float) -> Tensor:
    """(Q, W Q) bool: what the teacher puts more than `margin` above a row's positive, in the pivot language.

    left: of Q rows; right: of all W Q rows; positives: (Q,) int64, where the rows stand in them. Rows without a text in
    the pivot language are never masked.
    Source: GISTEmbed (Solatorio 2024, arXiv 2402.16829, section 3.1), with a teacher that reads the pivot language.
    """
    scores = (left.vectors @ right.vectors.T).masked_fill(~right.present[None, :], -math.inf)
    positive_scores = scores.gather(1, positives[:, None])
    return (scores > positive_scores + margin) & left.present[:, None] & (positive_scores > -math.inf)


class InfoNCE(StepLoss):
    """In-batch InfoNCE with a fixed or learned temperature.

    weight: in the sum of losses
    temperature: what scores are divided by; values from 0.01 to 0.1 are usual
    learn_temperature: train the temperature too, from the given one on; it stays at 0.01 or above
    symmetric: also rank the queries for each passage, and take the mean of both
    hardness: beta of `harder`, by which a negative counts exp(beta * score); 0: all alike
    own_margin: passages that score so much more than a query's positive are no negatives, such as 0.1; null: all are.
    With symmetric, neither are queries that score so much more than a passage's own
    teacher_margin: the same by the teacher's scores of the rows' texts in the pivot language (GIST), such as 0.0; hard
    negatives are not left out by it
    dims: Matryoshka, the mean of the losses of the first d components for each d, such as [384,192,96]; null: all alone

    Source: Elmahdy, Lin and Ahmad 2024 (arXiv 2408.10536), eq. 1, with every other passage of the batch and every hard
    negative as an irrelevant document; learned temperature as in CLIP (Radford et al. 2021, arXiv 2103.00020); the
    other direction as in CLEAR's reverse training (Lee et al. 2026, arXiv 2604.05821); Matryoshka: Kusupati et al. 2022
    (arXiv 2205.13147), eq. 1.
    """

    tells_apart = "passages"
    log_scale: Tensor
    MIN_LEARNED = 0.01  # as in CLIP

    def __init__(
        self,
        *,
        weight: float = 1.0,
        temperature: float = 0.05,
        learn_temperature: bool = False,
        symmetric: bool = False,
        hardness: float = 0.0,
        own_margin: float | None = None,
        teacher_margin: float | None = None,
        dims: Sequence[int] | None = None,
    ) -> None:
        super().__init__(weight)
        if not temperature > 0:
            raise ConfigError(
                f"model.temperature={temperature}: it must be above 0; values from 0.01 to 0.1 are usual."
            )
        if learn_temperature and temperature < self.MIN_LEARNED:
            raise ConfigError(
                f"model.temperature={temperature}: with loss.infonce.learn_temperature it is "
                f"{self.MIN_LEARNED} or above."
            )
        if not 0 <= hardness < math.inf:
            raise ConfigError(f"loss.infonce.hardness={hardness}: 0 counts negatives alike; above 0, hard ones more.")
        for key, margin in (("own_margin", own_margin), ("teacher_margin", teacher_margin)):
            if margin is not None and not -2 <= margin <= 2:
                raise ConfigError(f"loss.infonce.{key}={margin}: a difference of cosines, from -2 to 2, or null.")
        if dims is not None and (not dims or min(dims) < 1):
            raise ConfigError(f"loss.infonce.dims={list(dims)}: numbers of components, each 1 or more, or null.")
        self.symmetric = symmetric
        self.hardness = hardness
        self.own_margin = own_margin
        self.teacher_margin = teacher_margin
        self.dims = None if dims is None else tuple(dims)
        log_scale = torch.tensor(-math.log(temperature))
        if learn_temperature:
            self.log_scale = nn.Parameter(log_scale)
        else:  # no state, so that a resumed run has the temperature that it is given
            self.register_buffer("log_scale", log_scale, persistent=False)

    @property
    def views(self) -> dict[View, int]:
        return {} if self.teacher_margin is None else {View.PIVOT_QUERIES: 1, View.PIVOT_PASSAGES: 1}

    @property
    def temperature(self) -> float:
        """The temperature in force."""
        return 1 / self._scale().item()

    def _scale(self) -> Tensor:
        if self.log_scale.requires_grad:
            with torch.no_grad():  # the parameter itself: beyond a bound on its value it would have no gradient
                self.log_scale.clamp_(max=-math.log(self.MIN_LEARNED))
        return self.log_scale.exp()

    def forward(self, step: StepInputs) -> Tensor:
        """The mean loss over this process's queries. Raises ConfigError where dims asks for more than D components."""
        dim = step.queries.shape[1]
        if self.dims is None:
            return self._loss(step, dim)
        if max(self.dims) > dim:
            raise ConfigError(f"loss.infonce.dims={list(self.dims)}: the model's vectors have {dim} components.")
        return torch.stack([self._loss(step, components) for components in self.dims]).mean()

    def _loss(self, step: StepInputs, dim: int) -> Tensor:
        queries, passages = _first(step.queries, dim), _first(step.all_passages, dim)
        ignored = step.known_answers()
        if self.own_margin is not None:
            ignored |= above_positive(queries.detach() @ passages.detach().T, step.positives, self.own_margin)
        if self.teacher_margin is not None:
            of_queries, of_passages = step.views[View.PIVOT_QUERIES], step.all_views[View.PIVOT_PASSAGES]
            above = above_positive_for_teacher(of_queries, of_passages, step.query_rows, self.teacher_margin)
            ignored[:, step.positive_columns()] |= above
        loss = info_nce(queries, passages, step.positives, ignored, self._scale(), self.hardness)
        if not self.symmetric:
            return loss
        positives, all_queries = passages[step.positives], _first(step.all_queries, dim)
        ignored = share_a_key(step.all_passage_keys[step.positives], step.all_query_keys)
        if self.own_margin is not None:
            ignored |= above_positive(positives.detach() @ all_queries.detach().T, step.query_rows, self.own_margin)
        if self.teacher_margin is not None:
            of_passages, of_queries = step.views[View.PIVOT_PASSAGES], step.all_views[View.PIVOT_QUERIES]
            ignored |= above_positive_for_teacher(of_passages, of_queries, step.query_rows, self.teacher_margin)
        reverse = info_nce(positives, all_queries, step.query_rows, ignored, self._scale(), self.hardness)
        return (loss + reverse) / 2


def _first(vectors: Tensor, dim: int) -> Tensor:
    """The first components, as unit rows."""
    return vectors if dim == vectors.shape[1] else functional.normalize(vectors[:, :dim], dim=-1)


class MultiPositive(StepLoss):
    """InfoNCE with each query's passage in several languages as positives, against all passages in all of them.

    A query's pool is the batch's passages and `variants` further languages of each; a positive is ranked against what
    is not its own row's, and a query's loss is the mean over its positives.

    weight: in the sum of losses
    temperature: what scores are divided by
    variants: further languages of each passage; each costs a pass over the passages. With as many as there are other
    training languages, these are all parallel passages.

    Source: the supervised contrastive loss of Khosla et al. 2020 (arXiv 2004.11362), eq. 2, in which the other
    positives are left out of the denominator.
    """

    tells_apart = "passages"

    def __init__(self, *, weight: float = 1.0, temperature: float = 0.05, variants: int = 1) -> None:
        super().__init__(weight)
        if variants < 1:
            raise ConfigError(f"loss.multipositive.variants={variants}: 1 further language of a passage or more.")
        self.temperature = above_zero("loss.multipositive.temperature", temperature)
        self.variants = variants

    @property
    def views(self) -> dict[View, int]:
        return {View.VARIANT_PASSAGES: self.variants}

    def forward(self, step: StepInputs) -> Tensor:
        """The mean over this process's queries, in nats."""
        variants = step.all_views[View.VARIANT_PASSAGES]
        pool = torch.cat([step.all_passages, variants.vectors])
        of_variants = step.all_passage_keys[step.positive_columns()].repeat_interleave(self.variants, 0)
        keys = torch.cat([step.all_passage_keys, of_variants])
        absent = torch.cat([variants.present.new_zeros(len(step.all_passages)), ~variants.present])
        scores = step.queries @ pool.T / self.temperature
        ignored = share_a_key(step.query_keys, keys) | absent[None, :]
        negatives = scores.masked_fill(ignored, -math.inf).logsumexp(1, keepdim=True)
        first_variant = len(step.all_passages) + step.query_rows[:, None] * self.variants
        variant_columns = first_variant + torch.arange(self.variants, device=pool.device)
        positives = torch.cat([step.positives[:, None], variant_columns], 1)  # (Q, 1 + variants)
        losses = functional.softplus(negatives - scores.gather(1, positives))  # log(1 + e^negatives / e^positive)
        present = ~absent[positives]
        return (torch.where(present, losses, 0.0).sum(1) / present.sum(1)).mean()
