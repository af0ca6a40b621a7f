import gzip
import json

import pytest

from mixlingua.data.readers.jsonl import JsonlReader
from mixlingua.errors import DataError


def row(name, **changes):
    return {"id": name, "queries": {"de": "f", "en": "q"}, "passages": {"de": "a", "en": "p"}} | changes


def write(path, lines):
    data = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines).encode() + b"\n"
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture(params=["pairs.jsonl", "pairs.jsonl.gz"])
def file(tmp_path, request):
    return tmp_path / request.param


def test_rows_are_read_plain_and_packed(file):
    write(file, [row("a", passage_id="p1", touches=["s1", "s2"], negatives={"de": ["n"]}, split_key=3), row(7)])
    first, second = JsonlReader(str(file)).rows()
    assert (first.id, first.queries, first.passages) == ("a", {"de": "f", "en": "q"}, {"de": "a", "en": "p"})
    assert (first.passage_id, first.negatives) == ("p1", {"de": ["n"]})
    assert (first.touches, first.split_key) == (("s1", "s2"), "3")
    assert (second.id, second.passage_id, second.touches, second.negatives, second.split_key) == ("7", "7", (), {}, "")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ('{"id": "x", ', "malformed JSON"),
        ("", "empty line"),
        ("[1]", "expected an object"),
        ({"queries": {}, "passages": {}}, 'no "id"'),
        (row(1.5), "id is 1.5; it must be a text or a whole number"),
        (row(""), "id is ''"),
        (row(True), "id is True"),
        (row("x", queries={}), 'no "queries" for row "x"'),
        ({"id": "x", "queries": {"de": "f"}}, 'no "passages" for row "x"'),
        (
            row("x", passages={"de": "a"}),
            "no passage in 'en' for row 'x'; every language of a row needs query and passage",
        ),
        (row("x", queries={"de": "f", "en": " "}), "empty query in 'en'"),
        (row("x", queries={"de": "f", "en": 3}), "queries.en of row 'x' is 3"),
        (
            row("x", queries={"german": "f"}, passages={"german": "a"}),
            "unknown language 'german'; its code here is 'de'",
        ),
        (row("x", negatives={"fr": ["n"]}), "negatives in 'fr'"),
        (row("x", negatives=["n"]), "negatives of row 'x' must be lists by language"),
        (row("x", negatives={"de": ["n"]}, scores={"de": [1]}), "scores in 'de' for row 'x' must be 2 numbers"),
        (row("x", scores={"de": [10**400]}), "scores in 'de' for row 'x' must be 1 numbers"),
        (row("x", scores={"de": [1e39]}), "scores in 'de' for row 'x' must be 1 numbers"),
        (row("x", scores={"de": [float("nan")]}), "scores in 'de' for row 'x' must be 1 numbers"),
        (row("x", scores={"de": ["1"]}), "scores of row 'x' must be lists of numbers"),
        (row("x", passage_id=None), "passage_id is None"),
        (row("x", passage_id=True), "passage_id is True"),
        (row("x", split_key=""), "split_key is ''"),
        (row("x", touches="s1"), "touches of row 'x' must be lists of texts"),
        (row("x", touches=[1]), "touches of row 'x' must be lists of texts"),
        (row("x") | {"negative": []}, "unknown field 'negative'. Did you mean 'negatives'"),
    ],
)
def test_bad_rows_are_named_by_file_and_line(file, bad, message):
    write(file, [row("a"), row("b"), bad, row("c")])
    with pytest.raises(DataError, match=message) as caught:
        list(JsonlReader(file).rows())
    assert str(caught.value).startswith(f"{file}:3: ")


def test_invalid_utf8_is_named_by_file_line_and_byte(file):
    data = json.dumps(row("a")).encode() + b'\n{"id": "\xff"}\n'
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)
    with pytest.raises(DataError, match=r":2: invalid UTF-8 at byte 9 of the line"):
        list(JsonlReader(file).rows())


