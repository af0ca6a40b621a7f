"""Settings against the folder's own, limits, and folders that must not be loaded."""

import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, AutoModel

from mixlingua.errors import ConfigError, ModelError
from mixlingua.model.folder import save_folder
from mixlingua.model.layers import Dense
from mixlingua.model.local_weights import tiny_folder


@pytest.fixture
def saved(pretrained, tmp_path):
    """A folder with mean pooling, prefixes 'query: ' and 'passage: ', and lengths 12 and 20."""
    lengths = {"max_query_length": 12, "max_passage_length": 20}
    encoder = pretrained(query_prefix="query: ", passage_prefix="passage: ", **lengths).load(seed=0)
    save_folder(encoder, tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def plain(tmp_path):
    """A plain transformers folder, which says nothing of pooling, prefixes and lengths."""
    return shutil.copytree(tiny_folder(0), tmp_path / "plain")


NO_PREFIX = {"query_prefix": None, "passage_prefix": None}


def test_null_settings_are_the_folders(folder_encoder, saved):
    encoder = folder_encoder(saved)
    assert encoder.pooling == "mean"
    assert encoder.tokenizer.prefix == {"query": "query: ", "passage": "passage: "}
    assert encoder.tokenizer.max_length == {"query": 12, "passage": 20}


def test_null_settings_without_a_folder_that_says_them(pretrained, plain):
    encoder = pretrained(name_or_path=str(plain), **NO_PREFIX, max_query_length=None).load(seed=0)
    assert encoder.tokenizer.prefix == {"query": "", "passage": ""}
    assert encoder.tokenizer.max_length == {"query": 512, "passage": 16}
    with pytest.raises(ModelError, match=r"model\.pooling is null and .*plain does not state one"):
        pretrained(name_or_path=str(plain), pooling=None).load(seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({**NO_PREFIX, "pooling": "cls"}, "model.pooling='cls' but .*saved with 'mean'"),
        ({**NO_PREFIX, "query_prefix": "Query: "}, "model.query_prefix='Query: ' but .*saved with 'query: '"),
        ({**NO_PREFIX, "passage_prefix": ""}, "model.passage_prefix='' but .*saved with 'passage: '"),
    ],
)
def test_a_setting_that_contradicts_the_folder_is_refused(pretrained, saved, changes, message):
    with pytest.raises(ModelError, match=message) as raised:
        pretrained(name_or_path=str(saved), **changes).load(seed=0)
    assert f"model=folder model.name_or_path={saved}" in str(raised.value)


def test_a_setting_that_agrees_with_the_folder_and_another_length_are_taken(pretrained, saved):
    settings = {"query_prefix": "query: ", "passage_prefix": "passage: ", "max_query_length": 30}
    encoder = pretrained(name_or_path=str(saved), **settings).load(seed=0)
    assert encoder.tokenizer.max_length == {"query": 30, "passage": 16}


@pytest.mark.parametrize("key", ["max_query_length", "max_passage_length"])
def test_lengths_above_the_position_limit_are_refused(pretrained, key):
    assert pretrained(**{key: 512}).load(seed=0)
    with pytest.raises(ModelError, match=rf"model\.{key}=513: tiny has positions for 512 tokens"):
        pretrained(**{key: 513}).load(seed=0)


def test_more_weights_than_layers_are_refused(pretrained):
    assert pretrained(layer_weights=[1, 2]).load(seed=0).layer_weights == (1.0, 2.0)
    assert pretrained(layer_weights=[1, 1, 1]).load(seed=0).layer_weights == (1.0, 1.0, 1.0)  # with the embeddings
    with pytest.raises(ModelError, match=r"model\.layer_weights: 4, but tiny has 2 layers, and the embeddings below"):
        pretrained(layer_weights=[1, 1, 1, 1]).load(seed=0)


def test_tokens_weigh_by_their_inverse_frequency(pretrained, unigram):
    """By hand: a / (a + p), p the tokenizer's probability of the token; 1 for special tokens, 0 for added ones."""
    weights = pretrained(name_or_path=str(unigram), sif=0.01).load(seed=0).token_weights
    special = 0.01 / 1.01
    expected = [special, special, special, special, 0.01 / 0.26, 0.01 / 0.011, 0.01 / 0.06, 1.0]
    torch.testing.assert_close(weights, torch.tensor(expected))


def test_frequencies_that_the_tokenizer_does_not_know_and_other_pooling_are_refused(pretrained, unigram):
    with pytest.raises(ModelError, match=r"model\.sif=0\.001: the tokenizer is a BPE model, .* model\.sif=null"):
        pretrained(sif=0.001).load(seed=0)
    with pytest.raises(ModelError, match=r"model\.pooling=cls: tokens have weights in mean pooling alone"):
        pretrained(name_or_path=str(unigram), pooling="cls", sif=0.001).load(seed=0)


