"""Encoding in chunks: the loss and every gradient of one large batch, in the memory of a small one."""

import pytest
import torch


@pytest.mark.parametrize("chunk_size", [1, 3, 8])
def test_value_and_gradients_are_those_of_the_whole_batch(module, make_batch, chunk_size):
    words = ["alpha", "river and stone", "cloud", "a maple of some age", "tiger", "zebra", "quilt", "x"]
    batch = make_batch(0, words, [word.upper() for word in words])
    values, gradients = [], []
    for size in (None, chunk_size):
        module.encoder.chunk_size = size
        module.zero_grad()
        loss, _ = module.batch_loss(batch)
        loss.backward()
        values.append(loss.item())
        gradients.append({name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None})
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-4)


def test_so_they_are_where_several_layers_are_pooled(pretrained, make_batch):
    features = make_batch(0, ["x", "river and stone", "a maple"], ["a", "b", "c"]).queries
    gradients = []
    for size in (None, 2):
        encoder = pretrained(layer_weights=[0.5, 0.25, 0.25], chunk_size=size, dropout=0.0).load(seed=0)
        (encoder(features) * torch.arange(32)).sum().backward()
        gradients.append({name: p.grad for name, p in encoder.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("chunk_size", [1, 3])
def test_token_vectors_and_their_gradients_are_those_of_the_whole_batch(module, make_batch, chunk_size):
    features = make_batch(0, ["x", "river and stone", "a maple"], ["a", "b", "c"]).queries
    weights = torch.rand(*features["input_ids"].shape, 32, generator=torch.Generator().manual_seed(0))
    weights *= features["attention_mask"][:, :, None]  # what stands at padding is nobody's
    values, gradients = [], []
    for size in (None, chunk_size):
        module.encoder.chunk_size = size
        module.zero_grad()
        vectors, tokens = module.encoder.with_tokens(features)
        loss = (tokens * weights).sum() + vectors[:, 0].sum()
        loss.backward()
        values.append(loss.item())
        gradients.append({name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None})
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-5, rtol=1e-4)


def test_no_more_than_a_chunk_is_encoded_at_once(module, make_batch, monkeypatch):
    sizes = []
    encode = module.encoder._encode
    monkeypatch.setattr(
        module.encoder,
        "_encode",
        lambda batches: sizes.append(sum(len(f["input_ids"]) for f in batches)) or encode(batches),
    )
    module.encoder.chunk_size = 3
    batch = make_batch(0, list("abcdefgh"), list("ABCDEFGH"))
    module.batch_loss(batch)[0].backward()
    assert max(sizes) == 3 and sum(sizes) == 2 * 16  # every text once forwards, and once more for its gradient
    sizes.clear()
    with torch.no_grad():
        module.encoder(batch.queries)
    assert sizes == [8]


def test_dropout_is_the_same_when_activations_are_computed_again(pretrained, make_batch, module):
    """Else the gradient would be of another loss: compared with numerical differences along one weight."""
    encoder = pretrained(dropout=0.3, chunk_size=2).load(seed=0).double()
    features = make_batch(0, list("abcd"), list("ABCD")).queries
    weight = encoder.transformer.encoder.layer[0].output.dense.bias

    def value() -> torch.Tensor:
        torch.manual_seed(7)
        return encoder(features)[:, 0].sum()

    value().backward()
    with torch.no_grad():
        weight[0] += 1e-3
        above = value()
        weight[0] -= 2e-3
        below = value()
    # Vectors leave the encoder as float32, hence the wide step and tolerance.
    assert weight.grad[0].item() == pytest.approx((above - below).item() / 2e-3, rel=2e-2, abs=1e-4)
