"""Tokens moved onto a teacher's: values by hand, what has no mass, the gradient, and rows without a pivot side."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mixlingua.errors import ConfigError
from mixlingua.losses.base import StepInputs, TokenVectors
from mixlingua.losses.transport import Transport, transport_plan

X, Y = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])


@pytest.fixture
def aligned(step, vectors):
    """A step whose queries have these tokens, and the teacher's pivot queries those; the passages have the same."""

    def make(own: Tensor, teacher: Tensor, own_content=None, teacher_content=None, present=None) -> StepInputs:
        rows = len(teacher)
        present = torch.ones(rows, dtype=torch.bool) if present is None else present
        pooled = vectors(rows, 90), present
        made = step(vectors(rows, 91), vectors(rows, 92), pivot_queries=pooled, pivot_passages=pooled)
        contents = [
            torch.ones(tokens.shape[:2], dtype=torch.bool) if content is None else content
            for tokens, content in ((own, own_content), (teacher, teacher_content))
        ]
        student, taught = TokenVectors(own, contents[0]), TokenVectors(teacher, contents[1])
        names = {"queries": student, "passages": student, "pivot_queries": taught, "pivot_passages": taught}
        return replace(made, tokens=names)

    return make


def transport(sides="query", epsilon=0.01, iterations=200) -> Transport:
    return Transport(sides=sides, epsilon=epsilon, iterations=iterations)


def token_vectors(vectors, rows: int, tokens: int, seed: int) -> Tensor:
    return vectors(rows * tokens, seed).reshape(rows, tokens, -1)


def test_value_by_hand(aligned):
    """Of X and Y, half the mass each, the teacher's two X take one at no cost and the other at a distance of 1."""
    made = aligned(torch.stack([X, Y])[None], torch.stack([X, X])[None])
    assert transport()(made).item() == pytest.approx(0.5, abs=1e-6)


def test_the_same_tokens_in_another_order_cost_nothing(aligned, vectors):
    tokens = token_vectors(vectors, 2, 4, 0)
    assert transport()(aligned(tokens, tokens[:, [2, 0, 3, 1]])).item() == pytest.approx(0.0, abs=1e-6)
    assert transport()(aligned(tokens, token_vectors(vectors, 2, 4, 1))).item() > 0.1


def test_what_is_no_content_has_no_mass_and_no_gradient(aligned, vectors):
    own, teacher = token_vectors(vectors, 2, 5, 0), token_vectors(vectors, 2, 4, 1)
    own_content = torch.tensor([[False, True, True, False, True], [False, True, False, False, False]])
    teacher_content = torch.tensor([[False, True, True, False], [False, True, True, True]])
    moved_own = torch.where(own_content[:, :, None], own, token_vectors(vectors, 2, 5, 2)).requires_grad_()
    moved_teacher = torch.where(teacher_content[:, :, None], teacher, token_vectors(vectors, 2, 4, 3))
    loss = transport()(aligned(moved_own, moved_teacher, own_content, teacher_content))
    assert loss.item() == pytest.approx(transport()(aligned(own, teacher, own_content, teacher_content)).item())
    loss.backward()
    assert torch.equal(moved_own.grad.abs().sum(2) > 0, own_content)


def test_the_gradient_is_that_of_the_entropic_optimum(aligned, vectors):
    """Compared with numerical differences of min <P, C> + epsilon sum P (log P - 1), for each component of a text."""
    epsilon, own, teacher = 0.2, token_vectors(vectors, 1, 3, 0).requires_grad_(), token_vectors(vectors, 1, 4, 1)
    transport(epsilon=epsilon, iterations=500)(aligned(own, teacher)).backward()

    def optimum(tokens: Tensor) -> float:
        cost = 1 - tokens @ teacher.mT
        masses = (torch.full((1, count), 1 / count, dtype=torch.float64) for count in (3, 4))
        plan = transport_plan(cost, *masses, epsilon=epsilon, iterations=500)
        return (plan * cost + epsilon * plan * (plan.log() - 1)).sum().item()

    numeric = torch.zeros_like(own)
    for place in range(own.numel()):
        shift = torch.zeros(own.numel(), dtype=torch.float64)
        shift[place] = 1e-5
        above, below = (optimum(own.detach() + sign * shift.reshape(own.shape)) for sign in (1, -1))
        numeric.view(-1)[place] = (above - below) / 2e-5
    torch.testing.assert_close(own.grad, numeric, rtol=0, atol=1e-7)


def test_rows_without_a_pivot_side_do_not_count(aligned, vectors):
    own, teacher = token_vectors(vectors, 3, 3, 0).requires_grad_(), token_vectors(vectors, 3, 4, 1)
    present = torch.tensor([True, False, True])
    loss = transport()(aligned(own, teacher, present=present))
    alone = [transport()(aligned(own[[row]], teacher[[row]])).item() for row in (0, 2)]
    assert loss.item() == pytest.approx(sum(alone) / 2, abs=1e-9)
    loss.backward()
    assert own.grad.abs().sum((1, 2)).gt(0).tolist() == present.tolist()
    assert transport()(aligned(own, teacher, present=torch.zeros(3, dtype=torch.bool))).item() == 0.0


def test_a_text_without_content_costs_nothing(aligned, vectors):
    own, teacher = token_vectors(vectors, 2, 3, 0).requires_grad_(), token_vectors(vectors, 2, 3, 1)
    content = torch.tensor([[True, True, True], [False, False, False]])
    for contents in ({"own_content": content}, {"teacher_content": content}):
        loss = transport()(aligned(own, teacher, **contents))
        assert loss.item() == pytest.approx(transport()(aligned(own[:1], teacher[:1])).item() / 2, abs=1e-9)
        loss.backward()
        assert torch.isfinite(own.grad).all()


def test_sides_and_hard_negatives(aligned, vectors):
    """Passages have other tokens, and one more text, which has no teacher."""
    own, teacher, other = (token_vectors(vectors, 2, 3, seed) for seed in range(3))
    made = aligned(own, teacher)
    passages = TokenVectors(torch.cat([other, own[:1]]), torch.ones(3, 3, dtype=torch.bool))
    made = replace(made, tokens={**made.tokens, "passages": passages})
    found = {sides: transport(sides)(made).item() for sides in ("query", "passage", "both")}
    assert found["passage"] == pytest.approx(transport()(aligned(other, teacher)).item(), abs=1e-9)
    assert found["both"] == pytest.approx((found["query"] + found["passage"]) / 2)
    assert transport("passage").token_views == {"passages", "pivot_passages"}
    assert transport("passage").views == {"pivot_passages": 1} and len(transport("both").token_views) == 4


def test_values_that_make_no_sense(aligned, vectors):
    with pytest.raises(ConfigError, match=r"loss\.transport\.sides=passages: .*Did you mean 'passage'"):
        transport("passages")
    with pytest.raises(ConfigError, match=r"loss\.transport\.epsilon=0"):
        transport(epsilon=0.0)
    with pytest.raises(ConfigError, match=r"loss\.transport\.iterations=0"):
        transport(iterations=0)
    with pytest.raises(ConfigError, match="teacher's token vectors have 2 components, the model's 5"):
        transport()(aligned(token_vectors(vectors, 1, 3, 0), torch.stack([X, Y])[None].double()))