SMALL = {
    "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
    "max_position_embeddings": 20, "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3,
}  # fmt: skip
BEHIND_PADDING = ("xlm-roberta", "roberta", "camembert", "mpnet", "data2vec-text", "roberta-prelayernorm")
FROM_ZERO = ("bert", "electra", "distilbert", "ernie")


def with_architecture(folder, kind, **changes):
    """The folder with a small transformer of another architecture, and the same tokenizer."""
    vocab_size = json.loads((folder / "config.json").read_text())["vocab_size"]
    config = CONFIG_MAPPING[kind](**(SMALL | {"vocab_size": vocab_size} | changes))
    AutoModel.from_config(config).save_pretrained(folder)


@torch.inference_mode()
@pytest.mark.parametrize("padding", [0, 1, 5])
@pytest.mark.parametrize("kind", [*BEHIND_PADDING, *FROM_ZERO])
def test_texts_are_cut_at_what_the_positions_hold(pretrained, plain, kind, padding):
    """Where position ids start behind the padding index, that many positions are no use to a text."""
    names = {"hidden_dim": 8, "dim": 8, "n_layers": 1, "n_heads": 2} if kind == "distilbert" else {}
    with_architecture(plain, kind, pad_token_id=padding, **names)
    encoder = pretrained(name_or_path=str(plain), max_query_length=None, max_passage_length=None).load(seed=0).eval()
    limit = encoder.tokenizer.max_length["query"]
    long_text = ["x" * 100]
    assert encoder(encoder.tokenizer.queries(long_text)).shape == (1, 8)
    assert len(encoder.tokenizer.encode(long_text, "query")[0]) == limit
    encoder.tokenizer.max_length["query"] = limit + 1
    with pytest.raises((IndexError, RuntimeError)):  # the limit is where positions end, not below
        encoder(encoder.tokenizer.queries(long_text))


def test_a_folder_that_says_more_than_the_positions_hold_is_cut_there(folder_encoder, pretrained, saved):
    """Public CamemBERT folders say 514, where positions hold 512 tokens."""
    file = saved / "sentence_bert_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"query_length": 514, "document_length": 514}))
    assert folder_encoder(saved).tokenizer.max_length == {"query": 512, "passage": 512}
    with pytest.raises(ModelError, match=r"max_query_length=514: .*512 tokens"):
        pretrained(name_or_path=str(saved), **NO_PREFIX, max_query_length=514).load(seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer_weights": []}, r"model\.layer_weights=\[\]: numbers of 0 or more, not all 0"),
        ({"layer_weights": [0.0, 0]}, r"model\.layer_weights=\[0.0, 0\]: numbers of 0 or more"),
        ({"layer_weights": 2}, r"model\.layer_weights=2: numbers of 0 or more"),
        ({"layer_weights": "0.5"}, r"model\.layer_weights=.*: numbers of 0 or more"),
        ({"layer_weights": [1, -1]}, r"model\.layer_weights=\[1, -1\]: numbers of 0 or more"),
        ({"layer_weights": [1, 1], "pooling": "pooler"}, r"pooling=pooler reads the last layer alone"),
        (
            {"pooling": "meen"},
            r"model\.pooling=meen: it is one of cls, mean, lasttoken, pooler\. Did you mean 'mean'\?",
        ),
        ({"sif": 0.0}, r"model\.sif=0\.0: a number above 0"),
        ({"sif": -1.0}, r"model\.sif=-1\.0: a number above 0"),
        ({"sif": float("inf")}, r"model\.sif=inf: a number above 0"),
        ({"sif": float("nan")}, r"model\.sif=nan: a number above 0"),
        ({"max_query_length": 3}, r"model\.max_query_length=3: at least 4"),
        ({"max_passage_length": 0}, r"model\.max_passage_length=0: at least 4"),
    ],
)
def test_bad_values_are_refused_before_anything_is_loaded(pretrained, changes, message):
    with pytest.raises(ConfigError, match=message):
        pretrained(**changes)


def test_loads_in_float32_and_training_mode(pretrained, plain):
    file = plain / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"dtype": "bfloat16"}))
    encoder = pretrained(name_or_path=str(plain)).load(seed=0)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    assert all(part.training for part in encoder.modules())


def test_only_the_word_embeddings_are_frozen(pretrained):
    frozen = [
        name for name, p in pretrained(freeze_word_embeddings=True).load(0).named_parameters() if not p.requires_grad
    ]
    assert frozen == ["transformer.embeddings.word_embeddings.weight"]
    assert all(parameter.requires_grad for parameter in pretrained().load(seed=0).parameters())


