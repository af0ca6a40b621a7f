"""Entropic transport plans: by hand, against linear programming, and with sets of different sizes side by side."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from mixlingua.losses.transport import transport_plan


def problem(seed: int, sizes: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    """Costs of (1, I, J) in [0, 2), and masses that are all different."""
    generator = torch.Generator().manual_seed(seed)
    cost, *masses = (
        torch.rand(1, *shape, generator=generator, dtype=torch.float64) for shape in (sizes, *((s,) for s in sizes))
    )
    return 2 * cost, *((mass + 0.1) / (mass + 0.1).sum() for mass in masses)


def test_plan_by_hand():
    """Two points on either side, costs 0 and 1: by symmetry p / (1/2 - p) = exp(1 / epsilon), here 3."""
    cost, half = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]]), torch.tensor([[0.5, 0.5]])
    plan = transport_plan(cost, half, half, epsilon=1 / math.log(3), iterations=1)
    assert plan[0].flatten().tolist() == pytest.approx([3 / 8, 1 / 8, 1 / 8, 3 / 8])


@pytest.mark.parametrize(("seed", "sizes"), [(0, (2, 3)), (1, (4, 4)), (2, (6, 5))])
def test_a_small_epsilon_gives_the_optimum_of_the_linear_programme(seed, sizes):
    cost, left, right = problem(seed, sizes)
    plan = transport_plan(cost, left, right, epsilon=0.005, iterations=3000)
    of_rows = np.kron(np.eye(sizes[0]), np.ones(sizes[1]))
    of_columns = np.kron(np.ones(sizes[0]), np.eye(sizes[1]))
    sums = torch.cat([left[0], right[0]]).numpy()
    solved = linprog(cost.flatten().numpy(), A_eq=np.vstack([of_rows, of_columns]), b_eq=sums)
    assert (plan * cost).sum().item() == pytest.approx(solved.fun, abs=2e-3)
    assert plan[0].flatten().tolist() == pytest.approx(solved.x.tolist(), abs=2e-2)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 5))
def test_sums_are_the_masses(seed, rows, columns):
    cost, left, right = problem(seed, (rows, columns))
    plan = transport_plan(cost, left, right, epsilon=0.5, iterations=200)
    assert (plan >= 0).all()
    torch.testing.assert_close(plan.sum(2), left, rtol=0, atol=1e-6)
    torch.testing.assert_close(plan.sum(1), right, rtol=0, atol=1e-12)


def test_points_without_mass_change_nothing_wherever_they_are():
    cost, left, right = problem(3, (3, 4))
    alone = transport_plan(cost, left, right, epsilon=0.1, iterations=7)
    wide, tall, broad = torch.full((1, 5, 6), 0.01, dtype=torch.float64), torch.zeros(1, 5), torch.zeros(1, 6)
    rows, columns = torch.tensor([0, 2, 3]), torch.tensor([1, 2, 4, 5])
    wide[0, rows[:, None], columns], tall, broad = cost[0], tall.double(), broad.double()
    tall[0, rows], broad[0, columns] = left[0], right[0]
    plan = transport_plan(wide, tall, broad, epsilon=0.1, iterations=7)
    torch.testing.assert_close(plan[0, rows[:, None], columns], alone[0], rtol=0, atol=1e-12)
    assert plan.sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("empty", [(True, False), (False, True), (True, True)])
def test_nothing_is_moved_from_or_to_an_empty_side(empty):
    cost, left, right = problem(4, (2, 3))
    masses = [mass * (not gone) for mass, gone in zip((left, right), empty, strict=True)]
    both = [torch.cat([mass, full]) for mass, full in zip(masses, (left, right), strict=True)]
    plan = transport_plan(cost.repeat(2, 1, 1), *both, epsilon=0.1, iterations=5)
    assert plan[0].eq(0).all()
    assert torch.equal(plan[1:], transport_plan(cost, left, right, epsilon=0.1, iterations=5))


def test_a_tiny_epsilon_stays_finite_in_single_precision():
    cost, left, right = (tensor.float() for tensor in problem(5, (4, 4)))
    plan = transport_plan(cost, left, right, epsilon=1e-4, iterations=20)
    assert torch.isfinite(plan).all() and plan.sum().item() == pytest.approx(1.0, abs=1e-3)
