"""A fitted layer in the saved folder: mixlingua and sentence-transformers make the vectors that were measured."""

import json

import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import nn

from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder import save_folder
from mixlingua.model.language_layers import fit_language_centring, language_means, language_subspace, projection
from mixlingua.model.layers import Dense

TEXTS = {
    "de": ["Wie hoch ist der Berg?", "Der Fluss ist lang.", "Brot und Milch", "die große Stadt am Meer"],
    "ru": ["Как высока гора?", "Река длинная.", "Хлеб и молоко", "большой город у моря"],
    "th": ["ภูเขาสูงเท่าไร", "แม่น้ำยาว", "ขนมปังและนม", "เมืองใหญ่ริมทะเล"],
}
ALL = [text for texts in TEXTS.values() for text in texts]


@pytest.fixture
def encoder(pretrained) -> BiEncoder:
    """cls pooling, tanh as in LaBSE, prefixes; its pooled vectors are far from length one."""
    loaded = pretrained(pooling="cls", query_prefix="Query: ", passage_prefix="Passage: ").load(seed=3)
    torch.manual_seed(0)
    dense = Dense(32, 12, bias=True, activation=nn.Tanh())
    return BiEncoder(loaded.transformer, loaded.tokenizer, pooling="cls", dense=[dense]).eval()


@torch.inference_mode()
def queries(encoder: BiEncoder, texts=ALL) -> torch.Tensor:
    return encoder(encoder.tokenizer.queries(texts))


@torch.inference_mode()
def passages(encoder: BiEncoder) -> torch.Tensor:
    return encoder(encoder.tokenizer.passages(ALL))


def fit(encoder: BiEncoder, kind: str) -> nn.Module:
    vectors = {language: queries(encoder, texts) for language, texts in TEXTS.items()}
    if kind == "centring":
        return fit_language_centring(vectors)
    return projection(language_subspace(language_means(vectors), dims=None))


@pytest.fixture(params=["projection", "centring"])
def finished(encoder, request) -> BiEncoder:
    encoder.append(fit(encoder, request.param))
    return encoder


def test_the_layer_changes_the_vectors_and_the_fingerprint(encoder):
    seen = {encoder.fingerprint()}
    plain = queries(encoder)
    for kind in ("projection", "centring"):
        one = BiEncoder(encoder.transformer, encoder.tokenizer, pooling="cls", dense=encoder.dense)
        one.append(fit(encoder, kind))
        seen.add(one.fingerprint())
        assert one.embedding_dim == 12
        assert not torch.allclose(queries(one), plain, atol=1e-4)
        torch.testing.assert_close(queries(one).norm(dim=1), torch.ones(len(ALL)))
    assert len(seen) == 3


def test_nothing_is_left_in_the_directions_that_the_projection_takes_out(encoder):
    """In unit vectors neither, though the layer acts on pooled ones, before they are normalised."""
    layer = fit(encoder, "projection")
    basis = torch.eye(12) - layer.linear.weight.detach()
    encoder.append(layer)
    torch.testing.assert_close(queries(encoder) @ basis, torch.zeros(len(ALL), 12), rtol=0, atol=1e-6)


def test_mixlingua_reads_back_the_same_encoder_to_the_bit(finished, folder_encoder, tmp_path):
    save_folder(finished, tmp_path / "model")
    loaded = folder_encoder(tmp_path / "model")
    assert loaded.fingerprint() == finished.fingerprint()
    assert torch.equal(queries(loaded), queries(finished)) and torch.equal(passages(loaded), passages(finished))


def test_training_on_leaves_the_projection_as_it_is(encoder, folder_encoder, tmp_path):
    encoder.append(fit(encoder, "projection"))
    save_folder(encoder, tmp_path / "model")
    for one in (encoder, folder_encoder(tmp_path / "model")):
        tanh, projected = one.dense
        assert all(parameter.requires_grad for parameter in tanh.parameters())
        assert not any(parameter.requires_grad for parameter in projected.parameters())


def test_sentence_transformers_makes_the_same_vectors(finished, tmp_path, folder_encoder, assert_same_vectors):
    save_folder(finished, tmp_path / "model")
    own_class = "LanguageCentring" in str(finished.dense)
    if own_class:
        with pytest.raises(ValueError, match="trust_remote_code=True"):
            SentenceTransformer(str(tmp_path / "model"), device="cpu")
    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu", trust_remote_code=own_class)
    # The centring's discriminant, fitted to twelve texts in twelve dimensions, enlarges rounding of the states.
    assert_same_vectors(finished, theirs, ALL, atol=1e-3 if own_class else 1e-6)
    theirs.save(str(tmp_path / "again"))
    torch.testing.assert_close(queries(folder_encoder(tmp_path / "again")), queries(finished), rtol=0, atol=1e-6)


def test_modules_are_in_the_order_in_which_they_act(encoder, tmp_path):
    for kind in ("projection", "centring"):
        encoder.append(fit(encoder, kind))
    save_folder(encoder, tmp_path / "model")
    modules = json.loads((tmp_path / "model" / "modules.json").read_text())
    assert [module["type"].rpartition(".")[2] for module in modules] == [
        "Transformer", "Pooling", "Dense", "Dense", "LanguageCentringModule", "Normalize",
    ]  # fmt: skip
    assert [module["path"] for module in modules][2:5] == ["2_Dense", "3_Dense", "4_LanguageCentring"]
