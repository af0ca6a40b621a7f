"""Passages read from files in the public formats, and what is said of files that are wrong."""

import gzip
import json

import pytest

from mixlingua.errors import DataError
from mixlingua.retrieval.corpus import JsonLinesCorpus, SubCorpus

LINES = [
    {"docid": "39#0", "title": "Albedo", "text": "Albedo is a measure."},  # MIRACL
    {"_id": "doc1", "title": "", "text": "No title.", "metadata": {}},  # BEIR
    {"_id": 7, "text": "A number as id."},
    {"id": "2#0", "contents": "Akiolojia\n\nAkiolojia ni somo."},  # Mr. TyDi
    {"docid": "9", "title": None, "text": " "},
]
TEXTS = {
    "39#0": "Albedo Albedo is a measure.",
    "doc1": "No title.",
    "7": "A number as id.",
    "2#0": "Akiolojia\n\nAkiolojia ni somo.",
    "9": "",
}


@pytest.fixture
def corpus(tmp_path):
    plain, packed = tmp_path / "docs-0.jsonl", tmp_path / "docs-1.jsonl.gz"
    plain.write_text("".join(json.dumps(line) + "\n" for line in LINES[:2]), encoding="utf-8")
    with gzip.open(packed, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\r\n" for line in LINES[2:])
    return JsonLinesCorpus((plain, packed))


def test_every_public_format_is_read_in_the_order_of_the_files(corpus):
    assert dict(corpus.passages()) == TEXTS
    assert list(corpus.passages()) == list(corpus.passages()), "it can be read again"
    assert corpus.size == sum(file.stat().st_size for file in corpus.files)


def test_where_a_passage_stands(corpus):
    places = [corpus.where(position) for position in range(5)]
    assert [place.rpartition("/")[2] for place in places] == [
        "docs-0.jsonl:1", "docs-0.jsonl:2", "docs-1.jsonl.gz:1", "docs-1.jsonl.gz:2", "docs-1.jsonl.gz:3",
    ]  # fmt: skip


def test_a_pool_keeps_order_and_places(corpus):
    pool = SubCorpus(corpus, frozenset({"2#0", "doc1", "unknown"}))
    assert [passage.id for passage in pool.passages()] == ["doc1", "2#0"]
    assert pool.where(1).endswith("docs-1.jsonl.gz:2")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"docid": "a", "text": "t"', r":2: malformed JSON"),
        (b"", r":2: empty line"),
        (b'["a", "t"]', r":2: expected an object .*found list"),
        (b'{"text": "t"}', r":2: no id; .* docid or _id or id"),
        (b'{"docid": "", "text": "t"}', r":2: no id"),
        (b'{"docid": true, "text": "t"}', r":2: no id"),
        (b'{"docid": "a"}', r':2: passage "a" has no "text"'),
        (b'{"docid": "a", "text": 5}', r':2: passage "a" has no "text"'),
        (b'{"docid": "a", "text": "t", "title": ["x"]}', r':2: passage "a"'),
        (b'{"docid": "a", "text": "\xff"}', r":2: invalid UTF-8 at byte 25"),
    ],
)
def test_malformed_lines_are_named(tmp_path, line, message):
    path = tmp_path / "docs-0.jsonl"
    path.write_bytes(b'{"docid": "first", "text": "t"}\n' + line + b'\n{"docid": "last", "text": "t"}\n')
    with pytest.raises(DataError, match=message) as error:
        list(JsonLinesCorpus((path,)).passages())
    assert str(error.value).startswith(str(path))


def test_empty_and_damaged_files_are_named(tmp_path, corpus):
    empty = tmp_path / "empty.jsonl"
    empty.write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.jsonl: the file is empty"):
        list(JsonLinesCorpus((empty,)).passages())
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(corpus.files[1].read_bytes()[:-9])
    with pytest.raises(DataError, match=r"cut\.jsonl\.gz:\d+: damaged or incomplete archive"):
        list(JsonLinesCorpus((cut,)).passages())
