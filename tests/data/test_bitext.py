import pytest

from mixlingua.data.readers.bitext import BitextReader
from mixlingua.errors import DataError


def write(folder, **files):
    for name, text in files.items():
        (folder / name.replace("_", ".", 1).replace("__", "-").replace("_", ".")).write_bytes(text.encode())
    return folder


@pytest.fixture
def folder(tmp_path):
    """Two pairs of OPUS files, with codes of two and of three letters, and a file that is none of them."""
    write(tmp_path, talks_deu__eng_deu="Ja.\nNein.\n", talks_deu__eng_eng="Yes.\nNo.\n")
    write(tmp_path, talks_en__fa_en="Water\n", talks_en__fa_fa="آب\n")
    (tmp_path / "README").write_text("from OPUS")
    return tmp_path


def test_a_line_is_query_and_passage_in_its_two_languages(folder):
    rows = list(BitextReader(folder).rows())
    assert [row.queries for row in rows] == [
        {"de": "Ja.", "en": "Yes."},
        {"de": "Nein.", "en": "No."},
        {"en": "Water", "fa": "آب"},
    ]
    assert all(row.passages == row.queries and row.passages is not row.queries for row in rows)
    assert [row.id for row in rows] == ["talks.deu-eng:1", "talks.deu-eng:2", "talks.en-fa:1"]
    assert len({row.passage_id for row in rows}) == 3


def test_the_fingerprint_follows_content_and_names(folder):
    before = BitextReader(folder).fingerprint()
    assert before == BitextReader(folder).fingerprint()
    (folder / "talks.en-fa.en").write_text("Waters\n")
    changed = BitextReader(folder).fingerprint()
    for side in ("en", "fa"):
        (folder / f"talks.en-fa.{side}").rename(folder / f"other.en-fa.{side}")
    assert len({before, changed, BitextReader(folder).fingerprint()}) == 3


def test_bad_folders_are_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"no files such as NAME\.de-en\.de.*data\.sources\.bitext\.path"):
        BitextReader(tmp_path / "absent").fingerprint()
    (folder / "talks.en-fa.fa").unlink()
    with pytest.raises(DataError, match=r"talks\.en-fa has one side, talks\.en-fa\.en"):
        BitextReader(folder).fingerprint()
    write(folder, talks_en__fa_fa="آب\nنان\n")
    with pytest.raises(DataError, match=r"talks\.en-fa\.en: the file ends before line 2, which .*talks\.en-fa\.fa has"):
        list(BitextReader(folder).rows())
    (folder / "talks.en-fa.en").write_text("Water\nBread\nSalt\n")
    with pytest.raises(DataError, match=r"talks\.en-fa\.fa: the file ends before line 3, which .*talks\.en-fa\.en has"):
        list(BitextReader(folder).rows())
    write(folder, talks_en__qq_en="Water\n", talks_en__qq_qq="x\n")
    with pytest.raises(DataError, match="unknown language 'qq'"):
        BitextReader(folder).fingerprint()


def test_a_code_that_is_not_understood_is_not_passed_over(folder):
    for side in ("en", "zh_CN"):
        (folder / f"talks.en-zh_CN.{side}").write_text("x\n")
    with pytest.raises(DataError, match=r"talks\.en-zh_CN\.zh_CN: unknown language 'zh_CN'"):
        BitextReader(folder).fingerprint()


def test_lines_that_are_blank_on_a_side_are_left_out_and_counted(folder, caplog):
    (folder / "talks.deu-eng.deu").write_text("Ja.\n \nDoch.\nSo?\n")
    (folder / "talks.deu-eng.eng").write_text("Yes.\nNo.\n\nReally?\n")
    rows = [row for row in BitextReader(folder).rows() if "de" in row.queries]
    assert [(row.id, row.queries["de"], row.queries["en"]) for row in rows] == [
        ("talks.deu-eng:1", "Ja.", "Yes."),
        ("talks.deu-eng:4", "So?", "Really?"),
    ]
    assert "talks.deu-eng: lines left out that are blank on a side: 2." in caplog.text
