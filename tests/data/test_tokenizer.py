"""Prefixes, limits and padding, with one token for each byte so that every id can be counted by hand."""

import pickle

import pytest
import torch
from transformers import AutoTokenizer

from mixlingua.data.tokenizer import PairTokenizer
from mixlingua.model.local_weights import tiny_folder


@pytest.fixture
def make():
    """The tokenizer of model=tiny with prefixes and limits."""
    library_tokenizer = AutoTokenizer.from_pretrained(tiny_folder(seed=0))
    defaults = {"query_prefix": "", "passage_prefix": "", "max_query_length": 16, "max_passage_length": 16}
    return lambda **settings: PairTokenizer(library_tokenizer, **(defaults | settings))


@pytest.fixture
def tokenizer(make):
    return make(query_prefix="q:", passage_prefix="p:", max_query_length=6, max_passage_length=8)


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


def test_content_is_neither_padding_nor_special_nor_the_prefix(tokenizer):
    def content(texts: list[str]) -> list[str]:
        features = tokenizer.queries(texts)
        marked = tokenizer.content(features, "query")
        return [tokens(tokenizer, ids[mask].tolist()) for ids, mask in zip(features["input_ids"], marked, strict=True)]

    assert content(["ab", "", "c", "q:"]) == ["a b", "", "c", "q :"]
    unknown = {"input_ids": torch.tensor([[2, 1, 3, 0]]), "attention_mask": torch.tensor([[1, 1, 1, 0]])}
    assert tokens(tokenizer, unknown["input_ids"][0].tolist()) == "[CLS] [UNK] [SEP] [PAD]"
    assert tokenizer.content(unknown, "query").tolist() == [[False, True, False, False]]


def test_a_prefix_that_ends_in_a_space_and_one_that_is_not_there(make):
    spaced = make(query_prefix="q: ")
    queries, passages = spaced.queries(["ab"]), spaced.passages(["ab"])
    assert spaced.content(queries, "query")[0].tolist() == [False] * 3 + [True] * 3 + [False]  # the space, a, b
    assert spaced.content(passages, "passage")[0].tolist() == [False, True, True, False]
    # Where a tokenizer joins the end of the prefix and the text, what differs from the prefix is content.
    joined = {name: tensor[:, [0, 1, 4, 5, 6]] for name, tensor in queries.items()}
    assert spaced.content(joined, "query")[0].tolist() == [False, False, True, True, False]


def test_queries_are_padded_queries(tokenizer):
    assert tokenizer.queries(["a"])["input_ids"].tolist() == tokenizer.encode(["a"], "query")


def test_a_pickled_copy_gives_the_same_ids(tokenizer):
    texts = ["Wie hoch ist der Berg?", "ประเทศไทย", ""]
    before = {side: tokenizer.encode(texts, side) for side in ("query", "passage")}
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert {side: copy.encode(texts, side) for side in ("query", "passage")} == before