def test_every_trainable_parameter_has_a_gradient(pretrained):
    """DistributedDataParallel refuses a parameter that takes no part in the loss."""
    encoder = pretrained().load(seed=0)
    encoder(encoder.tokenizer.queries(["one", "two"]))[:, 0].sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None] == []


def test_dropout_is_the_configured_one_and_off_in_evaluation(pretrained):
    def spread(dropout: float | None, *, training: bool = True) -> float:
        encoder = pretrained(dropout=dropout).load(seed=0).train(training)
        features = encoder.tokenizer.queries(["one", "two words"])
        return float((encoder(features) - encoder(features)).abs().max())

    assert spread(0.0) == 0 and spread(0.5, training=False) == 0
    assert spread(0.5) > 0.1 and spread(None) > 0  # the transformer's own is 0.1
    with pytest.raises(ConfigError, match=r"model\.dropout=1\.0"):
        pretrained(dropout=1.0)


@pytest.mark.parametrize("options", [{}, {"freeze_word_embeddings": True}, {"layer_weights": [0.5, 0.25, 0.25]}])
def test_gradient_checkpointing_changes_no_gradient(pretrained, options):
    def gradients(checkpointing: bool) -> dict:
        encoder = pretrained(gradient_checkpointing=checkpointing, **options).load(seed=0)
        assert encoder.transformer.is_gradient_checkpointing == checkpointing
        torch.manual_seed(0)  # dropout draws the same in both, also when a layer is computed again
        encoder(encoder.tokenizer.queries(["one", "two words"]))[:, 0].sum().backward()
        return {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}

    plain, checkpointed = gradients(False), gradients(True)
    assert plain.keys() == checkpointed.keys() and any(gradient.any() for gradient in plain.values())
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, rtol=0, atol=1e-7, msg=name)


def test_compiling_keeps_the_names_of_the_weights_and_the_folder(pretrained, folder_encoder, monkeypatch, tmp_path):
    compiled = []

    def compile_nothing(function, **options):
        compiled.append(options)
        return function

    monkeypatch.setattr(torch, "compile", compile_nothing)
    plain, encoder = pretrained().load(seed=0), pretrained(compile=True).load(seed=0)
    assert compiled == [{"dynamic": True}]
    assert list(encoder.state_dict()) == list(plain.state_dict())
    save_folder(encoder, tmp_path / "model")
    assert list(folder_encoder(tmp_path / "model").state_dict()) == list(plain.state_dict())


def test_padding_and_truncation_of_the_tokenizers_own_file_change_no_vector(pretrained, plain):
    """all-MiniLM-L6-v2 has a fixed padding of 128 there, whose tokens must not be pooled."""
    before = pretrained().load(seed=0).eval()
    file = plain / "tokenizer.json"
    padding = {"strategy": {"Fixed": 12}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
               "pad_type_id": 0, "pad_token": "[PAD]"}  # fmt: skip
    truncation = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"padding": padding, "truncation": truncation}))
    after = pretrained(name_or_path=str(plain)).load(seed=0).eval()
    texts = ["a", "a text of more than five tokens"]
    assert after.tokenizer.encode(texts, "query") == before.tokenizer.encode(texts, "query")
    assert torch.equal(after(after.tokenizer.queries(texts)), before(before.tokenizer.queries(texts)))


def edit_config(folder, **changes):
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | changes))


def slow_tokenizer_only(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "ByT5Tokenizer"}')


def no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


