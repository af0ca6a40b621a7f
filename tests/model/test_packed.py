"""Packed texts have the vectors and gradients of the transformer's own padded forward."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from mixlingua.data.tokenizer import PairTokenizer
from mixlingua.model.encoder import POOLINGS, BiEncoder, weighted_layers
from mixlingua.model.packed import PACKED, can_be_packed

SHAPE = {
    "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 80, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
ARCHITECTURES = {
    "bert": (BertModel, BertConfig(**SHAPE, pad_token_id=0)),
    "roberta": (RobertaModel, RobertaConfig(**SHAPE, pad_token_id=1)),
    "xlm-roberta": (XLMRobertaModel, XLMRobertaConfig(**SHAPE, pad_token_id=1)),
}
LENGTHS = [[5, 1, 9, 9, 3], [40, 2, 17]]  # of the texts of two batches


def transformer_of(architecture: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model, config = ARCHITECTURES[architecture]
    return model(config).train()


def batches(transformer: PreTrainedModel, lengths: list[list[int]] = LENGTHS) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    made = []
    for of_batch in lengths:
        mask = (torch.arange(max(of_batch)) < torch.tensor(of_batch)[:, None]).long()
        ids = torch.randint(5, 100, mask.shape, generator=generator)
        ids = torch.where(mask.bool(), ids, torch.tensor(transformer.config.pad_token_id))
        made.append({"input_ids": ids.to(transformer.device), "attention_mask": mask.to(transformer.device)})
    return made


def encoder_of(transformer: PreTrainedModel, **options: object) -> BiEncoder:
    tokenizer = PairTokenizer(None, query_prefix="", passage_prefix="", max_query_length=64, max_passage_length=64)
    return BiEncoder(transformer, tokenizer, **{"pooling": "mean", "dense": [], **options})


def padded(transformer: PreTrainedModel, features: dict[str, Tensor], pooling: str, weights: list[float]) -> Tensor:
    """The oracle: transformers' own forward with plain attention."""
    transformer.set_attn_implementation("eager")
    output = transformer(**features, output_hidden_states=True)
    states = weighted_layers(output.hidden_states, weights)
    pooler_output = transformer.pooler(states)
    return normalize(POOLINGS[pooling](states, features["attention_mask"], pooler_output), dim=-1)


