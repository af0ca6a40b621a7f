"""Queries and judgements in the public formats, and what is said of files that are wrong."""

import gzip

import pytest

from mixlingua.errors import DataError
from mixlingua.evaluation.benchmarks.trec_files import (
    plain_or_gz,
    read_ids,
    read_json_queries,
    read_trec_qrels,
    read_tsv_qrels,
    read_tsv_queries,
)

HEADINGS = "query-id\tcorpus-id\tscore\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def test_queries(path):
    path.write_text("10020#0\tOdun wo ni?\r\n2\tWho\tknows? \n", encoding="utf-8")
    assert read_tsv_queries(path) == {"10020#0": "Odun wo ni?", "2": "Who\tknows?"}
    path.write_text('{"_id": "q1", "text": "One?", "metadata": {}}\n{"_id": 2, "text": "Two?"}\n')
    assert read_json_queries(path) == {"q1": "One?", "2": "Two?"}


def test_judgements(path):
    path.write_text("6\tQ0\t32589#0\t1\n6 0  93957#6 0\n8\tQ0\t2172#10\t-2\n8\tQ0\t2172#10\t-2\n")
    expected = {"6": {"32589#0": 1, "93957#6": 0}, "8": {"2172#10": -2}}
    assert read_trec_qrels(path, {"6", "8"}) == read_trec_qrels(path, None) == expected
    path.write_text(f"{HEADINGS}q1\td 1\t2\nq1\td2\t1.0\n")
    assert read_tsv_qrels(path, {"q1"}) == {"q1": {"d 1": 2, "d2": 1}}


def test_judgements_that_come_twice_change_no_figure(path):
    path.write_text("1 Q0 a 2\n1 Q0 b 1\n")
    once = read_trec_qrels(path, None)
    path.write_text("1 Q0 a 2\n1 Q0 b 1\n1 Q0 a 2\n1 Q0 b 1\n1 Q0 b 1\n")
    assert read_trec_qrels(path, None) == once == {"1": {"a": 2, "b": 1}}


def test_passage_ids(path):
    path.write_text("1#0\n1#1\n1#0\n")
    assert read_ids(path) == {"1#0", "1#1"}


def test_packed_files(tmp_path):
    plain, packed = tmp_path / "q.tsv", tmp_path / "q.tsv.gz"
    assert plain_or_gz(plain) == plain
    packed.write_bytes(gzip.compress(b"1\tquery\n"))
    assert plain_or_gz(plain) == packed
    assert read_tsv_queries(packed) == {"1": "query"}
    plain.write_text("1\tother\n")
    assert plain_or_gz(plain) == plain


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_tsv_queries, b"1\ta\n2 b\n", ":2: no tab"),
        (read_tsv_queries, b"1\ta\n2\t \n", ":2: the query or its id is blank"),
        (read_tsv_queries, b"\ta\n", ":1: the query or its id is blank"),
        (read_tsv_queries, b"1\ta\n2\tb\n1\tc\n", ":3: duplicate query id '1', first seen at .*file:1"),
        (read_tsv_queries, b"1\ta\n2\t\xff\n", ":2: invalid UTF-8"),
        (read_tsv_queries, b"", ": the file is empty"),
        (read_json_queries, b'{"_id": "1"}\n', ':1: query "1" has no "text"'),
        (read_json_queries, b'{"text": "1"}\n', ":1: no id"),
        (read_json_queries, b"{\n", ":1: malformed JSON"),
        (read_ids, b"1#0\n\n", ":2: '' is no passage id"),
        (read_ids, b"1#0\t5\n", ":1: '1#0\t5' is no passage id"),
        (lambda path: read_trec_qrels(path, {"1"}), b"1 Q0 a 1\n1 Q0 b\n", ":2: 3 columns; TREC"),
        (lambda path: read_trec_qrels(path, {"1"}), b"1 Q0 a x\n", ":1: the grade 'x' is no whole number"),
        (lambda path: read_trec_qrels(path, {"1"}), b"1 Q0 a 0.5\n", ":1: the grade '0.5'"),
        (lambda path: read_trec_qrels(path, {"1"}), b"1 Q0 a nan\n", ":1: the grade 'nan'"),
        (lambda path: read_trec_qrels(path, {"1"}), b"1 Q0 a 1\n2 Q0 a 1\n", ":2: no query '2'"),
        (
            lambda path: read_trec_qrels(path, {"1"}),
            b"1 Q0 a 1\n1 Q0 a 0\n",
            ":2: query '1' and passage 'a' were judged",
        ),
        (lambda path: read_tsv_qrels(path, {"1"}), b"q\td\ts\n1\ta\n", ":2: 2 columns"),
        (lambda path: read_tsv_qrels(path, {"1"}), b"1\ta\t1\n", ":1: a judgement; the first line must be headings"),
        (lambda path: read_tsv_qrels(path, {"1"}), b"q\td\ts\n", ": no judgements"),
    ],
)
def test_what_is_wrong_is_named(path, read, content, message):
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read(path)
    assert str(error.value).startswith(str(path))
