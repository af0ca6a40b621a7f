"""The readers on public data, as they come."""

import numpy as np
import pytest

from mixlingua.data.build import build_store
from mixlingua.data.readers.bitext import BitextReader
from mixlingua.data.readers.chromium import ChromiumReader
from mixlingua.data.readers.jsonl import JsonlReader
from mixlingua.data.readers.ntrex import NtrexReader
from mixlingua.data.readers.squad import SquadReader
from mixlingua.errors import DataError


def test_ntrex(shared_data, tmp_path):
    store, _ = build_store(NtrexReader(shared_data / "ntrex", span=2, include_query=0.5), tmp_path, progress=False)
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
    store, _ = build_store(JsonlReader(shared_data / file), tmp_path, progress=False)
    assert (store.num_rows, len(store.languages)) == (num_rows, languages)
    counts = [int(np.count_nonzero(store.coverage >> np.uint64(bit) & np.uint64(1))) for bit in range(languages)]
    assert counts == list(store.rows_per_language.values())


def test_tatoeba(shared_data, tmp_path):
    store, _ = build_store(BitextReader(shared_data / "tatoeba"), tmp_path, progress=False)
    assert (store.num_rows, len(store.languages)) == (17172, 20)
    assert store.rows_per_language["th"] == 548
    assert store.texts([0], "query", ["ar"]) == ["كان سامي يربح الكثير من المال."]


def test_chromium(tmp_path):
    reader = ChromiumReader(None, min_words=4)
    try:
        reader.fingerprint()
    except DataError as error:
        pytest.skip(str(error))
    store, _ = build_store(reader, tmp_path, progress=False)
    assert (store.num_rows, len(store.languages)) == (5323, 49)
    assert store.rows_per_language["th"] == 5144


def test_xquad_r_as_squad(shared_data, tmp_path):
    store, _ = build_store(SquadReader(shared_data / "xquad-r", "sentence"), tmp_path, progress=False)
    assert (store.num_rows, len(store.languages), store.coverage) == (1190, 11, None)
    answer = store.texts([0], "passage", ["de"])[0]
    assert answer.startswith("Die Verteidigung der Panthers gab nur 308 Punkte ab")
    assert answer.endswith("mit vier Pro Bowl-Selektionen rühmen konnte.")