def gradients(transformer: PreTrainedModel, vectors: list[Tensor]) -> dict[str, Tensor]:
    transformer.zero_grad()
    (normalize(vectors[0].sum(0), dim=-1) @ vectors[1].T).square().sum().backward()
    return {name: p.grad.clone() for name, p in transformer.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("weights", [[1.0], [0.25, 0.75]])
@pytest.mark.parametrize("pooling", ["mean", "cls", "pooler"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_values_and_gradients_are_those_of_padded_texts(architecture, pooling, weights):
    transformer = transformer_of(architecture)
    encoder = encoder_of(transformer, pooling=pooling, layer_weights=weights)
    vectors = encoder.encode_together(batches(transformer))
    found = gradients(transformer, vectors)
    expected_vectors = [padded(transformer, features, pooling, weights) for features in batches(transformer)]
    expected = gradients(transformer, expected_vectors)
    for one, other in zip(vectors, expected_vectors, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-6)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=1e-4, atol=2e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_each_batch_alone_in_chunks_and_with_checkpointing_is_the_same():
    transformer = transformer_of("xlm-roberta")
    encoder = encoder_of(transformer)
    features = batches(transformer)
    together = encoder.encode_together(features)
    expected = gradients(transformer, together)
    for one, alone in zip(together, map(encoder, features), strict=True):
        torch.testing.assert_close(one, alone, rtol=0, atol=1e-6)
    encoder.chunk_size = 2
    chunked = gradients(transformer, encoder.encode_together(features))
    encoder.chunk_size = None
    transformer.gradient_checkpointing_enable()
    recomputed = gradients(transformer, encoder.encode_together(features))
    for name, value in expected.items():
        torch.testing.assert_close(chunked[name], value, rtol=1e-4, atol=2e-6)
        torch.testing.assert_close(recomputed[name], value, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("packed", [True, False])
def test_tokens_count_by_their_weights_in_values_and_gradients(packed):
    transformer = transformer_of("bert")
    weights = torch.rand(100, generator=torch.Generator().manual_seed(2)) + 0.01
    encoder = encoder_of(transformer, token_weights=weights, attn_implementation=None if packed else "eager")
    features = batches(transformer)
    vectors = encoder.encode_together(features)
    found = gradients(transformer, vectors)
    transformer.set_attn_implementation("eager")
    expected_vectors = []
    for of_batch in features:
        states = transformer(**of_batch).last_hidden_state
        rows = [
            sum(weights[token] * state for token, state, real in zip(*row, strict=True) if real)
            for row in zip(of_batch["input_ids"], states, of_batch["attention_mask"], strict=True)
        ]
        expected_vectors.append(normalize(torch.stack(rows), dim=-1))
    expected = gradients(transformer, expected_vectors)
    for one, other in zip(vectors, expected_vectors, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-6)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=2e-6)


def test_more_texts_than_a_group_holds():
    transformer = transformer_of("bert")
    encoder = encoder_of(transformer)
    features = batches(transformer, [[1 + number * 7 % 41 for number in range(50)]])
    torch.testing.assert_close(encoder(features[0]), padded(transformer, features[0], "mean", [1.0]), rtol=0, atol=2e-6)


def test_states_of_tokens_are_those_of_padded_texts():
    transformer = transformer_of("bert")
    encoder = encoder_of(transformer)
    (_, features) = batches(transformer)
    vectors, states = encoder.with_tokens(features)
    transformer.set_attn_implementation("eager")
    expected = normalize(transformer(**features).last_hidden_state, dim=-1)
    real = features["attention_mask"].bool()
    torch.testing.assert_close(states[real], expected[real], rtol=0, atol=2e-6)
    assert states.shape == expected.shape
    assert not states[~real].any()
    transformer.set_attn_implementation(PACKED)
    torch.testing.assert_close(vectors, encoder(features), rtol=0, atol=0)


def test_attention_drops_weights_in_training_alone():
    transformer = transformer_of("bert")
    for layer in transformer.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.5
    encoder = encoder_of(transformer)
    (features, _) = batches(transformer)
    assert not torch.equal(encoder(features), encoder(features))
    encoder.eval()
    torch.testing.assert_close(encoder(features), encoder(features), rtol=0, atol=0)


def test_a_padded_batch_is_refused_by_packed_attention():
    """Without a mask, padding would be attended to."""
    transformer = transformer_of("bert")
    encoder_of(transformer)
    with pytest.raises(TypeError, match="packing"):
        transformer(**batches(transformer)[0])


def test_other_architectures_are_padded():
    from transformers import DistilBertConfig, DistilBertModel

    transformer = DistilBertModel(DistilBertConfig(vocab_size=100, dim=32, n_layers=2, n_heads=4, hidden_dim=48)).eval()
    assert not can_be_packed(transformer)
    (features, _) = batches(transformer)
    states = transformer(**features).last_hidden_state
    expected = normalize(POOLINGS["mean"](states, features["attention_mask"], None), dim=-1)
    torch.testing.assert_close(encoder_of(transformer)(features), expected, rtol=0, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_variable_length_attention_on_a_gpu(architecture):
    """In bfloat16, within its rounding; and exactly the CPU's groups in float32."""
    transformer = transformer_of(architecture).cuda()
    encoder = encoder_of(transformer)
    with torch.autocast("cuda", torch.bfloat16):
        vectors = encoder.encode_together(batches(transformer))
        found = gradients(transformer, vectors)
    in_float32 = encoder.encode_together(batches(transformer))
    expected = [padded(transformer, features, "mean", [1.0]) for features in batches(transformer)]
    gradient = gradients(transformer, expected)
    for half, full, other in zip(vectors, in_float32, expected, strict=True):
        torch.testing.assert_close(full, other, rtol=0, atol=1e-5)
        assert (half - other).norm() / other.norm() < 2e-2
    for name, value in gradient.items():
        if value.norm() > 1e-3:
            assert (found[name] - value).norm() / value.norm() < 0.1, name
