"""Parallel text as pairs: every layout of files, both ways to make pairs, and what is wrong with files."""

import gzip
import json

import pytest

from mixlingua.data.readers.parallel import ParallelReader
from mixlingua.errors import ConfigError, DataError


@pytest.fixture
def lines(tmp_path):
    """Two documents, of 4 and 2 sentences, a file for each language."""
    (tmp_path / "docs.tsv").write_text("x\nx\nx\nx\ny\ny\n")
    for language in ("en", "zh"):
        (tmp_path / f"{language}.txt").write_text("".join(f"{language}{number}\n" for number in range(1, 7)))
    return tmp_path


@pytest.fixture
def pairs(tmp_path):
    """Two pairs of files, with codes of three letters and of two, and a file that is none of them."""
    (tmp_path / "talks.deu-eng.deu").write_text("Ja.\nNein.\n")
    (tmp_path / "talks.deu-eng.eng").write_text("Yes.\nNo.\n")
    (tmp_path / "talks.en-fa.en").write_text("Water\n")
    (tmp_path / "talks.en-fa.fa").write_text("آب\n")
    (tmp_path / "README").write_text("from OPUS")
    return tmp_path


def write(path, rows):
    text = "\n".join(json.dumps(row) for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def json_rows(fold="train"):
    return [
        {"id": "a", "doc": "x", "fold": fold, "texts": {"de": "eins", "en": "one"}},
        {"id": "b", "doc": "x", "fold": fold, "texts": {"de": "zwei", "en": "two", "zh": "二"}},
        {"id": "c", "doc": "y", "fold": "dev", "texts": {"de": "drei", "en": "three"}},
    ]


def following(path, span=2, include_query=0.0, **options):
    return ParallelReader(path, pairing="next", span=span, include_query=include_query, **options)


def test_a_sentence_asks_for_what_follows_it_in_its_document(lines):
    rows = list(following(lines).rows())
    assert [(row.queries["en"], row.passages["en"], row.passages["zh"]) for row in rows] == [
        ("en1", "en2 en3", "zh2zh3"),
        ("en2", "en3 en4", "zh3zh4"),
        ("en3", "en4", "zh4"),
        ("en5", "en6", "zh6"),
    ]
    assert [row.split_key for row in rows] == ["x", "x", "x", "y"]
    assert [(row.id, row.passage_id) for row in rows][-2:] == [("x:3", "x:4-4"), ("y:5", "y:6-6")]


def test_rows_that_overlap_share_a_touched_sentence_and_others_do_not(lines):
    first, second, third, other = (set(row.touches) for row in following(lines, include_query=0.5).rows())
    assert first & second and second & third and first & third
    assert not other & (first | second | third)
    assert first == {"sentence 1", "sentence 2", "sentence 3"}


def test_include_query_has_its_probability_and_is_reproducible(lines):
    count = 2000
    (lines / "docs.tsv").write_text("x\n" * count)
    (lines / "en.txt").write_text("".join(f"en{number}\n" for number in range(count)))
    (lines / "zh.txt").write_text("".join(f"zh{number}\n" for number in range(count)))

    def included(probability):
        rows = following(lines, span=1, include_query=probability).rows()
        return [
            all(row.passages[language].startswith(row.queries[language]) for language in ("en", "zh")) for row in rows
        ]

    third = included(0.3)
    assert third == included(0.3)
    assert 0.25 < sum(third) / len(third) < 0.35
    assert not any(included(0.0))
    assert all(included(1.0))


def test_a_line_is_query_and_passage_in_its_two_languages(pairs):
    rows = list(ParallelReader(pairs).rows())
    assert [row.queries for row in rows] == [
        {"de": "Ja.", "en": "Yes."},
        {"de": "Nein.", "en": "No."},
        {"en": "Water", "fa": "آب"},
    ]
    assert all(row.passages == row.queries and row.passages is not row.queries for row in rows)
    assert [row.id for row in rows] == ["talks.deu-eng:1", "talks.deu-eng:2", "talks.en-fa:1"]
    assert len({row.passage_id for row in rows}) == 3


def test_lines_that_are_blank_on_a_side_are_left_out_and_counted(pairs, caplog):
    (pairs / "talks.deu-eng.deu").write_text("Ja.\n \nDoch.\nSo?\n")
    (pairs / "talks.deu-eng.eng").write_text("Yes.\nNo.\n\nReally?\n")
    rows = [row for row in ParallelReader(pairs).rows() if "de" in row.queries]
    assert [(row.id, row.queries["en"]) for row in rows] == [
        ("talks.deu-eng:1", "Yes."),
        ("talks.deu-eng:4", "Really?"),
    ]
    assert "in one language alone, left out: 2" in caplog.text


def test_one_file_a_language_without_documents_gives_sentences_and_translations(lines):
    (lines / "docs.tsv").unlink()
    rows = list(ParallelReader(lines).rows())
    assert [(row.id, row.queries) for row in rows][:2] == [
        ("1", {"en": "en1", "zh": "zh1"}),
        ("2", {"en": "en2", "zh": "zh2"}),
    ]
    with pytest.raises(DataError, match=r"docs\.tsv: no such file"):
        list(following(lines).rows())


def test_json_lines_give_sentences_and_translations_of_a_fold(tmp_path):
    path = write(tmp_path / "made.jsonl.gz", json_rows())
    rows = list(ParallelReader(path).rows())
    assert [(row.id, row.queries, row.split_key) for row in rows] == [
        ("a", {"de": "eins", "en": "one"}, "x"),
        ("b", {"de": "zwei", "en": "two", "zh": "二"}, "x"),
    ]
    assert all(row.passages == row.queries and row.passages is not row.queries for row in rows)
    assert [row.id for row in ParallelReader(path, fold="dev").rows()] == ["c"]
    assert [row.id for row in ParallelReader(path, fold=None).rows()] == ["a", "b", "c"]
    with pytest.raises(DataError, match=r"data\.sources\.parallel\.fold is 'tran'.*Did you mean 'train'"):
        list(ParallelReader(path, fold="tran").rows())


def test_documents_and_folds_may_be_numbers_from_0(tmp_path):
    numbered = [row | {"fold": number, "doc": number} for number, row in enumerate(json_rows())]
    path = write(tmp_path / "made.jsonl", numbered)
    assert [(row.id, row.split_key) for row in ParallelReader(path, fold="0").rows()] == [("a", "0")]
    assert [row.id for row in ParallelReader(path, fold="1").rows()] == ["b"]


def test_json_lines_give_what_follows_in_the_languages_that_both_have(tmp_path):
    (row,) = following(write(tmp_path / "made.jsonl", json_rows())).rows()
    assert (row.queries, row.passages) == ({"de": "eins", "en": "one"}, {"de": "zwei", "en": "two"})
    rows = [{"id": "a", "texts": {"de": "eins", "en": "one"}}]
    with pytest.raises(DataError, match=r"made\.jsonl:1: no document.*pairing=next needs"):
        list(following(write(tmp_path / "made.jsonl", rows)).rows())


def test_names_choose_files_of_a_folder(tmp_path):
    write(tmp_path / "one.jsonl.gz", json_rows())
    write(tmp_path / "two.jsonl", [{"id": "z", "texts": {"de": "null", "en": "zero"}}])
    assert [row.id for row in ParallelReader(tmp_path, names=["two", "one"]).rows()] == ["z", "a", "b"]
    with pytest.raises(DataError, match=r"tow\.jsonl\.gz: no such file\. Did you mean"):
        ParallelReader(tmp_path, names=["tow"]).fingerprint()
    with pytest.raises(DataError, match=r"choose some of one, two by data\.sources\.parallel\.names"):
        ParallelReader(tmp_path).fingerprint()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ('{"id": "x", ', "malformed JSON"),
        ({"texts": {"de": "f", "en": "q"}}, 'no "id"'),
        ({"id": "x"}, 'no "texts" for row "x"'),
        ({"id": "x", "text": {"de": "f"}}, "unknown field 'text'. Did you mean 'texts'"),
        ({"id": "x", "texts": {"de": "f", "en": 3}}, "texts.en of row 'x' is 3"),
        ({"id": "x", "texts": {"de": "f", "en": " "}}, "empty query in 'en' for row 'x'"),
        ({"id": "x", "texts": {"de": "f", "eng": "q"}}, "unknown language 'eng'"),
    ],
)
def test_bad_json_lines_are_named_by_file_and_line(tmp_path, bad, message):
    path = tmp_path / "made.jsonl"
    path.write_text(f"{json.dumps(json_rows()[0])}\n{bad if isinstance(bad, str) else json.dumps(bad)}\n")
    with pytest.raises(DataError, match=message) as caught:
        list(ParallelReader(path).rows())
    assert str(caught.value).startswith(f"{path}:2: ")


