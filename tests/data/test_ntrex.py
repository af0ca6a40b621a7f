import pytest

from mixlingua.data.readers.ntrex import NtrexReader
from mixlingua.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path):
    """Two documents, of 4 and 2 sentences."""
    (tmp_path / "docs.tsv").write_text("x\nx\nx\nx\ny\ny\n")
    for language in ("en", "zh"):
        (tmp_path / f"{language}.txt").write_text("".join(f"{language}{number}\n" for number in range(1, 7)))
    return tmp_path


def test_passage_is_what_follows_in_the_document(folder):
    rows = list(NtrexReader(folder, span=2, include_query=0.0).rows())
    assert [(row.queries["en"], row.passages["en"], row.passages["zh"]) for row in rows] == [
        ("en1", "en2 en3", "zh2zh3"),
        ("en2", "en3 en4", "zh3zh4"),
        ("en3", "en4", "zh4"),
        ("en5", "en6", "zh6"),
    ]
    assert [row.split_key for row in rows] == ["x", "x", "x", "y"]


def test_rows_that_overlap_share_a_touched_sentence_and_others_do_not(folder):
    first, second, third, other = (set(row.touches) for row in NtrexReader(folder, span=2, include_query=0.5).rows())
    assert first & second and second & third and first & third
    assert not other & (first | second | third)
    assert first == {"sentence 1", "sentence 2", "sentence 3"}


def test_include_query_has_its_probability_and_is_reproducible(folder):
    count = 2000
    (folder / "docs.tsv").write_text("x\n" * count)
    (folder / "en.txt").write_text("".join(f"en{number}\n" for number in range(count)))
    (folder / "zh.txt").write_text("".join(f"zh{number}\n" for number in range(count)))

    def included(probability):
        rows = NtrexReader(folder, span=1, include_query=probability).rows()
        return [
            all(row.passages[language].startswith(row.queries[language]) for language in ("en", "zh")) for row in rows
        ]

    third = included(0.3)
    assert third == included(0.3)
    assert 0.25 < sum(third) / len(third) < 0.35
    assert not any(included(0.0))
    assert all(included(1.0))


def test_files_that_are_not_aligned_are_named(folder):
    zh = folder / "zh.txt"
    lines = zh.read_bytes().splitlines(keepends=True)
    reader = NtrexReader(folder, span=2, include_query=0.0)
    zh.write_bytes(b"".join(lines[:5]))
    with pytest.raises(DataError, match=r"zh\.txt:5: the file ends here, but .*docs\.tsv has 6 lines"):
        list(reader.rows())
    zh.write_bytes(b"".join([*lines, b"more\n"]))
    with pytest.raises(DataError, match=r"zh\.txt:7: more lines"):
        list(reader.rows())
    zh.write_bytes(b"".join([*lines[:2], b" \n", *lines[3:]]))
    with pytest.raises(DataError, match=r"zh\.txt:3: blank line"):
        list(reader.rows())
    zh.write_bytes(b"".join([*lines[:3], b"\xe4\n", *lines[4:]]))
    with pytest.raises(DataError, match=r"zh\.txt:4: invalid UTF-8"):
        list(reader.rows())


def test_wrong_folders_and_options_are_named(folder):
    (folder / "newstest2019-ref.deu.txt").write_text("x")
    with pytest.raises(DataError, match="unknown language"):
        NtrexReader(folder, span=2, include_query=0.0).fingerprint()
    with pytest.raises(DataError, match=r"no <language>\.txt files.*named de\.txt"):
        NtrexReader(folder / "absent", span=2, include_query=0.0).fingerprint()
    with pytest.raises(ConfigError, match="span is 0"):
        NtrexReader(folder, span=0, include_query=0.0)
    with pytest.raises(ConfigError, match=r"include_query is 1\.5"):
        NtrexReader(folder, span=1, include_query=1.5)


def test_fingerprint_follows_the_options(folder):
    prints = {NtrexReader(folder, span, p).fingerprint() for span in (1, 2) for p in (0.0, 0.5)}
    assert len(prints) == 4