def test_duplicate_ids_are_named_with_both_lines_also_across_files(tmp_path):
    first = write(tmp_path / "1.jsonl", [row("a"), row("b"), row("c")])
    with pytest.raises(DataError, match=r"1\.jsonl:4: duplicate id, first seen at .*1\.jsonl:2 \(1 in all\)"):
        list(JsonlReader(write(tmp_path / "1.jsonl", [row("a"), row("b"), row("c"), row("b")])).rows())
    first = write(tmp_path / "1.jsonl", [row("a"), row("b")])
    second = write(tmp_path / "2.jsonl", [row("c"), row("a")])
    with pytest.raises(DataError, match=r"2\.jsonl:2: duplicate id, first seen at .*1\.jsonl:1"):
        list(JsonlReader([first, second]).rows())


def test_missing_empty_and_cut_files(tmp_path):
    write(tmp_path / "pairs.jsonl", [row("a")])
    with pytest.raises(DataError, match=r"pears\.jsonl: no such file\. Did you mean 'pairs\.jsonl'"):
        JsonlReader(tmp_path / "pears.jsonl").fingerprint()
    for folder, holds in ((tmp_path / "d", "without files"), (tmp_path, "it holds pairs.jsonl")):
        folder.mkdir(exist_ok=True)
        with pytest.raises(DataError) as caught:
            JsonlReader(folder).fingerprint()
        assert str(caught.value) == f"{folder}: a folder ({holds}). Give the path of a file."
    (tmp_path / "zz.gz").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"zz\.gz: no such file\. Data folders"):
        JsonlReader(tmp_path / "zz.gz").fingerprint()
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(DataError, match="the file is empty"):
        JsonlReader(tmp_path / "empty.jsonl").fingerprint()
    cut = write(tmp_path / "cut.jsonl.gz", [row(str(number)) for number in range(2000)])
    cut.write_bytes(cut.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"cut\.jsonl\.gz:\d+: damaged or incomplete archive"):
        list(JsonlReader(cut).rows())


def test_fingerprint_follows_content_not_place(tmp_path):
    here = write(tmp_path / "a.jsonl", [row("a")])
    there = write(tmp_path / "b.jsonl", [row("a")])
    other = write(tmp_path / "c.jsonl", [row("b")])
    assert JsonlReader(here).fingerprint() == JsonlReader(there).fingerprint() != JsonlReader(other).fingerprint()
    assert JsonlReader({"de": here}).fingerprint() != JsonlReader({"en": here}).fingerprint()


def test_files_per_language_are_joined_by_id(tmp_path):
    german = write(
        tmp_path / "de.jsonl", [{"id": "a", "query": "f", "passage": "a", "negatives": ["n"], "scores": [2, 1.5]}]
    )
    english = write(
        tmp_path / "en.jsonl", [{"id": "b", "query": "q2", "passage": "p2"}, {"id": "a", "query": "q", "passage": "p"}]
    )
    first, second = JsonlReader({"en": english, "de": german}).rows()
    assert (first.id, first.queries, first.negatives) == ("a", {"de": "f", "en": "q"}, {"de": ["n"]})
    assert first.scores == {"de": [2, 1.5]}
    assert (second.id, second.passages) == ("b", {"en": "p2"})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"id": "a", "query": "q"}], r'en\.jsonl:1: no "passage" for row "a"'),
        (
            [{"id": "a", "query": "q", "passage": "p", "passage_id": "z"}],
            r"en\.jsonl:1: passage_id 'z' .* 'a' at .*de\.jsonl:1",
        ),
        (
            [{"id": "b", "query": "q", "passage": "p"}] * 2,
            r"en\.jsonl:2: duplicate id 'b', first seen at .*en\.jsonl:1",
        ),
    ],
)
def test_files_per_language_that_do_not_fit_are_named(tmp_path, lines, message):
    german = write(tmp_path / "de.jsonl", [{"id": "a", "query": "f", "passage": "a"}])
    with pytest.raises(DataError, match=message):
        list(JsonlReader({"de": german, "en": write(tmp_path / "en.jsonl", lines)}).rows())


def test_an_unknown_language_of_a_file_is_refused_before_reading(tmp_path):
    with pytest.raises(DataError, match=r"data\.sources\.jsonl\.path: unknown language 'deu'"):
        JsonlReader({"deu": tmp_path / "x"})
