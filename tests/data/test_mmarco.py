import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixlingua.data.readers.mmarco import REPOSITORY, MmarcoReader
from mixlingua.errors import ConfigError, DataError

PASSAGES = range(100, 112)
QUERIES = range(1, 5)
TRIPLES = "1\t100\t105\n2\t101\t106\n1\t100\t107\n1\t102\t105\n3\t103\t108\n"


def parquet(file, texts):
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": list(texts), "text": list(texts.values())}), file, row_group_size=2)


@pytest.fixture
def folder(tmp_path):
    """The hub's layout in small: two files of a collection, two languages; German lacks query 3 and passage 102."""
    folder = tmp_path / "mmarco"
    for name, code in (("german", "de"), ("english", "en")):
        passages = {number: f"p{number} {code}" for number in PASSAGES if (code, number) != ("de", 102)}
        for part, chosen in enumerate((range(100, 106), range(106, 112))):
            texts = {number: passages[number] for number in chosen if number in passages}
            parquet(folder / f"collection-{name}" / "collection" / f"000{part}.parquet", texts)
        queries = {number: "  " if (code, number) == ("de", 3) else f"q{number} {code}" for number in QUERIES}
        parquet(folder / f"queries-{name}" / "train" / "0000.parquet", queries)
        parquet(folder / f"queries-{name}" / "dev" / "0000.parquet", {1: "a query of the dev set"})
    (folder / "data").mkdir()
    (folder / "data" / "triples.train.ids.small.tsv").write_text(TRIPLES)
    return folder


@pytest.fixture
def make(folder, own_cache):
    def reader(languages=("en", "de"), max_negatives=2, path=folder):
        return MmarcoReader(path, languages, max_negatives, "refs/convert/parquet")

    return reader


def test_pairs_are_joined_by_id_in_every_language(make):
    rows = list(make().rows())
    assert [row.id for row in rows] == ["1-100", "2-101", "1-102", "3-103"]
    assert rows[0].queries == {"de": "q1 de", "en": "q1 en"}
    assert rows[0].passages == {"de": "p100 de", "en": "p100 en"}
    assert rows[0].negatives == {"de": ["p105 de", "p107 de"], "en": ["p105 en", "p107 en"]}
    assert [sorted(row.queries) for row in rows] == [["de", "en"], ["de", "en"], ["en"], ["en"]]
    assert set(rows[0].touches) == set(rows[2].touches) != set(rows[1].touches)


def test_negatives_are_limited(make):
    assert next(make(max_negatives=1).rows()).negatives["en"] == ["p105 en"]
    assert all(not row.negatives for row in make(max_negatives=0).rows())


def test_bad_files_are_named(make, folder):
    triples = folder / "data" / "triples.train.ids.small.tsv"
    triples.write_text(TRIPLES + "4\t104\n")
    with pytest.raises(DataError, match=r"triples\.train\.ids\.small\.tsv:6: expected three tab-separated ids"):
        list(make().rows())
    triples.write_text("1\t900\t901\n")
    with pytest.raises(DataError, match=r"cannot read collection-english/\*\* of .*none of the ids of data/triples"):
        list(make(["en"]).rows())
    triples.write_text(TRIPLES)
    (folder / "collection-german" / "collection" / "0000.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(DataError, match=r"cannot read collection-german/\*\* of .*columns id and text"):
        list(make().rows())
    (folder / "collection-english" / "collection" / "0000.parquet").unlink()
    (folder / "collection-english" / "collection" / "0001.parquet").unlink()
    with pytest.raises(DataError, match=r"cannot read collection-english/\*\* of "):
        list(make(["en"]).rows())


def test_ids_may_be_texts(make, folder):
    expected = list(make().rows())
    for file in folder.rglob("*.parquet"):
        table = pq.read_table(file)
        pq.write_table(table.set_column(0, "id", table["id"].cast("string")), file)
    assert list(make().rows()) == expected


def test_wrong_options_are_named(make):
    with pytest.raises(ConfigError, match="mMARCO has no 'th'; it has ar, de, en"):
        make(languages=["en", "th"])
    with pytest.raises(ConfigError, match="languages is empty"):
        make(languages=[])


def test_fingerprint_follows_files_and_options(make, folder):
    first = make().fingerprint()
    assert make(("de", "en")).fingerprint() == first
    assert len({first, make(["en"]).fingerprint(), make(max_negatives=1).fingerprint()}) == 3
    parquet(folder / "queries-german" / "train" / "0000.parquet", {1: "another query"})
    assert make().fingerprint() != first


@pytest.fixture
def hub(hub_of, folder):
    return hub_of(folder)


def test_the_files_of_the_hub_are_asked_for_by_revision(make, hub, tmp_path):
    assert list(make(path=tmp_path / "absent").rows()) == list(make().rows())
    assert any(f"/api/datasets/{REPOSITORY}/revision/refs/convert/parquet" in path for path in hub.seen)
    assert not any("dev" in path and "resolve" in path for path in hub.seen)


def test_a_damaged_file_of_the_hubs_cache_is_removed_and_fetched_again(make, hub, tmp_path):
    reader = make(path=tmp_path / "absent")
    rows = list(reader.rows())
    file = next((tmp_path / "hub").rglob("collection-german/collection/0000.parquet"))
    file.resolve().write_bytes(b"PAR1 cut")
    os.utime(file.resolve(), (0, 0))
    with pytest.raises(DataError, match=r"collection-german/collection/0000\.parquet was damaged and is removed"):
        list(make(path=tmp_path / "absent").rows())
    assert list(make(path=tmp_path / "absent").rows()) == rows


def test_without_a_network_the_ways_out_are_named(make, hub, tmp_path):
    hub.shutdown()
    hub.server_close()
    reader = make(path=tmp_path / "absent")
    reader.fingerprint()  # a store that is there is found without a network
    with pytest.raises(DataError, match=r"cannot read data/triples.*cannot be reached") as caught:
        list(reader.rows())
    for way in ("HF_ENDPOINT", "HTTPS_PROXY", str(tmp_path / "absent"), "data=ntrex"):
        assert way in str(caught.value)
