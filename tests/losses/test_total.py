"""A weighted sum of losses, and means over rows that some processes have and others have not."""

import pytest
import torch

from mixlingua.errors import ConfigError
from mixlingua.losses.base import StepInputs, StepLoss, TotalLoss, ViewVectors
from mixlingua.losses.distillation import Distillation


def test_the_sum_is_weighted_and_the_parts_are_not(infonce, step, vectors):
    queries = vectors(3, 0).requires_grad_()
    made = step(queries, vectors(3, 1), pivot_queries=vectors(3, 2), pivot_passages=vectors(3, 3))
    parts = {"infonce": infonce(weight=0.5), "distillation": Distillation(weight=20.0, sides="both")}
    total, found = TotalLoss(parts)(made)
    assert total.item() == pytest.approx(0.5 * parts["infonce"](made).item() + 20 * parts["distillation"](made).item())
    assert found["distillation"].item() == pytest.approx(parts["distillation"](made).item())


def test_views_are_those_of_all_losses(infonce):
    assert TotalLoss({"infonce": infonce()}).views == {}
    assert TotalLoss({"a": infonce(teacher_margin=0.0), "b": Distillation(sides="query")}).views == {
        "pivot_passages": 1, "pivot_queries": 1,
    }  # fmt: skip


def test_nothing_to_train_by(infonce):
    with pytest.raises(ConfigError, match=r"loss=\[\]"):
        TotalLoss({})
    with pytest.raises(ConfigError, match=r"weight=-1"):
        infonce(weight=-1.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda step: step.queries.sum(1), r"loss\.own: forward gave a tensor of shape \(3,\), .* \.mean\(\)"),
        (lambda step: 0.5, r"loss\.own: forward gave 0\.5"),
        (lambda step: step.queries.detach().mean(), r"loss=\[own\]: the loss has no gradient"),
    ],
)
def test_what_is_no_scalar_with_a_gradient_is_refused(wrong, message, step, vectors):
    class Own(StepLoss):
        def forward(self, step):
            return wrong(step)

    made = step(vectors(3, 0).requires_grad_(), vectors(3, 1))
    with pytest.raises(ConfigError, match=message):
        TotalLoss({"own": Own(1.0)})(made)


def test_a_validation_needs_no_gradient(infonce, step, vectors):
    with torch.no_grad():
        assert TotalLoss({"infonce": infonce()})(step(vectors(3, 0), vectors(3, 1)))[0] > 0


def test_the_mean_over_processes_is_the_mean_over_rows(vectors):
    """Two processes of three rows, of which one and three have the view."""
    values, present = torch.arange(6.0), torch.tensor([True, False, False, True, True, True])
    queries = vectors(6, 0)
    shares = []
    for process in (0, 1):
        own = slice(3 * process, 3 * process + 3)
        rows, keys = torch.arange(3), torch.zeros(3, 1)
        step = StepInputs(
            queries[own], queries[own], queries, queries, rows, rows, keys, keys, keys,
            {"view": ViewVectors(queries[own], present[own])}, {"view": ViewVectors(queries, present)},
        )  # fmt: skip
        shares.append(step.mean_over("view", values[own]).item())
    assert sum(shares) / 2 == pytest.approx(values[present].mean().item())


def test_a_module_that_is_no_loss_of_a_step_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"loss\.mine: torch\.nn\.modules\.loss\.CosineEmbeddingLoss .*StepLoss"):
        TotalLoss({"mine": torch.nn.CosineEmbeddingLoss()})
