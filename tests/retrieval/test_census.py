"""What one reading of a corpus finds."""

import errno
import os

import pytest

from mixlingua.errors import DataError, StorageError
from mixlingua.retrieval import corpus as module
from mixlingua.retrieval.corpus import take_census

TEXTS = {"a": "one", "b": "two", "c": "one", "d": "three", "e": "two", "f": "one"}


def test_numbers_positions_and_repeated_texts(cache, list_corpus):
    census = take_census(list_corpus(TEXTS), {"a", "e", "nowhere"}, "corpus")
    assert census.num_passages == 6
    assert census.positions == {"a": 0, "e": 4}
    assert census.copies.tolist() == [[2, 0], [4, 1], [5, 0]]
    assert list(cache.iterdir()) == [], "nothing is left in the cache"


@pytest.mark.parametrize("part", [1, 2, 100])
def test_read_in_parts(cache, list_corpus, monkeypatch, part):
    monkeypatch.setattr(module, "_PART", part)
    assert take_census(list_corpus(TEXTS), (), "corpus").copies.tolist() == [[2, 0], [4, 1], [5, 0]]


def test_identity_is_that_of_ids_texts_and_order(cache, list_corpus):
    def identity(texts):
        return take_census(list_corpus(texts), (), "corpus").identity

    assert identity(TEXTS) == identity(dict(TEXTS))
    others = [TEXTS | {"a": "One"}, {"z" if k == "a" else k: v for k, v in TEXTS.items()},
              dict(reversed(TEXTS.items())), dict(list(TEXTS.items())[:-1])]  # fmt: skip
    assert len({identity(texts) for texts in [TEXTS, *others]}) == 5
    assert identity({"ab": "c"}) != identity({"a": "bc"})


def test_duplicate_ids_are_named_with_both_places(cache, list_corpus):
    corpus = list_corpus([("a", "1"), ("b", "2"), ("a", "3"), ("b", "4"), ("c", "5")])
    with pytest.raises(DataError, match=r"list:3: duplicate id, first seen at list:1 \(2 in all\)"):
        take_census(corpus, (), "corpus")


def test_an_empty_corpus_is_refused(cache, list_corpus):
    with pytest.raises(DataError, match="task x: corpus de: no passages"):
        take_census(list_corpus({}), (), "task x: corpus de")


def test_a_full_disk_is_said(cache, list_corpus, monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.tempfile, "TemporaryFile", lambda dir: Full())
    with pytest.raises(StorageError, match="the disk is full"):
        take_census(list_corpus(TEXTS), (), "corpus")
