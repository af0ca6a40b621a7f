"""Causal encoders of the Qwen3-Embedding kind: the last token's vector, instructions, and padding on either side."""

import json

import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from tokenizers import processors
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, BertConfig, BertModel, Qwen3Config, Qwen3ForCausalLM, Qwen3Model

from mixlingua.errors import ConfigError, ModelError
from mixlingua.model.encoder import POOLINGS
from mixlingua.model.folder import save_folder
from mixlingua.model.local_weights import tiny_folder
from mixlingua.model.lora import LoRA
from mixlingua.model.pretrained import PretrainedEncoder

INSTRUCTED = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
QWEN = {"pooling": "lasttoken", "query_prefix": INSTRUCTED, "max_query_length": 120}


def make_folder(folder, padding_side, model):
    """A plain folder with the tokenizer of Qwen3-Embedding's kind: one token behind the text and none before it."""
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder(0), padding_side=padding_side)
    end = tokenizer.sep_token
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, tokenizer.sep_token_id)]
    )
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(params=["left", "right"])
def qwen(tmp_path, request):
    """A plain transformers folder with a random Qwen3."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(AutoTokenizer.from_pretrained(tiny_folder(0))), hidden_size=32, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, intermediate_size=48, max_position_embeddings=128,
    )  # fmt: skip
    return make_folder(tmp_path / "qwen", request.param, Qwen3Model(config))


@pytest.fixture
def encoder(pretrained, qwen):
    return pretrained(name_or_path=str(qwen), **QWEN).load(seed=0)


def test_trained_and_saved_it_has_sentence_transformers_vectors(
    encoder, qwen, folder_encoder, vectors, assert_same_vectors, tmp_path
):
    before = vectors(encoder.eval())
    optimizer = torch.optim.AdamW(encoder.train().parameters(), lr=1e-3)
    texts = ["one", "a second text", "and a third one"]
    losses = []
    for _ in range(5):
        queries, passages = encoder(encoder.tokenizer.queries(texts)), encoder(encoder.tokenizer.passages(texts))
        losses.append(cross_entropy(queries @ passages.T / 0.05, torch.arange(3)))
        optimizer.zero_grad()
        losses[-1].backward()
        assert all(parameter.grad is not None for parameter in encoder.parameters())
        optimizer.step()
    assert losses[-1] < losses[0] / 2
    save_folder(encoder.eval(), tmp_path / "model")
    assert_same_vectors(encoder, tmp_path / "model")
    again = folder_encoder(tmp_path / "model")
    side = json.loads((qwen / "tokenizer_config.json").read_text())["padding_side"]
    assert again.tokenizer.tokenizer.padding_side == side and again.pooling == "lasttoken"
    assert all(map(torch.equal, vectors(again), vectors(encoder)))
    assert not torch.allclose(before[0], vectors(encoder)[0], atol=1e-3)


def test_a_folder_as_qwen3_embedding_has_it(encoder, folder_encoder, assert_same_vectors, tmp_path):
    """Flags of pooling, an empty prompt for documents, and no sentence_bert_config.json."""
    save_folder(encoder, tmp_path / "published")
    for name in ("sentence_bert_config.json", "mixlingua.json"):
        (tmp_path / "published" / name).unlink()
    prompts = {
        "prompts": {"query": INSTRUCTED, "document": ""},
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    }
    (tmp_path / "published" / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    loaded = folder_encoder(tmp_path / "published")
    assert loaded.tokenizer.prefix == {"query": INSTRUCTED, "passage": ""}
    assert_same_vectors(loaded, SentenceTransformer(str(tmp_path / "published"), device="cpu"))


def test_padding_changes_no_vector(encoder, vectors):
    encoder.eval()
    texts = ["short", "a text that is longer"]
    together = vectors(encoder, texts)
    padded = 0 if encoder.tokenizer.tokenizer.padding_side == "left" else -1
    assert encoder.tokenizer.queries(texts)["attention_mask"][:, padded].tolist() == [0, 1]
    for alone, of_two in zip(vectors(encoder, texts[:1]), together, strict=True):
        torch.testing.assert_close(of_two[:1], alone, rtol=0, atol=1e-6)


def test_poolings_find_the_tokens_on_either_side_of_the_padding():
    hidden = torch.arange(12.0).reshape(2, 3, 2)
    left, right = torch.tensor([[0, 1, 1], [1, 1, 1]]), torch.tensor([[1, 1, 0], [1, 1, 1]])
    found = {(name, side): POOLINGS[name](hidden, mask, None)[0].tolist()
             for name in ("cls", "lasttoken", "mean") for side, mask in (("left", left), ("right", right))}  # fmt: skip
    assert found == {
        ("cls", "left"): [2, 3], ("cls", "right"): [0, 1], ("lasttoken", "left"): [4, 5],
        ("lasttoken", "right"): [2, 3], ("mean", "left"): [3, 4], ("mean", "right"): [1, 2],
    }  # fmt: skip


def test_chunks_change_no_vector_and_no_token(pretrained, qwen):
    texts = ["a", "some longer text", "b"]
    whole, chunked = (
        pretrained(name_or_path=str(qwen), **QWEN, chunk_size=size).load(seed=0).eval() for size in (None, 2)
    )
    features = whole.tokenizer.queries(texts)
    torch.testing.assert_close(chunked(features), whole(features), rtol=0, atol=1e-6)
    real = features["attention_mask"].bool()
    for ours, theirs in zip(chunked.with_tokens(features), whole.with_tokens(features), strict=True):
        ours, theirs = (ours[real], theirs[real]) if ours.ndim == 3 else (ours, theirs)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_last_token_of_packed_texts(pretrained, vectors):
    packed, padded = (
        pretrained(pooling="lasttoken", attn_implementation=name).load(0).eval() for name in (None, "sdpa")
    )
    assert packed.packed and not padded.packed
    for ours, theirs in zip(vectors(packed), vectors(padded), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_padding_on_the_left_is_refused_where_positions_are_counted_from_the_batch(pretrained, tmp_path):
    torch.manual_seed(0)
    config = BertConfig(vocab_size=260, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    folder = make_folder(tmp_path / "bert", "left", BertModel(config, add_pooling_layer=False))
    with pytest.raises(ModelError, match=r"tokenizer_config\.json: padding_side=left"):
        pretrained(name_or_path=str(folder)).load(seed=0)


def test_a_folder_of_a_language_model_has_its_transformers_vectors(pretrained, qwen, encoder, vectors):
    """The weights of Qwen3ForCausalLM have other names, and a head that is not read."""
    language_model = Qwen3ForCausalLM(encoder.transformer.config)
    language_model.model.load_state_dict(encoder.transformer.state_dict())
    language_model.save_pretrained(qwen)
    assert any(name.startswith("model.layers.") for name in load_file(qwen / "model.safetensors"))
    loaded = pretrained(name_or_path=str(qwen), **QWEN).load(seed=0).eval()
    assert all(map(torch.equal, vectors(loaded), vectors(encoder.eval())))


def test_a_tokenizer_without_a_padding_token_is_refused(pretrained, qwen):
    file = qwen / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pad_token": None}))
    with pytest.raises(ModelError, match=r"no padding token\. Name one as pad_token in tokenizer_config\.json"):
        pretrained(name_or_path=str(qwen), **QWEN).load(seed=0)


def test_attention_is_a_choice(pretrained, qwen, vectors):
    settings = {"name_or_path": str(qwen), **QWEN}
    eager, sdpa = (pretrained(**settings, attn_implementation=name).load(0).eval() for name in ("eager", "sdpa"))
    assert eager.transformer.config._attn_implementation == "eager"
    for one, other in zip(vectors(eager), vectors(sdpa), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    for name in ("packed", "flash_attention_2", "eagre"):
        with pytest.raises(ModelError, match=rf"model\.attn_implementation={name}: the model, of type qwen3, cannot"):
            pretrained(**settings, attn_implementation=name).load(seed=0)


def test_an_instruction_takes_the_place_of_the_task_in_the_prefix(pretrained, qwen, encoder, tmp_path):
    settings = {"name_or_path": str(qwen), **QWEN}
    asked = pretrained(**settings, instruction="Find a proof").load(seed=0)
    assert asked.tokenizer.prefix == {"query": "Instruct: Find a proof\nQuery:", "passage": ""}
    assert asked.fingerprint() != encoder.fingerprint()
    save_folder(encoder, tmp_path / "model")  # where it replaces the folder's own
    again = PretrainedEncoder(str(tmp_path / "model"), instruction=r"Find \1").load(seed=0)
    assert again.tokenizer.prefix["query"] == "Instruct: Find \\1\nQuery:"
    with pytest.raises(ConfigError, match=r"model\.instruction='Find': the query prefix 'query: ' has no place for it"):
        pretrained(**settings | {"query_prefix": "query: "}, instruction="Find").load(seed=0)


def test_embeddings_are_below_the_lowest_layer(pretrained, qwen):
    encoder = pretrained(name_or_path=str(qwen), **QWEN, freeze_layers=1).load(seed=0)
    frozen = {name for name, parameter in encoder.transformer.named_parameters() if not parameter.requires_grad}
    assert "embed_tokens.weight" in frozen and "norm.weight" not in frozen
    assert {name.split(".")[1] for name in frozen if name.startswith("layers.")} == {"0"}


def test_an_adapter_is_on_queries_and_values_whatever_they_are_called(encoder, pretrained):
    LoRA(rank=2).attach(encoder, seed=0)
    plain = pretrained().load(seed=0)
    LoRA(rank=2).attach(plain, seed=0)
    targets = [
        {name.split(".lora_")[0].rpartition(".")[2] for name, p in one.named_parameters() if p.requires_grad}
        for one in (encoder, plain)
    ]
    assert targets == [{"q_proj", "v_proj"}, {"query", "value"}]
