"""Sources whose files are the user's, or else fetched."""

import gzip
import json

import pytest

from mixlingua.data.public_corpora import public_files
from mixlingua.data.readers.bitext import TatoebaReader
from mixlingua.data.readers.jsonl import PreparedReader
from mixlingua.data.readers.ntrex import NUM_LINES, NtrexReader
from mixlingua.errors import DataError
from mixlingua.files import sha256


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLINGUA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_ntrex_is_fetched_where_its_folder_is_missing(tmp_path, network, monkeypatch):
    ids = tmp_path / "ids"
    ids.write_text("".join(f"document {line // 10}\n" for line in range(NUM_LINES)))
    monkeypatch.setitem(public_files()["checksums"], "DOCUMENT_IDS.tsv", sha256(ids))
    for code in ("cym", "gle"):  # known by their number of lines
        network[f"newstest2019-ref.{code}.txt"] = b"".join(b"%s %d\n" % (code.encode(), n) for n in range(NUM_LINES))

    def reader(**options):
        return NtrexReader(tmp_path / "ntrex", span=1, include_query=0.0, **options)

    with pytest.raises(DataError, match=r"data.sources.ntrex needs DOCUMENT_IDS.tsv"):
        reader(fetched=["cy", "ga"]).fingerprint()
    network["DOCUMENT_IDS.tsv"] = ids.read_bytes()
    first = next(reader(fetched=["ga", "cy"]).rows())
    assert first.queries == {"cy": "cym 0", "ga": "gle 0"} and first.split_key == "document 0"
    assert reader(fetched=["ga", "cy"]).fingerprint() == reader(fetched=["cy", "ga"]).fingerprint()
    with pytest.raises(DataError, match=r"no <language>.txt files"):
        reader().fingerprint()
    (tmp_path / "ntrex").mkdir()
    with pytest.raises(DataError, match=r"no <language>.txt files"):  # a folder of the user's is never filled up
        reader(fetched=["cy", "ga"]).fingerprint()


def test_tatoeba_is_fetched_where_its_folder_is_missing(tmp_path, network):
    lines = {language: public_files()["tatoeba"][language] for language in ("af", "am", "br")}
    for code, number in lines.values():
        for side in (code, "eng"):
            network[f"tatoeba.{code}-eng.{side}"] = f"{side} {code}\n".encode() * number
    reader = TatoebaReader(tmp_path / "tatoeba", fetched=["am", "af"])
    assert [row.queries for row in reader.rows()][::1000] == [
        {"af": "afr afr", "en": "eng afr"},
        {"am": "amh amh", "en": "eng amh"},
    ]
    before = reader.fingerprint()
    list(TatoebaReader(tmp_path / "tatoeba", fetched=["br"]).rows())
    assert reader.fingerprint() == before, "other languages in the cache change nothing"
    (tmp_path / "tatoeba").mkdir()
    with pytest.raises(DataError, match="no files such as"):
        reader.fingerprint()


class Published:
    name = "made"

    def fingerprint(self):
        return "of what is published"

    def rows(self):
        raise DataError("published")


def test_prepared_rows_go_before_those_that_are_made(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    reader = PreparedReader(path, Published())
    assert reader.fingerprint() == "of what is published"
    with pytest.raises(DataError, match="published"):
        list(reader.rows())
    row = {"id": "1", "queries": {"de": "Was?"}, "passages": {"de": "Das."}}
    path.write_bytes(gzip.compress(json.dumps(row).encode()))
    assert [found.queries for found in reader.rows()] == [{"de": "Was?"}]
    assert reader.name == "made" and reader.fingerprint() != "of what is published"
