"""Vectors on disk: what is written comes back, what is damaged is not used, and a corpus is encoded once."""

import errno
import json
import logging
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mixlingua.errors import DataError, ModelError, StorageError
from mixlingua.retrieval.corpus import Passage, take_census
from mixlingua.retrieval.search import on_grid
from mixlingua.retrieval.shards import VectorShards, encode_corpus

VECTORS = torch.arange(20, dtype=torch.float32).reshape(10, 2)
IDS = [f"p{number}\n" for number in range(10)]


@pytest.fixture
def shards(cache):
    shards = VectorShards("encoder", "corpus", num_passages=10, shard_size=4)
    shards.start()
    for shard in range(shards.num_shards):
        rows = shards.positions(shard)
        shards.write(shard, IDS[rows.start : rows.stop], f"read {shard}", VECTORS[rows.start : rows.stop])
    return shards


def test_vectors_and_ids_come_back(shards):
    assert shards.num_shards == 3 and shards.missing() == []
    assert torch.equal(torch.cat(list(shards)), VECTORS)
    assert [name for shard in range(3) for name in shards.ids(shard)] == IDS
    assert [shards.read(shard) for shard in range(3)] == ["read 0", "read 1", "read 2"]
    assert isinstance(np.load(shards.folder / "00002.npy", mmap_mode="r"), np.memmap)


def test_single_rows_from_several_shards(shards):
    positions = np.array([9, 0, 4, 0, 3])
    assert torch.equal(shards.at(positions), VECTORS[torch.from_numpy(positions)])


def test_the_manifest_says_what_the_vectors_are(shards, cache):
    assert json.loads((shards.folder / "manifest.json").read_text()) == {
        "format": 2, "fingerprint": "encoder", "corpus": "corpus", "num_passages": 10, "shard_size": 4,
    }  # fmt: skip
    assert shards.folder.parent == cache / "vectors"
    others = [
        ("other", "corpus", 10, 4),
        ("encoder", "other", 10, 4),
        ("encoder", "corpus", 9, 4),
        ("encoder", "corpus", 10, 5),
    ]
    assert len({VectorShards(*other).folder for other in others} | {shards.folder}) == 5


def test_a_shard_is_there_once_its_vectors_are(shards):
    (shards.folder / "00001.npy").unlink()
    assert shards.missing() == [1]
    shards.remove()
    assert shards.missing() == [0, 1, 2] and not shards.folder.exists()


@pytest.mark.parametrize("damage", [lambda data: data[:-4], lambda data: b"", lambda data: b"text" * 50])
def test_a_damaged_shard_is_named(shards, damage):
    path = shards.folder / "00001.npy"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"00001\.npy: cannot be read .*Remove .* encode again"):
        shards.vectors(1)


def test_a_shard_of_another_shape_is_named(shards):
    np.save(shards.folder / "00001.npy", np.zeros((3, 2), np.float32))
    with pytest.raises(DataError, match=r"00001\.npy: holds float32 of shape \(3, 2\)"):
        shards.vectors(1)


def test_a_full_disk_leaves_no_shard(shards, monkeypatch):
    """A shard that cannot be written whole is absent, and the earlier ones stay."""
    (shards.folder / "00002.npy").unlink()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="the disk is full"):
            shards.write(2, IDS[8:], "read 2", VECTORS[8:])
    assert shards.missing() == [2]
    assert sorted(path.suffix for path in shards.folder.iterdir()) == [".json"] * 4 + [".npy"] * 2 + [".sha256"] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_the_writer_says_that_a_device_is_full(shards, monkeypatch):
    """numpy's own would raise an error that does not say why."""
    original = Path.open

    def opened(path, mode="r", **keywords):
        return open("/dev/full", mode) if path.suffix == ".npy" and "w" in mode else original(path, mode, **keywords)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(StorageError, match=r"00002\.npy: cannot be written, the disk is full"):
        shards.write(2, IDS[8:], "read 2", torch.zeros(2, 100_000))


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
    shards = VectorShards(encode.fingerprint, census.identity, census.num_passages, shard_size)
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


CHANGES = {
    "a passage less": lambda entries: entries[:-1],
    "half of the passages": lambda entries: entries[:10],
    "a passage more": lambda entries: [*entries, Passage("p20", "text")],
    "another text": lambda entries: [Passage("p0", "another"), *entries[1:]],
    "another last text": lambda entries: [*entries[:-1], Passage("p19", "another")],
    "another id": lambda entries: [Passage("other", "text 0"), *entries[1:]],
    "another order": lambda entries: entries[::-1],
}


@pytest.fixture
def counted(cache, list_corpus):
    """A corpus, its census and where its vectors go, in four shards."""
    corpus = list_corpus(TEXTS)
    census = take_census(corpus, (), "corpus")
    return corpus, census, VectorShards("jittery", census.identity, census.num_passages, 5)


@pytest.mark.parametrize("change", CHANGES)
def test_a_corpus_that_changes_meanwhile_is_refused_and_its_vectors_are_removed(counted, change):
    corpus, census, shards = counted
    corpus.entries = CHANGES[change](corpus.entries)
    with pytest.raises(DataError, match="task x: changed while it was read"):
        encode_corpus(corpus, census, Jittery(), shards, "task x")
    assert not shards.folder.exists()


@pytest.mark.parametrize("stop", [1, 2])
def test_what_a_stopped_attempt_read_otherwise_is_not_gone_on_with(counted, monkeypatch, stop):
    """The corpus changed before the attempt that was stopped, and was changed back before the next one."""
    corpus, census, shards = counted
    entries, corpus.entries = corpus.entries, CHANGES["another text"](corpus.entries)
    write, written = VectorShards.write, iter(range(stop))

    def stopping(*given):
        if next(written, None) is None:
            raise KeyboardInterrupt
        write(*given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(VectorShards, "write", stopping)
        encode_corpus(corpus, census, Jittery(), shards, "task x")
    assert len(shards.missing()) == 4 - stop
    corpus.entries = entries
    with pytest.raises(DataError, match="task x: changed while it was read"):
        encode_corpus(corpus, census, Jittery(), shards, "task x")
    encode_corpus(corpus, census, Jittery(), shards, "task x")
    assert shards.missing() == []


def test_vectors_that_are_not_finite_are_refused(cache, list_corpus):
    class Broken(Jittery):
        def __call__(self, texts, side):
            return super().__call__(texts, side) / 0

    with pytest.raises(ModelError, match="corpus: 6 of 6 passage vectors hold NaN"):
        encoded(list_corpus(TEXTS), Broken(), 6)
