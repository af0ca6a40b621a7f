"""A corpus is encoded once, in shards; what is there is not encoded again."""

import logging

import pytest
import torch

from mixlingua.errors import DataError, ModelError
from mixlingua.retrieval.corpus import take_census
from mixlingua.retrieval.search import on_grid
from mixlingua.retrieval.shards import Manifest, VectorShards, encode_corpus

TEXTS = {f"p{number}": f"text {number % 7}" for number in range(20)}


class Jittery:
    """Vectors that depend on the text, and in their last bits on what it was encoded with, as those of a model do."""

    fingerprint = "jittery"

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, texts, side):
        self.calls.append(list(texts))
        rows = [torch.randn(8, generator=torch.Generator().manual_seed(sum(map(ord, text)))) for text in texts]
        jitter = 1e-6 * torch.randn(8, generator=torch.Generator().manual_seed(len(self.calls)))
        return torch.nn.functional.normalize(torch.stack(rows) + jitter, dim=1)


def encoded(corpus, encode, shard_size):
    census = take_census(corpus, (), "corpus")
    shards = VectorShards(Manifest(encode.fingerprint, census.identity, census.num_passages, shard_size))
    encode_corpus(corpus, census, encode, shards, "corpus")
    return shards


@pytest.mark.parametrize("shard_size", [1, 3, 7, 8, 20, 99])
def test_every_distinct_text_is_encoded_once_and_its_copies_get_the_same_bits(cache, list_corpus, shard_size):
    encode = Jittery()
    shards = encoded(list_corpus(TEXTS), encode, shard_size)
    vectors = torch.cat(list(shards))
    assert len(vectors) == 20
    assert [name for shard in range(shards.num_shards) for name in shards.ids(shard)] == list(TEXTS)
    for number in range(20):
        assert torch.equal(vectors[number], vectors[number % 7])
    assert len(vectors.unique(dim=0)) == 7
    assert torch.equal(vectors, on_grid(vectors))
    across = [text for call in encode.calls for text in dict.fromkeys(call)]
    assert sorted(across) == sorted(set(TEXTS.values())), "a text that an earlier shard has was encoded again"


def test_only_missing_shards_are_encoded_and_nothing_is_read_where_none_is(cache, list_corpus, caplog):
    corpus, encode = list_corpus({f"p{number}": f"text {number}" for number in range(20)}), Jittery()
    shards = encoded(corpus, encode, 6)
    before = torch.cat(list(shards)).clone()
    for shard in (1, 3):
        (shards.folder / f"{shard:05d}.npy").unlink()
    again = Jittery()
    with caplog.at_level(logging.INFO):
        encoded(corpus, again, 6)
    assert "20 passages in 4 shards, of which 2 are there" in caplog.text
    assert [len(call) for call in again.calls] == [6, 2]
    torch.testing.assert_close(torch.cat(list(shards)), before, atol=1e-5, rtol=0)
    read = corpus.read
    encoded(corpus, again, 6)
    assert len(again.calls) == 2 and corpus.read == read + 1, "the census alone"


def test_a_corpus_that_changes_meanwhile_is_refused(cache, list_corpus):
    corpus = list_corpus(TEXTS)
    census = take_census(corpus, (), "corpus")
    shards = VectorShards(Manifest("jittery", census.identity, census.num_passages, 6))
    del corpus.entries[-1]
    with pytest.raises(DataError, match="task x: changed while it was read"):
        encode_corpus(corpus, census, Jittery(), shards, "task x")
    assert shards.missing() == [3]


def test_vectors_that_are_not_finite_are_refused(cache, list_corpus):
    class Broken(Jittery):
        def __call__(self, texts, side):
            return super().__call__(texts, side) / 0

    with pytest.raises(ModelError, match="corpus: 6 of 6 passage vectors hold NaN"):
        encoded(list_corpus(TEXTS), Broken(), 6)
