"""Kept vectors are those that were computed, whoever wrote them, and never those of another encoder."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

from mixlingua.errors import DataError
from mixlingua.retrieval.kept_vectors import WRITE_AFTER, KeptVectors, folder_of, keys_of

DIM = 8


def texts(first: int, count: int) -> list[list[int]]:
    return [[1, number, number * 7 % 13] for number in range(first, first + count)]


def vectors_of(token_ids: list[list[int]]) -> torch.Tensor:
    rows = [torch.randn(DIM, generator=torch.Generator().manual_seed(ids[1])) for ids in token_ids]
    return torch.nn.functional.normalize(torch.stack(rows), dim=-1)


def test_vectors_come_back_rounded_to_float16_before_and_after_they_are_written(tmp_path):
    kept, ids = KeptVectors(tmp_path), texts(0, 20)
    kept.put(keys_of(ids), vectors_of(ids))
    expected = vectors_of(ids).half().float()
    for reader in (kept, None):
        if reader is None:
            kept.flush()
            reader = KeptVectors(tmp_path)
        vectors, found = reader.get(keys_of(ids[::-1]), DIM)
        assert found.all()
        assert torch.equal(vectors.flip(0), expected)
    assert (vectors.flip(0) - vectors_of(ids)).abs().max() < 2.0**-11


def test_only_what_is_not_there_is_computed(tmp_path):
    kept, asked = KeptVectors(tmp_path), []

    def complete(ids):
        return kept.complete(ids, DIM, lambda rows: asked.extend(rows) or vectors_of([ids[row] for row in rows]))

    first = complete(texts(0, 5))
    assert asked == [0, 1, 2, 3, 4]
    asked.clear()
    second = complete(texts(3, 5))
    assert asked == [2, 3, 4]
    assert torch.equal(first[3:], second[:2])
    kept.flush()
    asked.clear()
    kept = KeptVectors(tmp_path)
    assert torch.equal(complete(texts(0, 5)), first)
    assert asked == []


def test_a_text_that_is_there_twice_is_computed_once(tmp_path):
    ids, asked = [*texts(3, 3), *texts(1, 4)], []
    kept = KeptVectors(tmp_path)
    vectors = kept.complete(ids, DIM, lambda rows: asked.extend(rows) or vectors_of([ids[row] for row in rows]))
    assert asked == [0, 1, 2, 3, 4]
    assert torch.equal(vectors, vectors_of(ids).half().float())


def test_texts_that_differ_in_a_token_or_in_length_have_keys_of_their_own():
    keys = keys_of([[1, 2, 3], [1, 2, 4], [1, 2], [1, 2, 3, 0], [3, 2, 1], []])
    assert len({tuple(key) for key in keys.tolist()}) == 6
    assert np.array_equal(keys_of([[1, 2, 3]])[0], keys[0])


def test_an_encoder_a_precision_or_a_width_has_a_folder_of_its_own():
    of = [("a", "32-true", 8), ("b", "32-true", 8), ("a", "bf16-mixed", 8), ("a", "32-true", 16)]
    assert len({folder_of(*which) for which in of}) == 4
    assert folder_of("a", "32-true", 8) == folder_of("a", "32-true", 8)


def test_many_vectors_are_written_without_being_asked(tmp_path):
    ids = texts(0, WRITE_AFTER)
    KeptVectors(tmp_path).put(keys_of(ids), torch.zeros(WRITE_AFTER, DIM))
    assert KeptVectors(tmp_path).get(keys_of(ids), DIM)[1].all()


def _write(folder: Path, first: int) -> None:
    kept = KeptVectors(folder)
    for start in range(first, first + 40, 10):
        ids = texts(start, 30)
        kept.complete(ids, DIM, lambda rows, ids=ids: vectors_of([ids[row] for row in rows]))
        kept.flush()


def test_processes_that_write_at_once_leave_every_vector_whole(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write, args=(tmp_path, first)) for first in (0, 20, 40)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    ids = texts(0, 100)
    vectors, found = KeptVectors(tmp_path).get(keys_of(ids), DIM)
    assert found.all()
    assert torch.equal(vectors, vectors_of(ids).half().float())


def test_a_writer_sees_what_others_wrote_once_it_has_written(tmp_path):
    one, other = KeptVectors(tmp_path), KeptVectors(tmp_path)
    other.put(keys_of(texts(50, 3)), vectors_of(texts(50, 3)))
    other.flush()
    assert not one.get(keys_of(texts(50, 3)), DIM)[1].any()
    one.put(keys_of(texts(0, 3)), vectors_of(texts(0, 3)))
    one.flush()
    vectors, found = one.get(keys_of(texts(50, 3)), DIM)
    assert found.all()
    assert torch.equal(vectors, vectors_of(texts(50, 3)).half().float())


def test_a_half_written_file_is_no_file_and_a_damaged_one_is_named(tmp_path):
    kept = KeptVectors(tmp_path)
    kept.put(keys_of(texts(0, 3)), vectors_of(texts(0, 3)))
    kept.flush()
    (path,) = tmp_path.glob("*.keys.npy")
    vectors = path.with_name(path.name.replace(".keys", ""))
    (tmp_path / "without_keys.npy").write_bytes(vectors.read_bytes())
    assert KeptVectors(tmp_path).get(keys_of(texts(0, 3)), DIM)[1].all()
    vectors.write_bytes(vectors.read_bytes()[:100])
    with pytest.raises(DataError, match=vectors.name):
        KeptVectors(tmp_path)
