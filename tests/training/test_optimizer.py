"""The learning rate at steps worked out by hand, which parameters decay, and refused values."""

import math

import pytest
import torch
from torch import nn

from mixlingua.errors import ConfigError
from mixlingua.training.optimizer import AdamW


def adamw(**changes) -> AdamW:
    return AdamW(
        **({"lr": 0.5, "weight_decay": 0.1, "warmup_steps": 4, "schedule": "linear", "layer_decay": 1.0} | changes)
    )


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", {0: 0.2, 3: 0.8, 4: 1.0, 8: 1.0, 11: 1.0}),
        # Twelve steps, eight of them after the warm-up: 1, 7/8, ..., 1/8, and 0 once they are over.
        ("linear", {0: 0.2, 3: 0.8, 4: 1.0, 5: 0.875, 8: 0.5, 11: 0.125, 12: 0.0, 13: 0.0}),
        ("cosine", {0: 0.2, 3: 0.8, 4: 1.0, 6: (1 + math.sqrt(0.5)) / 2, 8: 0.5, 12: 0.0, 13: 0.0}),
    ],
)
def test_schedule_by_hand(schedule, expected):
    optimizer = adamw(schedule=schedule)
    assert {step: optimizer.factor(step, max_steps=12) for step in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_no_warmup_starts_at_the_full_rate(schedule):
    assert adamw(schedule=schedule, warmup_steps=0).factor(0, max_steps=10) == 1.0


def test_the_optimiser_receives_the_rate_of_each_step():
    parts = adamw().configure(nn.Linear(2, 2), max_steps=12)
    optimizer, scheduler = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
    assert parts["lr_scheduler"]["interval"] == "step"
    rates = []
    for _ in range(6):
        rates.append({group["lr"] for group in optimizer.param_groups})
        optimizer.step()
        scheduler.step()
    assert [rate for (rate,) in rates] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.4375])


def test_vectors_and_scalars_do_not_decay_and_frozen_parameters_are_left_out(infonce):
    module = nn.ModuleDict(
        {"linear": nn.Linear(3, 2), "norm": nn.LayerNorm(2), "frozen": nn.Linear(2, 2).requires_grad_(False),
         "loss": infonce(learn_temperature=True)}
    )  # fmt: skip
    groups = adamw().configure(module, max_steps=10)["optimizer"].param_groups
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    decay = {names[id(p)]: group["weight_decay"] for group in groups for p in group["params"]}
    assert decay == {
        "linear.weight": 0.1, "linear.bias": 0.0, "norm.weight": 0.0, "norm.bias": 0.0, "loss.log_scale": 0.0,
    }  # fmt: skip


def test_one_decaying_step_by_hand():
    layer = nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(2.0)
        layer.bias.fill_(2.0)
    optimizer = adamw(warmup_steps=0, schedule="constant").configure(layer, max_steps=10)["optimizer"]
    layer(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    # Decoupled decay: 2 (1 - lr 0.1), then Adam's first step of length lr against the sign of the gradient.
    assert layer.weight.item() == pytest.approx(2 * (1 - 0.5 * 0.1) - 0.5, abs=1e-6)
    assert layer.bias.item() == pytest.approx(2 - 0.5, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.0}, r"optimizer\.lr=0\.0"),
        ({"lr": -1e-5}, r"optimizer\.lr=-1e-05"),
        ({"lr": math.nan}, r"optimizer\.lr=nan"),
        ({"lr": math.inf}, r"optimizer\.lr=inf"),
        ({"weight_decay": -0.1}, r"optimizer\.weight_decay=-0\.1"),
        ({"weight_decay": math.nan}, r"optimizer\.weight_decay=nan"),
        ({"warmup_steps": -1}, r"optimizer\.warmup_steps=-1"),
        ({"schedule": "cosin"}, r"optimizer\.schedule=cosin: .*constant, linear, cosine.* Did you mean 'cosine'\?"),
    ],
)
def test_bad_values_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        adamw(**changes)


def test_a_layers_rate_is_a_share_of_the_one_above():
    module = nn.ModuleDict({"embeddings": nn.Linear(1, 1), "layer": nn.ModuleList(nn.Linear(1, 1) for _ in range(2)),
                            "dense": nn.Linear(1, 1)})  # fmt: skip
    groups = adamw(lr=0.8, layer_decay=0.5).configure(module, max_steps=10)["optimizer"].param_groups
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    rates = {names[id(p)]: group["initial_lr"] for group in groups for p in group["params"]}
    assert rates == pytest.approx({
        "dense.weight": 0.8, "dense.bias": 0.8, "layer.1.weight": 0.4, "layer.1.bias": 0.4,
        "layer.0.weight": 0.2, "layer.0.bias": 0.2, "embeddings.weight": 0.1, "embeddings.bias": 0.1,
    })  # fmt: skip
    assert groups[0]["initial_lr"] == 0.8
    assert len(adamw(lr=0.8).configure(module, max_steps=10)["optimizer"].param_groups) == 2


def test_the_highest_rate_is_lr_where_nothing_is_trained_above_the_layers():
    module = nn.ModuleDict({"layer": nn.ModuleList(nn.Linear(1, 1) for _ in range(3))})
    module["layer"][2].requires_grad_(False)
    groups = adamw(lr=0.8, layer_decay=0.5).configure(module, max_steps=10)["optimizer"].param_groups
    assert [group["initial_lr"] for group in groups] == [0.8, 0.8, 0.4, 0.4]


@pytest.mark.parametrize("decay", [0.0, 1.5, math.nan])
def test_layer_decay_outside_its_range(decay):
    with pytest.raises(ConfigError, match=r"optimizer\.layer_decay="):
        adamw(layer_decay=decay)
