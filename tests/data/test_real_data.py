"""The readers on public data, as they come."""

import hashlib

import numpy as np
import pytest

from mixlingua.data.build import build_store
from mixlingua.data.readers.jsonl import JsonlReader
from mixlingua.data.readers.parallel import ParallelReader
from mixlingua.data.readers.squad import SquadReader


def test_ntrex(shared_data, tmp_path):
    store = build_store(
        ParallelReader(shared_data / "ntrex", "ntrex", pairing="next", span=2, include_query=0.5),
        tmp_path,
        progress=False,
    )
    assert store.num_rows == 1874  # 1,997 sentences, less the last one of each of 123 documents
    assert store.coverage is None
    assert len(store.languages) == 23
    assert store.texts([0], "query", ["en"]) == ["Welsh AMs worried about 'looking like muppets'"]
    assert set(store.keys[0]) & set(store.keys[2])
    assert not set(store.keys[0]) & set(store.keys[3])


@pytest.mark.parametrize(
    ("file", "num_rows", "languages"), [("lohelp/help.jsonl.gz", 8743, 13), ("debian/descriptions.jsonl.gz", 16000, 18)]
)
def test_uneven_jsonl(shared_data, tmp_path, file, num_rows, languages):
    store = build_store(JsonlReader(shared_data / file), tmp_path, progress=False)
    assert (store.num_rows, len(store.languages)) == (num_rows, languages)
    counts = [int(np.count_nonzero(store.coverage >> np.uint64(bit) & np.uint64(1))) for bit in range(languages)]
    assert counts == list(store.rows_per_language.values())


def test_tatoeba(shared_data, tmp_path):
    store = build_store(ParallelReader(shared_data / "tatoeba"), tmp_path, progress=False)
    assert (store.num_rows, len(store.languages)) == (17172, 20)
    assert store.rows_per_language["th"] == 548
    assert store.texts([0], "query", ["ar"]) == ["كان سامي يربح الكثير من المال."]


@pytest.mark.parametrize(
    ("name", "pairing", "num_rows", "languages"),
    [
        ("flores", "same", 1034, 19), ("tico19", "same", 3070, 11), ("tico19", "next", 3039, 11),
        ("pud", "same", 997, 14), ("mt_geneval", "same", 5957, 9), ("wmt24", "same", 997, 7), ("wmt24", "next", 827, 7),
        ("mkqa_questions", "same", 6754, 8), ("storybooks", "next", 797, 14),
    ],
)  # fmt: skip
def test_prepared_parallel_text(shared_data, tmp_path, name, pairing, num_rows, languages):
    reader = ParallelReader(shared_data / "parallel", names=[name], pairing=pairing)
    store = build_store(reader, tmp_path, progress=False)
    assert (store.num_rows, len(store.languages)) == (num_rows, languages)


def test_the_default_ntrex_is_what_it_was(shared_data):
    """A hash of every row, taken from the reader that this one replaced."""
    digest = hashlib.sha256()
    for row in ParallelReader(shared_data / "ntrex", "ntrex", pairing="next").rows():
        digest.update(repr(row).replace(", scores={}", "").encode())
    assert digest.hexdigest() == "5406a27aa4e0f3f8244a1845128d68ca13e54593f245c74b236bee3d242d86bf"


def test_xquad_r_as_squad(shared_data, tmp_path):
    store = build_store(SquadReader(shared_data / "xquad-r", "sentence"), tmp_path, progress=False)
    assert (store.num_rows, len(store.languages), store.coverage) == (1190, 11, None)
    answer = store.texts([0], "passage", ["de"])[0]
    assert answer.startswith("Die Verteidigung der Panthers gab nur 308 Punkte ab")
    assert answer.endswith("mit vier Pro Bowl-Selektionen rühmen konnte.")
