"""Alignment with a frozen teacher, token by token, by optimal transport."""

import math

import torch
from torch import Tensor

from mixlingua.data.batches import View
from mixlingua.data.rows import Side
from mixlingua.errors import ConfigError, check_whole
from mixlingua.losses.base import StepInputs, StepLoss, TokenVectors
from mixlingua.losses.distillation import PIVOT, Sides, chosen_sides


@torch.no_grad()
def transport_plan(cost: Tensor, left: Tensor, right: Tensor, *, epsilon: float, iterations: int) -> Tensor:
    """The P >= 0 with row sums `left` and column sums `right` of least <P, cost> + epsilon sum P (log P - 1).

    cost: (N, I, J); left: (N, I) and right: (N, J), masses that add up to one for each of the N, or to zero where a
    side is empty. Returns (N, I, J) without gradient; 0 wherever a mass is 0, and for all of a pair with an empty side.
    Column sums are exact. Row sums approach theirs with the iterations, the slower the smaller epsilon is before the
    differences of costs. Computed on logarithms, so that no epsilon overflows.
    Source: Cuturi 2013 (arXiv 1306.0895), algorithm 1; on logarithms: Peyré and Cuturi 2019 (arXiv 1803.00567),
    section 4.4.
    """
    log_left, log_right = left.log(), right.log()
    kernel = -cost / epsilon
    columns = log_right
    for _ in range(iterations):
        rows = log_left - (kernel + columns[:, None, :]).logsumexp(2)
        columns = log_right - (kernel + rows[:, :, None]).logsumexp(1)
    plan = (kernel + rows[:, :, None] + columns[:, None, :]).exp()
    # Where a side is empty, infinities have met.
    return torch.where((left[:, :, None] > 0) & (right[:, None, :] > 0), plan, 0.0)


_BATCH: dict[Side, View] = {"query": View.QUERIES, "passage": View.PASSAGES}


class Transport(StepLoss):
    """What it costs to move a text's tokens onto the teacher's tokens of the same text in the pivot language.

    Costs are cosine distances of token vectors, masses are uniform over the tokens of the text itself (no padding, no
    special token, no prefix); the cost of a row, <P, C>, lies between 0 and 2, and is 0 for a text without such tokens.
    What counts is the rows that have a pivot side.

    weight: in the sum of losses
    sides: query, passage or both (their mean)
    epsilon: in cosine distance; smaller: a token goes to fewer of the teacher's, which takes longer
    iterations: of Sinkhorn, in each step

    The plan P has no gradient: with P held fixed the gradient is that of the entropic optimum min <P, C> - epsilon H(P)
    (by the envelope theorem, once Sinkhorn's iterations have converged), and none is kept of the iterations.
    Source: OPTICAL (Huang, Yu and Allan 2023, arXiv 2301.12566), which distils tokens of bitext in this way.
    """

    trains_texts = False

    def __init__(
        self, *, weight: float = 1.0, sides: Sides = "both", epsilon: float = 0.02, iterations: int = 50
    ) -> None:
        super().__init__(weight)
        if not 0 < epsilon < math.inf:
            raise ConfigError(f"loss.transport.epsilon={epsilon}: it must be above 0; cosine distances go from 0 to 2.")
        check_whole("loss.transport.iterations", iterations, 1)
        self.sides = chosen_sides("transport", sides)
        self.epsilon = epsilon
        self.iterations = iterations

    @property
    def views(self) -> dict[View, int]:
        return {PIVOT[side]: 1 for side in self.sides}

    @property
    def token_views(self) -> frozenset[View]:
        return frozenset(view for side in self.sides for view in (_BATCH[side], PIVOT[side]))

    def forward(self, step: StepInputs) -> Tensor:
        """The mean over rows, a scalar. Raises ConfigError where the teacher's token vectors have another length."""
        means = [
            step.mean_over(PIVOT[side], self._costs(step.tokens[_BATCH[side]], step.tokens[PIVOT[side]]))
            for side in self.sides
        ]
        return torch.stack(means).mean()

    def _costs(self, model: TokenVectors, teacher: TokenVectors) -> Tensor:
        """(Q,), the cost of each row; the model's hard negatives, which stand last, have no teacher."""
        vectors, content = model.vectors[: len(teacher.vectors)], model.content[: len(teacher.content)]
        if vectors.shape[2] != teacher.vectors.shape[2]:
            raise ConfigError(
                f"loss=transport: the teacher's token vectors have {teacher.vectors.shape[2]} components, the model's "
                f"{vectors.shape[2]}. Choose a teacher whose transformer has the same width, or loss=relational."
            )
        cost = 1 - vectors @ teacher.vectors.mT
        masses = [_uniform(tokens.to(cost.dtype)) for tokens in (content, teacher.content)]
        plan = transport_plan(cost, *masses, epsilon=self.epsilon, iterations=self.iterations)
        return (plan * cost).sum((1, 2))


def _uniform(content: Tensor) -> Tensor:
    """(N, L): each text's mass of one, in equal parts over its content; zeros where it has none."""
    return content / content.sum(1, keepdim=True).clamp(min=1)
