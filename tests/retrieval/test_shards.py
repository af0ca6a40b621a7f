"""Vectors on disk: what is written comes back, and what is damaged is not used."""

import errno
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mixlingua.errors import DataError, StorageError
from mixlingua.retrieval.shards import Manifest, VectorShards

VECTORS = torch.arange(20, dtype=torch.float32).reshape(10, 2)
IDS = [f"p{number}\n" for number in range(10)]


@pytest.fixture
def shards(cache):
    shards = VectorShards(Manifest("encoder", "corpus", num_passages=10, shard_size=4))
    shards.start()
    for shard in range(shards.num_shards):
        rows = shards.positions(shard)
        shards.write(shard, IDS[rows.start : rows.stop], VECTORS[rows.start : rows.stop])
    return shards


def test_vectors_and_ids_come_back(shards):
    assert shards.num_shards == 3 and shards.missing() == []
    assert torch.equal(torch.cat(list(shards)), VECTORS)
    assert [name for shard in range(3) for name in shards.ids(shard)] == IDS
    assert isinstance(np.load(shards.folder / "00002.npy", mmap_mode="r"), np.memmap)


def test_single_rows_from_several_shards(shards):
    positions = np.array([9, 0, 4, 0, 3])
    assert torch.equal(shards.at(positions), VECTORS[torch.from_numpy(positions)])


def test_the_manifest_says_what_the_vectors_are(shards, cache):
    assert json.loads((shards.folder / "manifest.json").read_text()) == {
        "format": 1, "fingerprint": "encoder", "corpus": "corpus", "num_passages": 10, "shard_size": 4,
    }  # fmt: skip
    assert shards.folder.parent == cache / "vectors"
    others = [
        ("other", "corpus", 10, 4),
        ("encoder", "other", 10, 4),
        ("encoder", "corpus", 9, 4),
        ("encoder", "corpus", 10, 5),
    ]
    assert len({Manifest(*other).folder for other in others} | {shards.folder}) == 5


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
            shards.write(2, IDS[8:], VECTORS[8:])
    assert shards.missing() == [2]
    assert sorted(path.suffix for path in shards.folder.iterdir()) == [".json"] * 4 + [".npy"] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_the_writer_says_that_a_device_is_full(shards, monkeypatch):
    """numpy's own would raise an error that does not say why."""
    original = Path.open

    def opened(path, mode="r", **keywords):
        return open("/dev/full", mode) if path.suffix == ".npy" and "w" in mode else original(path, mode, **keywords)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(StorageError, match=r"00002\.npy: cannot be written, the disk is full"):
        shards.write(2, IDS[8:], torch.zeros(2, 100_000))
