"""Prefixes, limits and padding, with one token for each byte so that every id can be counted by hand."""

import pickle

import pytest
import torch


@pytest.fixture
def tokenizer(pretrained):
    settings = {"query_prefix": "q:", "passage_prefix": "p:", "max_query_length": 6, "max_passage_length": 8}
    return pretrained(**settings).load(seed=0).tokenizer


def tokens(tokenizer, ids) -> str:
    return " ".join(tokenizer.tokenizer.convert_ids_to_tokens(ids))


def test_each_side_has_its_prefix_and_its_limit(tokenizer):
    assert tokens(tokenizer, tokenizer.encode(["ab"], "query")[0]) == "[CLS] q : a b [SEP]"
    assert tokens(tokenizer, tokenizer.encode(["ab"], "passage")[0]) == "[CLS] p : a b [SEP]"
    assert tokens(tokenizer, tokenizer.encode(["abcdefgh"], "query")[0]) == "[CLS] q : a b [SEP]"
    assert tokens(tokenizer, tokenizer.encode(["abcdefgh"], "passage")[0]) == "[CLS] p : a b c d [SEP]"


def test_an_empty_text_still_has_its_special_tokens(tokenizer):
    assert tokens(tokenizer, tokenizer.encode([""], "query")[0]) == "[CLS] q : [SEP]"


def test_the_mask_marks_tokens_and_padding_goes_to_the_right(tokenizer):
    features = tokenizer.passages(["abc", "", "ab"])
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in features.items()} == {
        "input_ids": ((3, 7), torch.int64), "attention_mask": ((3, 7), torch.int64),
    }  # fmt: skip
    assert features["attention_mask"].tolist() == [[1] * 7, [1] * 4 + [0] * 3, [1] * 6 + [0]]
    assert tokens(tokenizer, features["input_ids"][1].tolist()) == "[CLS] p : [SEP] [PAD] [PAD] [PAD]"
    assert features["input_ids"][0].tolist() == tokenizer.encode(["abc"], "passage")[0]


def test_queries_are_padded_queries(tokenizer):
    assert tokenizer.queries(["a"])["input_ids"].tolist() == tokenizer.encode(["a"], "query")


def test_a_pickled_copy_gives_the_same_ids(tokenizer):
    texts = ["Wie hoch ist der Berg?", "ประเทศไทย", ""]
    before = {side: tokenizer.encode(texts, side) for side in ("query", "passage")}
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert {side: copy.encode(texts, side) for side in ("query", "passage")} == before