def test_an_id_that_comes_twice_is_named_with_both_lines(tmp_path):
    path = write(tmp_path / "made.jsonl", [json_rows()[0], json_rows()[0]])
    with pytest.raises(DataError, match=r"made\.jsonl:2: duplicate id, first seen at .*made\.jsonl:1"):
        list(ParallelReader(path).rows())


def test_files_that_are_not_aligned_are_named(lines):
    zh = lines / "zh.txt"
    content = zh.read_bytes().splitlines(keepends=True)
    reader = following(lines)
    zh.write_bytes(b"".join(content[:5]))
    with pytest.raises(DataError, match=r"zh\.txt:5: the file ends here, but .*docs\.tsv goes on"):
        list(reader.rows())
    zh.write_bytes(b"".join([*content, b"more\n"]))
    with pytest.raises(DataError, match=r"docs\.tsv:6: the file ends here, but .*zh\.txt goes on"):
        list(reader.rows())
    zh.write_bytes(b"".join([*content[:2], b" \n", *content[3:]]))
    with pytest.raises(DataError, match=r"zh\.txt:3: blank line"):
        list(reader.rows())
    zh.write_bytes(b"".join([*content[:3], b"\xe4\n", *content[4:]]))
    with pytest.raises(DataError, match=r"zh\.txt:4: invalid UTF-8"):
        list(reader.rows())


