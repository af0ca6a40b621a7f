"""Exported models give the encoder's vectors, for sizes that the export never saw; the 8-bit graph is near them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mixlingua import load_encoder
from mixlingua.errors import ConfigError, ModelError
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.language_layers import fit_language_centring
from mixlingua.model.layers import Dense
from mixlingua.publish import export
from mixlingua.publish.export import INPUTS, OUTPUT, export_onnx, export_sentence_transformers

onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnx onnxscript onnxruntime")


@pytest.fixture(scope="module")
def encoder() -> BiEncoder:
    """cls pooling of two layers, a dense layer with tanh, and a prefix for each side."""
    plain = load_encoder(
        "tiny", pooling="cls", query_prefix="query: ", passage_prefix="passage: ", layer_weights=[0.25, 0.75], seed=3
    ).module
    torch.manual_seed(0)
    dense = [Dense(32, 12, bias=True, activation=nn.Tanh())]
    return BiEncoder(plain.transformer, plain.tokenizer, pooling="cls", dense=dense, layer_weights=[0.25, 0.75]).train()


@pytest.fixture(scope="module")
def folder(encoder: BiEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("exported") / "onnx"
    assert export_onnx(encoder, target, int8=True) <= 1e-5
    return target


@pytest.mark.parametrize(("count", "words"), [(1, 1), (1, 30), (3, 7), (16, 3), (40, 12)])
def test_the_graph_gives_the_encoders_vectors_at_any_batch_size_and_length(folder, encoder, count, words):
    """With nothing of ours: the tokenizer's file and the settings beside the graph are enough."""
    from tokenizers import Tokenizer

    settings = json.loads((folder / "mixlingua.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(settings["max_passage_length"])
    tokenizer.enable_padding(pad_id=settings["pad_id"], pad_token=settings["pad_token"])
    texts = [" ".join(f"Wort{number * place}" for place in range(1 + words * number % 9)) for number in range(count)]
    encoded = tokenizer.encode_batch([settings["passage_prefix"] + text for text in texts])
    features = [np.array([getattr(each, key) for each in encoded]) for key in ("ids", "attention_mask")]
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    (vectors,) = session.run([OUTPUT], dict(zip(INPUTS, features, strict=True)))
    encoder.eval()
    with torch.inference_mode():
        expected = encoder(encoder.tokenizer.passages(texts))
    torch.testing.assert_close(torch.from_numpy(vectors), expected, rtol=0, atol=1e-5)


def test_tokens_count_by_their_weights_in_the_graph(tmp_path):
    plain = load_encoder("tiny", pooling="mean", seed=3).module
    weights = torch.rand(len(plain.tokenizer.tokenizer), generator=torch.Generator().manual_seed(0)) + 0.01
    weighted = BiEncoder(plain.transformer, plain.tokenizer, pooling="mean", dense=[], token_weights=weights)
    assert export_onnx(weighted, tmp_path / "onnx", int8=False) <= 1e-5  # the largest difference that it measured


def test_the_encoder_is_left_as_it_was(encoder, tmp_path):
    packed, attention = encoder.packed, encoder.transformer.config._attn_implementation
    encoder.train()
    export_onnx(encoder, tmp_path / "onnx")
    assert encoder.training
    assert (encoder.packed, encoder.transformer.config._attn_implementation) == (packed, attention)


def test_the_8_bit_graph_is_smaller_and_near(folder, encoder):
    small = export.OnnxEncoder(folder, encoder.tokenizer, "model_int8.onnx")
    plain = export.OnnxEncoder(folder, encoder.tokenizer)
    texts = ["Wo liegt Kairo?", "Cairo lies on the Nile.", "a"]
    cosines = (small(texts, "query") * plain(texts, "query")).sum(1)
    assert ((cosines > 0.98) & (cosines < 1 - 1e-7)).all()
    assert small.fingerprint != plain.fingerprint
    assert (folder / "model_int8.onnx").stat().st_size < (folder / "model.onnx").stat().st_size


def test_a_graph_that_gives_other_vectors_is_refused_and_not_written(encoder, tmp_path, monkeypatch):
    monkeypatch.setitem(export.TOLERANCE, "onnx", 0.0)
    with pytest.raises(ModelError, match=r"to=onnx: the vectors of .* differ"):
        export_onnx(encoder, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_sentence_transformers_reads_the_exported_folder(encoder, tmp_path):
    difference, asked = export_sentence_transformers(encoder, tmp_path / "st")
    assert asked and difference <= 1e-6


def test_sentence_transformers_is_allowed_mixlinguas_own_class(tmp_path):
    centred = load_encoder("tiny", seed=3).module
    directions = torch.eye(centred.embedding_dim)
    noise = torch.randn(2, 200, centred.embedding_dim, generator=torch.Generator().manual_seed(0))
    vectors = {name: torch.nn.functional.normalize(directions[n] + 0.3 * noise[n], dim=1)
               for n, name in enumerate(("de", "en"))}  # fmt: skip
    centred.append(fit_language_centring(vectors))
    difference, asked = export_sentence_transformers(centred, tmp_path / "st")
    assert asked and difference <= 1e-5


def test_a_format_that_is_not_known_and_packages_that_lack_are_named(monkeypatch):
    with pytest.raises(ConfigError, match=r"to=onx: .*Did you mean 'onnx'"):
        export.check_format("onx")
    found = export.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else found(name))
    with pytest.raises(ConfigError, match=r"to=onnx: needs onnxscript\. Run: pip install onnxscript"):
        export.check_format("onnx")


@pytest.mark.whole
def test_the_action_measures_what_8_bits_cost(launch, tmp_path, capsys):
    assert launch("action=export", "to=onnx", "export.int8=true", "model=tiny", "hydra.run.dir=out") == 0
    figures = json.loads((tmp_path / "out" / "export.json").read_text())
    assert figures["export/difference"] <= 1e-5
    for key in ("atlas/monolingual/map", "atlas/multilingual/rank_distance"):
        assert figures[f"export/int8/{key}"] == pytest.approx(figures[f"export/float32/{key}"], rel=0.2)
    assert (tmp_path / "out" / "onnx" / "model_int8.onnx").is_file()
    assert "What 8 bits cost" in capsys.readouterr().out
