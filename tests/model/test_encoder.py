"""Pooling, dense layers and unit length, against values worked out with the transformer's own output."""

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize
from transformers import BertModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from mixlingua.model.encoder import POOLINGS, BiEncoder
from mixlingua.model.layers import Dense
from mixlingua.model.packed import PACKED


@pytest.fixture
def encoder(pretrained) -> BiEncoder:
    return pretrained().load(seed=0).eval()


def padded_output(encoder: BiEncoder, features: dict[str, torch.Tensor]) -> BaseModelOutputWithPooling:
    """What the transformer itself makes of a padded batch."""
    encoder.transformer.set_attn_implementation("eager")
    output = encoder.transformer(**features, output_hidden_states=True)
    encoder.transformer.set_attn_implementation(PACKED)
    return output


def test_pooling_by_hand():
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [50.0, 50.0]], [[4.0, 0.0], [50.0, 50.0], [50.0, 50.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    pooler_output = torch.tensor([[7.0, 7.0], [8.0, 8.0]])
    pooled = {name: pool(hidden, mask, pooler_output).tolist() for name, pool in POOLINGS.items()}
    by_hand = {"mean": [[2, 4], [4, 0]], "cls": [[1, 2], [4, 0]], "lasttoken": [[3, 6], [4, 0]]}
    assert pooled == by_hand | {"pooler": [[7, 7], [8, 8]]}


@torch.inference_mode()
def test_embeddings_are_unit_rows_of_the_pooled_output(encoder):
    features = encoder.tokenizer.queries(["one", "a longer text"])
    embeddings = encoder(features)
    hidden = padded_output(encoder, features).last_hidden_state
    by_hand = torch.stack([hidden[0, :5].mean(0), hidden[1].mean(0)])  # three letters between two special tokens
    torch.testing.assert_close(embeddings, normalize(by_hand, dim=-1), rtol=0, atol=1e-6)
    assert embeddings.shape == (2, encoder.embedding_dim)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@torch.inference_mode()
def test_padding_does_not_change_a_vector(pretrained, pooling):
    encoder = pretrained(pooling=pooling).load(seed=0).eval()
    alone = encoder(encoder.tokenizer.passages(["short"]))
    padded = encoder(encoder.tokenizer.passages(["short", "a text that is longer"]))
    torch.testing.assert_close(padded[:1], alone, rtol=0, atol=1e-6)


@torch.inference_mode()
def test_token_vectors_are_unit_rows_of_the_last_hidden_state(encoder):
    features = encoder.tokenizer.queries(["one", "a longer text"])
    vectors, tokens = encoder.with_tokens(features)
    torch.testing.assert_close(vectors, encoder(features), rtol=0, atol=0)
    by_hand = normalize(padded_output(encoder, features).last_hidden_state, dim=-1)
    real = features["attention_mask"].bool()
    torch.testing.assert_close(tokens[real], by_hand[real], rtol=0, atol=1e-6)


@torch.inference_mode()
def test_layers_are_averaged_by_their_weights_before_pooling(pretrained, encoder):
    features = encoder.tokenizer.queries(["one", "a longer text"])
    states = padded_output(encoder, features).hidden_states
    assert len(states) == 3  # the embeddings and two layers
    hidden = 0.25 * states[1] + 0.75 * states[2]
    by_hand = normalize(torch.stack([hidden[0, :5].mean(0), hidden[1].mean(0)]), dim=-1)
    mixed = pretrained(layer_weights=[0.5, 1.5]).load(seed=0).eval()
    torch.testing.assert_close(mixed(features), by_hand, rtol=0, atol=1e-6)
    vectors, tokens = mixed.with_tokens(features)
    torch.testing.assert_close(vectors, by_hand, rtol=0, atol=1e-6)
    real = features["attention_mask"].bool()
    torch.testing.assert_close(tokens[real], normalize(hidden, dim=-1)[real], rtol=0, atol=1e-6)
    assert mixed.fingerprint() != encoder.fingerprint()
    assert torch.equal(pretrained(layer_weights=[1]).load(seed=0).eval()(features), encoder(features))


@torch.inference_mode()
def test_a_dense_layer_follows_pooling_and_decides_the_dimension(encoder):
    dense = Dense(32, 5, bias=True, activation=nn.Tanh())
    with_dense = BiEncoder(encoder.transformer, encoder.tokenizer, pooling="cls", dense=[dense])
    features = encoder.tokenizer.queries(["one", "two"])
    first = padded_output(encoder, features).last_hidden_state[:, 0]
    by_hand = normalize(torch.tanh(first @ dense.linear.weight.T + dense.linear.bias), dim=-1)
    torch.testing.assert_close(with_dense(features), by_hand, rtol=0, atol=1e-6)
    assert with_dense.embedding_dim == 5


@torch.inference_mode()
def test_the_pooler_is_the_transformers_own(pretrained, encoder, tmp_path):
    with_pooler = BertModel(encoder.transformer.config, add_pooling_layer=True).eval()
    with_pooler.save_pretrained(tmp_path)
    with_pooler.set_attn_implementation("eager")
    encoder.tokenizer.tokenizer.save_pretrained(tmp_path)
    pooling = pretrained(name_or_path=str(tmp_path), pooling="pooler").load(seed=0).eval()
    features = encoder.tokenizer.queries(["one"])
    expected = normalize(with_pooler(**features).pooler_output, dim=-1)
    torch.testing.assert_close(pooling(features), expected)


@pytest.mark.parametrize("with_dense", [False, True])
def test_low_precision_still_returns_unit_rows_in_float32(encoder, with_dense):
    dense = [Dense(32, 64, bias=True, activation=nn.Tanh())] if with_dense else []
    encoder = BiEncoder(encoder.transformer, encoder.tokenizer, pooling="cls", dense=dense).to(torch.bfloat16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        embeddings = encoder(encoder.tokenizer.queries(["one", "two"]))
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(2), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_means_enter_a_dense_layer_in_its_own_type(encoder, dtype):
    """Means are float32, whatever the weights; a model held in bf16-true or 64-true has its layers so too."""
    dense = [Dense(32, 8, bias=False, activation=nn.Identity())]
    encoder = BiEncoder(encoder.transformer, encoder.tokenizer, pooling="mean", dense=dense).to(dtype)
    features = encoder.tokenizer.passages(["Kairo liegt am Nil.", "Bern"])
    assert encoder(features).shape == (2, 8)


def test_device_is_where_the_parameters_are(encoder):
    assert encoder.device == torch.device("cpu")
    assert encoder.to("meta").device == torch.device("meta")


def test_tiny_weights_are_decided_by_the_seed_alone(pretrained):
    def weights(seed):
        return pretrained().load(seed).transformer.embeddings.word_embeddings.weight

    torch.manual_seed(5)
    first = weights(0)
    state = torch.get_rng_state()
    torch.testing.assert_close(weights(0), first, rtol=0, atol=0)
    assert not torch.equal(weights(1), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_fingerprint_changes_with_whatever_changes_the_vectors(pretrained):
    first, other = pretrained().load(seed=0), pretrained(query_prefix="find: ").load(seed=0)
    first.tokenizer.queries(["a call leaves no trace"])
    assert first.fingerprint() == pretrained().load(seed=0).fingerprint()
    assert first.fingerprint() != other.fingerprint()
    before = first.fingerprint()
    with torch.no_grad():
        first.transformer.embeddings.LayerNorm.bias[0] += 1
    assert first.fingerprint() != before
