"""Entropic optimal transport between two small sets of points, many pairs of sets at once."""

import torch
from torch import Tensor


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
