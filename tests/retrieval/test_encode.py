"""Encoding: batching, sharding and precision change how vectors are computed, never which ones come out."""

import pytest
import torch
from torch import nn

from mixlingua import distributed
from mixlingua.errors import ConfigError
from mixlingua.retrieval.encode import encode, length_sorted_batches

TEXTS = ["kurz", "ein längerer Text mit vielen Wörtern", "kurz", "a", "mittel lang", "", "zuletzt " * 9, "mittel  lang"]


class CharacterTokenizer:
    """A character is a token; repeated blanks are one, so different texts can have the same tokens."""

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode_counting(self, texts, side):
        return self.encode(texts, side), {}

    def encode(self, texts, side):
        self.encoded += texts
        first = {"query": 1, "passage": 2}[side]
        return [[first, *(3 + ord(char) % 97 for char in " ".join(text.split()))] for text in texts]

    def pad(self, ids):
        longest = max(map(len, ids))
        rows = [list(row) + [0] * (longest - len(row)) for row in ids]
        mask = [[1] * len(row) + [0] * (longest - len(row)) for row in ids]
        return {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(mask)}


class MeanEncoder(nn.Module):
    embedding_dim = 16
    packed = False

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tokenizer = CharacterTokenizer()
        self.tokens = nn.Embedding(100, self.embedding_dim)
        self.layer = nn.Linear(self.embedding_dim, self.embedding_dim)
        self.dropout = nn.Dropout(0.5)
        self.shapes: list[tuple[int, int]] = []
        self.grad_enabled = True

    def forward(self, features):
        self.shapes.append(tuple(features["input_ids"].shape))
        self.grad_enabled = torch.is_grad_enabled()
        weights = features["attention_mask"].unsqueeze(-1).to(self.tokens.weight.dtype)
        pooled = (self.tokens(features["input_ids"]) * weights).sum(1) / weights.sum(1)
        return nn.functional.normalize(self.dropout(self.layer(pooled)), dim=1)


def run(encoder, texts=TEXTS, **changes):
    return encode(encoder, texts, "query", **{"token_budget": 64, "precision": "32-true"} | changes)


def one_by_one(encoder, texts, side="query"):
    encoder.eval()
    return torch.cat(
        [encoder(encoder.tokenizer.pad(encoder.tokenizer.encode([text], side))) for text in texts]
    ).detach()


def test_vectors_come_in_the_order_of_the_texts():
    encoder = MeanEncoder()
    torch.testing.assert_close(run(encoder), one_by_one(encoder, TEXTS), atol=1e-5, rtol=0)


@pytest.mark.parametrize("token_budget", [1, 20, 100, 10_000])
def test_batching_does_not_change_vectors(token_budget):
    encoder = MeanEncoder()
    torch.testing.assert_close(run(encoder, token_budget=token_budget), run(MeanEncoder()), atol=1e-5, rtol=0)
    assert all(rows * longest <= token_budget or rows == 1 for rows, longest in encoder.shapes)


@pytest.mark.parametrize("padded", [False, True])
def test_batches_are_longest_first_within_the_budget_and_cover_every_text_once(padded):
    lengths = [5, 40, 7, 7, 100, 1, 12]
    batches = length_sorted_batches(lengths, token_budget=40, padded=padded)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    assert [lengths[position] for batch in batches for position in batch] == sorted(lengths, reverse=True)
    for batch in batches:
        of_batch = [lengths[position] for position in batch]
        assert (len(batch) * max(of_batch) if padded else sum(of_batch)) <= 40 or len(batch) == 1
    assert length_sorted_batches([], token_budget=40, padded=padded) == []


def test_only_padding_keeps_a_batch_from_being_filled():
    lengths = [20, 11, 9]
    assert length_sorted_batches(lengths, token_budget=40, padded=False) == [[0, 1, 2]]
    assert length_sorted_batches(lengths, token_budget=40, padded=True) == [[0, 1], [2]]


def test_each_text_is_tokenised_and_encoded_once_and_equal_tokens_give_equal_bits():
    encoder = MeanEncoder()
    vectors = run(encoder)
    assert sorted(encoder.tokenizer.encoded) == sorted(set(TEXTS))
    assert sum(rows for rows, _ in encoder.shapes) == 6  # "kurz" twice; "mittel lang" with one and with two blanks
    assert torch.equal(vectors[0], vectors[2])
    assert torch.equal(vectors[4], vectors[7])


def test_sides_differ():
    encoder = MeanEncoder()
    assert not torch.allclose(run(encoder), encode(encoder, TEXTS, "passage", token_budget=64, precision="32-true"))


@pytest.mark.parametrize("world_size", [2, 3, 8])
def test_sharded_is_whole(monkeypatch, world_size):
    encoder = MeanEncoder()
    whole = run(encoder, token_budget=20)
    parts = []

    class CapturedError(Exception):
        pass

    def capture(part):
        parts.append(part)
        raise CapturedError

    monkeypatch.setattr(distributed, "world_size", lambda: world_size)
    monkeypatch.setattr(distributed, "all_gather_objects", capture)
    for rank in range(world_size):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        with pytest.raises(CapturedError):
            run(encoder, token_budget=20)
    assert sorted(row for rows, _ in parts for row in rows) == list(range(6)), "ranks share the texts without overlap"
    monkeypatch.setattr(distributed, "all_gather_objects", lambda _: parts)
    assert torch.equal(run(encoder, token_budget=20), whole)


def test_no_texts():
    assert run(MeanEncoder(), texts=[]).shape == (0, 16)


def test_evaluation_mode_without_gradient_and_every_submodule_gets_its_mode_back():
    encoder = MeanEncoder().train()
    encoder.layer.eval()  # frozen by the user
    first = run(encoder)
    assert torch.equal(first, run(encoder)), "dropout was active"
    assert not encoder.grad_enabled
    assert encoder.training and encoder.dropout.training and not encoder.layer.training
    assert not first.is_inference() and not first.requires_grad


def test_mode_comes_back_after_an_error():
    encoder = MeanEncoder().train()
    encoder.tokenizer.pad = lambda ids: {}
    with pytest.raises(KeyError):
        run(encoder)
    assert encoder.training


def test_mixed_precision_is_near_and_float32():
    encoder = MeanEncoder()
    mixed, full = run(encoder, precision="bf16-mixed"), run(encoder)
    assert mixed.dtype == torch.float32
    assert not torch.equal(mixed, full)
    torch.testing.assert_close(mixed, full, atol=2e-2, rtol=0)


def test_progress_ends_at_the_number_of_distinct_texts():
    seen = []
    run(MeanEncoder(), token_budget=20, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (6, 6)


def test_wrong_settings_are_named():
    with pytest.raises(ConfigError, match=r"precision=bf16-mixd: it is one of .*Did you mean 'bf16-mixed'"):
        run(MeanEncoder(), precision="bf16-mixd")
    for precision, dtype in (("bf16-true", torch.bfloat16), ("16-true", torch.float16), ("64-true", torch.float64)):
        with pytest.raises(ConfigError, match=rf"precision: '{precision}' .* these are torch.float32.* Use 32-true"):
            run(MeanEncoder(), precision=precision)
        encoder = MeanEncoder().to(dtype)
        assert torch.isfinite(run(encoder, precision=precision)).all()
    with pytest.raises(ConfigError, match="token_budget: 0"):
        run(MeanEncoder(), token_budget=0)
