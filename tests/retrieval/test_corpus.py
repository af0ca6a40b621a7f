"""Passages from files in the public formats, what is said of files that are wrong, and what a census finds."""

import errno
import gzip
import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlingua.errors import DataError, StorageError
from mixlingua.retrieval import corpus as corpora
from mixlingua.retrieval.corpus import DprCorpus, JsonLinesCorpus, Passage, SubCorpus, repeats, take_census

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


def test_a_sub_corpus_keeps_order_and_places(corpus):
    part = SubCorpus(corpus, frozenset({"2#0", "doc1", "unknown"}))
    assert [passage.id for passage in part.passages()] == ["doc1", "2#0"]
    assert part.where(1).endswith("docs-1.jsonl.gz:2")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"docid": "a", "text": "t"', r":2: malformed JSON"),
        (b"", r":2: empty line"),
        (b'["a", "t"]', r":2: expected an object .*found list"),
        (b'{"text": "t"}', r":2: no id; .* docid or _id or id"),
        (b'{"docid": "", "text": "t"}', r":2: docid is ''"),
        (b'{"docid": true, "text": "t"}', r":2: docid is True"),
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


DPR_LINES = (
    "id\ttext\ttitle\n"
    '1\t"Aaron ( or ; ""Ahärôn"") is a prophet."\tAaron\n'
    "2\tplain text, with 'one' mark\tAaron\n"
    '3\t"a ""quoted"" word"\t"The ""Title"""\n'
)
DPR_PASSAGES = [
    Passage("1", 'Aaron Aaron ( or ; "Ahärôn") is a prophet.'),
    Passage("2", "Aaron plain text, with 'one' mark"),
    Passage("3", 'The "Title" a "quoted" word'),
]


@pytest.mark.parametrize("packed", [False, True])
def test_titles_and_texts_of_a_table_are_read(tmp_path, packed):
    path = tmp_path / ("psgs_w100.tsv.gz" if packed else "psgs_w100.tsv")
    path.write_bytes(gzip.compress(DPR_LINES.encode()) if packed else DPR_LINES.encode())
    corpus = DprCorpus(path, titles=True)
    assert list(corpus.passages()) == list(corpus.passages()) == DPR_PASSAGES
    alone = [passage.text for passage in DprCorpus(path, titles=False).passages()]
    assert alone[:2] == ['Aaron ( or ; "Ahärôn") is a prophet.', "plain text, with 'one' mark"]
    assert corpus.size == path.stat().st_size
    assert [corpus.where(place).rpartition("/")[2] for place in (0, 2)] == [f"{path.name}:2", f"{path.name}:4"]
    with pytest.raises(IndexError):
        corpus.where(3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (DPR_LINES.partition("\n")[2], r":1: the first line must be the headings id, text and title"),
        (DPR_LINES + "4\tno title\n", r":5: 2 columns; there must be an id, a text and a title"),
        (DPR_LINES + "\ttext\ttitle\n", r":5: 3 columns"),
        (DPR_LINES + "\n" + "4\ttext\ttitle\n", r":5: 0 columns"),
        (DPR_LINES + '4\t"never closed' + "x" * 200_000 + "\n", r":5: malformed \(field larger than"),
        ("", r": the file is empty"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path, content, message):
    path = tmp_path / "psgs_w100.tsv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message) as error:
        list(DprCorpus(path, titles=True).passages())
    assert str(error.value).startswith(str(path))


REPEATED = {"a": "one", "b": "two", "c": "one", "d": "three", "e": "two", "f": "one"}


def test_numbers_positions_and_repeated_texts(cache, list_corpus):
    census = take_census(list_corpus(REPEATED), {"a", "e", "nowhere"}, "corpus")
    assert census.num_passages == 6
    assert census.positions == {"a": 0, "e": 4}
    assert census.copies.tolist() == [[2, 0], [4, 1], [5, 0]]
    assert list(cache.iterdir()) == [], "nothing is left in the cache"


@pytest.mark.parametrize("part", [1, 2, 100])
def test_read_in_parts(cache, list_corpus, monkeypatch, part):
    monkeypatch.setattr(corpora, "_PART", part)
    assert take_census(list_corpus(REPEATED), (), "corpus").copies.tolist() == [[2, 0], [4, 1], [5, 0]]


def test_identity_is_that_of_ids_texts_and_order(cache, list_corpus):
    def identity(texts):
        return take_census(list_corpus(texts), (), "corpus").identity

    assert identity(REPEATED) == identity(dict(REPEATED))
    others = [REPEATED | {"a": "One"}, {"z" if k == "a" else k: v for k, v in REPEATED.items()},
              dict(reversed(REPEATED.items())), dict(list(REPEATED.items())[:-1])]  # fmt: skip
    assert len({identity(texts) for texts in [REPEATED, *others]}) == 5
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

    monkeypatch.setattr(corpora.tempfile, "TemporaryFile", lambda dir: Full())
    with pytest.raises(StorageError, match="the disk is full"):
        take_census(list_corpus(REPEATED), (), "corpus")


NUMBERS = st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1, 7 * 2**60])


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS), max_size=40), part=st.integers(1, 9), together=st.integers(1, 9))
def test_repeats_are_those_of_a_dictionary(rows, part, together):
    digests = np.array(rows, np.uint64).reshape(-1, 2)
    first: dict[tuple[int, int], int] = {}
    expected = [(place, first[row]) for place, row in enumerate(rows) if first.setdefault(row, place) != place]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "MAX_ROWS", together)
        found = repeats(lambda: (digests[at : at + part] for at in range(0, len(rows), part)), len(rows))
    assert [tuple(pair) for pair in found.tolist()] == expected


def test_rows_are_sorted_in_intervals(monkeypatch):
    """What is held at once is an interval's share, not the list."""
    digests = np.random.default_rng(0).integers(0, 2**64, (4000, 2), np.uint64)
    digests[3000] = digests[17]
    sizes = []
    original = np.lexsort
    monkeypatch.setattr(corpora, "MAX_ROWS", 500)
    monkeypatch.setattr(np, "lexsort", lambda keys: sizes.append(len(keys[0])) or original(keys))
    assert repeats(lambda: iter([digests[:1500], digests[1500:]]), 4000).tolist() == [[3000, 17]]
    assert len(sizes) == 8 and max(sizes) < 700
