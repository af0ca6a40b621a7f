"""Adapters: the model that training starts from, what is trained, and the plain model that a run ends with."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForFeatureExtraction, PeftModel
from torch import nn

from mixlingua.errors import ConfigError, ModelError
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder import save_folder
from mixlingua.model.language_layers import projection
from mixlingua.model.layers import Dense
from mixlingua.model.lora import LoRA, merge_adapters, save_adapters
from mixlingua.training.module import Teacher

TEXTS = ["one", "zwei Wörter", "a longer text than these"]
QUERY = "encoder.layer.1.attention.self.query"


def lora(**changes) -> LoRA:
    settings = {"rank": 4, "alpha": 8.0, "dropout": 0.0, "targets": ["query", "value"], "train_dense": False}
    return LoRA(**(settings | changes))


def learn(encoder: BiEncoder) -> None:
    """Give every B, which is 0 at first, numbers that matter."""
    torch.manual_seed(1)
    for name, parameter in encoder.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.3)


@torch.no_grad()
def vectors(encoder: BiEncoder) -> torch.Tensor:
    return deepcopy(encoder).eval()(encoder.tokenizer.queries(TEXTS))


def trained(encoder: BiEncoder) -> set[str]:
    return {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}


@pytest.fixture
def plain(pretrained) -> BiEncoder:
    return pretrained().load(seed=0)


@pytest.fixture
def adapted(pretrained) -> BiEncoder:
    """The same model with adapters that have learned something."""
    encoder = pretrained().load(seed=0)
    lora().attach(encoder, seed=0)
    learn(encoder)
    return encoder


def test_a_new_adapter_changes_no_vector_and_seed_alone_decides_it(pretrained, plain):
    def first_matrix(seed: int) -> torch.Tensor:
        encoder = pretrained().load(seed=0)
        lora().attach(encoder, seed)
        assert torch.equal(vectors(encoder), vectors(plain))
        return encoder.get_parameter(f"transformer.{QUERY}.lora_A.default.weight").detach()

    state = torch.get_rng_state()
    matrix = first_matrix(0)
    assert matrix.shape == (4, 32) and matrix.any()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert torch.equal(first_matrix(0), matrix) and not torch.equal(first_matrix(1), matrix)


def test_merged_weights_by_hand(plain, adapted):
    a, b = (adapted.get_parameter(f"transformer.{QUERY}.lora_{side}.default.weight").detach() for side in "AB")
    assert not torch.equal(vectors(adapted), vectors(plain))
    before = vectors(adapted)
    merge_adapters(adapted)
    torch.testing.assert_close(vectors(adapted), before, rtol=0, atol=1e-6)
    assert (before - vectors(plain)).abs().max() > 0.01
    start, end = plain.state_dict(), adapted.state_dict()
    assert list(start) == list(end)
    torch.testing.assert_close(end[f"transformer.{QUERY}.weight"], start[f"transformer.{QUERY}.weight"] + 8 / 4 * b @ a)
    changed = {name for name in start if not torch.equal(start[name], end[name])}
    targets = ("query", "value")
    assert changed == {
        f"transformer.encoder.layer.{i}.attention.self.{name}.weight" for i in (0, 1) for name in targets
    }


def test_merged_saved_and_loaded_is_the_same_encoder(adapted, folder_encoder, tmp_path, assert_same_vectors):
    before, apart = vectors(adapted), adapted.fingerprint()
    merge_adapters(adapted)
    save_folder(adapted, tmp_path / "model")
    loaded = folder_encoder(tmp_path / "model")
    torch.testing.assert_close(vectors(loaded), before, rtol=0, atol=1e-5)
    assert loaded.fingerprint() == adapted.fingerprint() != apart
    assert_same_vectors(adapted.eval(), tmp_path / "model", TEXTS, atol=1e-5)


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_a_kept_adapter_is_read_by_peft_and_gives_the_same_vectors(pretrained, adapted, tmp_path, share):
    """share: of what was learned, as where the weights of the start are mixed in."""
    save_adapters(adapted, tmp_path / "adapter", share=share)
    merge_adapters(adapted)
    start = pretrained().load(seed=0)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            parameter.lerp_(start.get_parameter(name), 1 - share)
    PeftModel.from_pretrained(start.transformer, tmp_path / "adapter")
    torch.testing.assert_close(vectors(start), vectors(adapted), rtol=0, atol=1e-6)
    written = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (
        Path(written["base_model_name_or_path"], "config.json").exists()
        and written["task_type"] == "FEATURE_EXTRACTION"
    )
    whole = AutoPeftModelForFeatureExtraction.from_pretrained(tmp_path / "adapter")
    assert torch.equal(whole.get_parameter(f"base_model.model.{QUERY}.base_layer.weight"),
                       start.transformer.get_parameter(f"{QUERY}.base_layer.weight"))  # fmt: skip


def test_there_is_no_adapter_to_keep(plain, tmp_path):
    save_adapters(plain, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def test_the_fingerprint_sees_an_adapter_learn(adapted):
    before = adapted.fingerprint()
    with torch.no_grad():
        adapted.get_parameter(f"transformer.{QUERY}.lora_B.default.weight")[0, 0] += 1
    assert adapted.fingerprint() != before


def with_dense(encoder: BiEncoder) -> BiEncoder:
    dense = [Dense(32, 8, bias=True, activation=nn.Tanh())]
    return BiEncoder(encoder.transformer, encoder.tokenizer, pooling="cls", dense=dense)


@pytest.mark.parametrize("train_dense", [False, True])
def test_only_adapters_are_trained_and_layers_after_pooling_where_asked(plain, train_dense):
    encoder = with_dense(plain)
    lora(train_dense=train_dense).attach(encoder, seed=0)
    learn(encoder)
    encoder(encoder.tokenizer.queries(TEXTS))[:, 0].sum().backward()
    changing = {name for name, p in encoder.named_parameters() if p.grad is not None and p.grad.any()}
    adapters = {name for name, _ in encoder.named_parameters() if "lora_" in name}
    assert len(adapters) == 2 * 2 * 2  # layers, targets, matrices
    dense = {"dense.0.linear.weight", "dense.0.linear.bias"} if train_dense else set()
    assert changing == trained(encoder) == adapters | dense


def test_a_projection_is_trained_by_no_adapter(plain):
    only = projection(torch.eye(32, 3, dtype=torch.float64))
    encoder = BiEncoder(plain.transformer, plain.tokenizer, pooling="cls", dense=[only])
    with pytest.raises(ModelError, match=r"train_dense=true: the model has no layer after pooling that could be train"):
        lora(train_dense=True).attach(encoder, seed=0)
    encoder = with_dense(plain)
    encoder.append(projection(torch.eye(8, 3, dtype=torch.float64)))
    lora(train_dense=True).attach(encoder, seed=0)
    assert {name for name in trained(encoder) if "dense" in name} == {"dense.0.linear.weight", "dense.0.linear.bias"}


def test_frozen_layers_get_no_adapter(pretrained):
    encoder = pretrained(freeze_layers=1, freeze_word_embeddings=True).load(seed=0)
    lora().attach(encoder, seed=0)
    assert trained(encoder) == {
        f"transformer.encoder.layer.1.attention.self.{name}.lora_{side}.default.weight"
        for name in ("query", "value") for side in "AB"
    }  # fmt: skip
    with pytest.raises(ModelError, match=r"adapter\.targets: every 'query' lies in a frozen layer\. Lower model\.f"):
        lora().attach(pretrained(freeze_layers=2).load(seed=0), seed=0)


def test_a_target_is_a_layers_name_or_its_end(plain):
    lora(targets=["attention.output.dense", QUERY]).attach(plain, seed=0)
    assert {name.removeprefix("transformer.").partition(".lora_")[0] for name in trained(plain)} == {
        "encoder.layer.0.attention.output.dense", "encoder.layer.1.attention.output.dense", QUERY,
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes", [{"chunk_size": 2}, {"gradient_checkpointing": True}, {"chunk_size": 1, "gradient_checkpointing": True}]
)
def test_chunks_and_checkpointing_change_no_gradient(pretrained, changes):
    def gradients(**settings) -> dict:
        encoder = pretrained(dropout=0.0, **settings).load(seed=0)
        lora().attach(encoder, seed=0)
        learn(encoder)
        encoder(encoder.tokenizer.queries(TEXTS))[:, 0].sum().backward()
        return {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}

    whole, other = gradients(), gradients(**changes)
    assert whole.keys() == other.keys() and whole
    for name, gradient in whole.items():
        torch.testing.assert_close(other[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_dropout_is_the_adapters_own_and_off_in_evaluation(pretrained):
    encoder = pretrained(dropout=0.0).load(seed=0)
    lora(dropout=0.5).attach(encoder, seed=0)
    learn(encoder)
    features = encoder.tokenizer.queries(TEXTS)
    assert not torch.equal(encoder(features), encoder(features))
    encoder.eval()
    assert torch.equal(encoder(features), encoder(features))


def test_a_teacher_made_before_stays_what_the_model_was(plain):
    start, teacher = vectors(plain), Teacher.copy_of(plain)
    lora().attach(plain, seed=0)
    learn(plain)
    merge_adapters(plain)
    assert torch.equal(teacher.encode_together([plain.tokenizer.queries(TEXTS)])[0], start)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 0}, r"adapter\.rank=0: 1 or more; adapter=none"),
        ({"alpha": 0.0}, r"adapter\.alpha=0\.0"),
        ({"alpha": float("nan")}, r"adapter\.alpha=nan"),
        ({"dropout": 1.0}, r"adapter\.dropout=1\.0"),
        ({"targets": []}, r"adapter\.targets=\[\]: a list of linear layers, such as \[query,value\]"),
        ({"targets": "query"}, r"adapter\.targets=query: a list"),
    ],
)
def test_bad_values_are_refused_before_anything_is_loaded(changes, message):
    with pytest.raises(ConfigError, match=message):
        lora(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ["quary"]}, r"layer 'quary'; choose of dense, key, query, value\. Did you mean 'query'\?"),
        ({"targets": ["query", "self.vale"]}, r"no linear layer 'self\.vale'; .* Did you mean 'self\.value'\?"),
        ({"targets": ["uery"]}, "no linear layer 'uery'"),  # an end of whole words
        ({"targets": ["word_embeddings"]}, r"no linear layer 'word_embeddings'; choose of dense, key, query, value\.$"),
        ({"train_dense": True}, r"adapter\.train_dense=true: the model has no layer after pooling"),
    ],
)  # fmt: skip
def test_what_the_model_does_not_have(plain, changes, message):
    before = plain.fingerprint()
    with pytest.raises(ModelError, match=message):
        lora(**changes).attach(plain, seed=0)
    assert plain.fingerprint() == before