def test_wrong_folders_and_codes_are_named(pairs, tmp_path):
    with pytest.raises(DataError, match=r"absent: no such file.*paths\.data"):
        ParallelReader(tmp_path / "absent").fingerprint()
    (pairs / "talks.en-fa.fa").unlink()
    with pytest.raises(DataError, match=r"talks\.en-fa has one side, talks\.en-fa\.en"):
        ParallelReader(pairs).fingerprint()
    (pairs / "talks.en-fa.fa").write_text("آب\n")
    for side in ("en", "zh_CN"):
        (pairs / f"talks.en-zh_CN.{side}").write_text("x\n")
    with pytest.raises(DataError, match=r"talks\.en-zh_CN\.zh_CN: unknown language 'zh_CN'"):
        ParallelReader(pairs).fingerprint()


def test_wrong_options_are_named(tmp_path, lines):
    (lines / "newstest2019-ref.deu.txt").write_text("x")
    with pytest.raises(DataError, match="unknown language"):
        following(lines).fingerprint()
    with pytest.raises(ConfigError, match=r"data\.sources\.parallel\.span is 0"):
        following(tmp_path, span=0)
    with pytest.raises(ConfigError, match=r"data\.sources\.parallel\.include_query is 1\.5"):
        following(tmp_path, include_query=1.5)
    with pytest.raises(ConfigError, match=r"data\.sources\.parallel\.pairing=nxt: .*Did you mean 'next'"):
        ParallelReader(tmp_path, pairing="nxt")
    with pytest.raises(ConfigError, match=r"data\.sources\.parallel\.corpus: no public corpus 'florse'.*'flores'"):
        ParallelReader(tmp_path, corpus="florse")


def test_the_fingerprint_follows_options_content_and_names(lines, pairs):
    assert len({following(lines, span, p).fingerprint() for span in (1, 2) for p in (0.0, 0.5)}) == 4
    for file in lines.glob("*.t*"):
        file.unlink()
    before = ParallelReader(pairs).fingerprint()
    assert before == ParallelReader(pairs).fingerprint()
    (pairs / "talks.en-fa.en").write_text("Waters\n")
    changed = ParallelReader(pairs).fingerprint()
    for side in ("en", "fa"):
        (pairs / f"talks.en-fa.{side}").rename(pairs / f"other.en-fa.{side}")
    assert len({before, changed, ParallelReader(pairs).fingerprint()}) == 3