def pickled(folder):
    """The same weights, which would do no harm."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def cut_off(folder):
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (pickled, r"pickled weights .* never loaded"),
        (cut_off, "cannot be loaded as a transformer"),
        (lambda f: edit_config(f, hidden_size=64), "cannot be loaded as a transformer"),
        (lambda f: edit_config(f, num_hidden_layers=3), r"lacks 16 weights .*encoder\.layer\.2\..* random"),
        (lambda f: edit_config(f, model_type="nonesuch"), "cannot be loaded as a transformer"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be loaded as a transformer"),
        (slow_tokenizer_only, "only a slow tokenizer"),
        (no_tokenizer, "only special tokens"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "no tokenizer can be loaded"),
    ],
    ids=[
        "pickle",
        "cut-off",
        "other-shape",
        "fewer-layers",
        "unknown-type",
        "no-json",
        "slow",
        "no-tokenizer",
        "empty",
    ],
)
def test_a_folder_that_cannot_be_trusted_is_refused(pretrained, plain, break_it, message):
    break_it(plain)
    with pytest.raises(ModelError, match=message):
        pretrained(name_or_path=str(plain)).load(seed=0)


def test_a_pooling_layer_that_is_not_in_the_folder_is_refused(pretrained):
    with pytest.raises(ModelError, match=r"lacks 2 weights .*model\.pooling"):
        pretrained(pooling="pooler").load(seed=0)


@pytest.mark.parametrize("change", [{"freeze_layers": -1}, {"reinitialize_layers": -1}, {"chunk_size": 0}])
def test_numbers_of_layers_and_texts_that_make_no_sense(pretrained, change):
    with pytest.raises(ConfigError, match=rf"model\.{next(iter(change))}="):
        pretrained(**change)


def damage(folder, value):
    tensors = load_file(folder / "model.safetensors")
    next(iter(tensors.values())).view(-1)[0] = value
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(pretrained, plain, value):
    damage(plain, value)
    with pytest.raises(ModelError, match=r"embeddings.* not finite"):
        pretrained(name_or_path=str(plain)).load(seed=0)


def test_finite_weights_whose_sum_is_not_are_taken(pretrained, plain):
    tensors = load_file(plain / "model.safetensors")
    next(iter(tensors.values())).fill_(3e38)
    save_file(tensors, plain / "model.safetensors", metadata={"format": "pt"})
    weights = list(pretrained(name_or_path=str(plain)).load(seed=0).parameters())
    assert all(weight.isfinite().all() for weight in weights)
    assert not all(weight.sum().isfinite() for weight in weights)


def test_a_tokenizer_of_another_model_is_refused(pretrained, plain):
    file = plain / "tokenizer_config.json"
    added = {str(300 + i): {"content": f"<{i}>", "special": False} for i in range(50)}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"added_tokens_decoder": added}))
    tokens = json.loads((plain / "tokenizer.json").read_text())
    tokens["model"]["vocab"] |= {f"extra{i}": 260 + i for i in range(9)}
    (plain / "tokenizer.json").write_text(json.dumps(tokens))
    with pytest.raises(ModelError, match="belong to different models"):
        pretrained(name_or_path=str(plain)).load(seed=0)


def test_a_recipe_is_not_another_model(pretrained, folder_encoder, saved, plain, tmp_path):
    """LaBSE's dense layer is missing where transformers alone had fetched the files."""
    with pytest.raises(ModelError, match=r"model\.layers=\['Dense'\]: behind pooling, .* has nothing"):
        pretrained(name_or_path=str(plain), layers=["Dense"]).load(seed=0)
    encoder = folder_encoder(saved)
    torch.manual_seed(0)
    encoder.append(Dense(32, 32, bias=True, activation=torch.nn.Tanh()))
    save_folder(encoder, tmp_path / "dense")
    settings = {"query_prefix": None, "passage_prefix": None, "layers": ["Dense"]}
    assert pretrained(name_or_path=str(tmp_path / "dense"), **settings).load(seed=0).embedding_dim == 32


def test_the_recipe_of_labse_names_its_dense_layer():
    from mixlingua.files import conf_folder

    assert "layers: [Dense]" in (conf_folder() / "model" / "labse.yaml").read_text()


@pytest.mark.parametrize("kind", ["camembert", "mpnet", "electra", "albert", "layoutlm"])
def test_a_folder_without_a_pooling_layer_is_pooled_by_the_mean(pretrained, plain, kind):
    """Many folders are saved without one; only pooling=pooler needs it. LayoutLM cannot be made without one."""
    with_architecture(plain, kind, pad_token_id=0)
    tensors = load_file(plain / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "pooler" not in name}
    save_file(kept, plain / "model.safetensors", metadata={"format": "pt"})
    encoder = pretrained(name_or_path=str(plain)).load(seed=0)
    assert encoder(encoder.tokenizer.queries(["one"])).shape == (1, 8)


def test_prompts_that_versions_of_sentence_transformers_read_differently_are_asked_for(pretrained, saved):
    file = saved / "config_sentence_transformers.json"
    (saved / "mixlingua.json").unlink()
    file.write_text(json.dumps({"prompts": {"query": "Frage: ", "corpus": "Text: "}}))
    with pytest.raises(ModelError, match=r"'corpus' is 'Text: '.*Set model\.query_prefix and model\.passage_prefix"):
        pretrained(name_or_path=str(saved), **NO_PREFIX).load(seed=0)
    given = {"query_prefix": "Frage: ", "passage_prefix": "Text: "}
    assert pretrained(name_or_path=str(saved), **given).load(seed=0).tokenizer.prefix["passage"] == "Text: "


def test_prefixes_of_mixlingua_json_and_prompts_agree(folder_encoder, saved):
    file = saved / "config_sentence_transformers.json"
    file.write_text(json.dumps({"prompts": {"query": "another: ", "document": "passage: "}}))
    with pytest.raises(ModelError, match=r"mixlingua\.json: query_prefix is 'query: '"):
        folder_encoder(saved)
