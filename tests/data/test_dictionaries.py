"""Files of bilingual dictionaries, as MUSE and PanLex have them."""

import gzip
from pathlib import Path

import pytest

from mixlingua.data.codeswitch.dictionaries import dictionary_files, read_dictionary
from mixlingua.errors import DataError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_several_translations_in_several_lines_and_files(tmp_path: Path) -> None:
    """Space-separated as MUSE's European files, tab-separated as its others; a translation counts once."""
    full = write(tmp_path / "en-de.txt", "the die\nthe der\nthe die\nDog hund\n")
    part = write(tmp_path / "en-de.0-5000.txt", "the\tdas\r\nthe\tdie\n\ncat\tkatze\n")
    assert read_dictionary([part, full], "en") == {
        "the": ("das", "die", "der"), "cat": ("katze",), "dog": ("hund",),
    }  # fmt: skip


def test_a_tab_allows_translations_of_several_words(tmp_path: Path) -> None:
    file = write(tmp_path / "en-de.tsv", "airport\tFlughafen \nice cream\tEis\nsundae\tEisbecher mit Sahne\n")
    found = read_dictionary([file], "en")
    assert found == {"airport": ("Flughafen",), "sundae": ("Eisbecher mit Sahne",)}  # no single word: never looked up


def test_words_are_held_as_they_are_looked_up(tmp_path: Path) -> None:
    file = write(tmp_path / "tr-en.txt", "İstanbul istanbul\nIşık light,\nVie\u0323\u0302t viet\n")
    assert read_dictionary([file], "tr") == {"istanbul": ("istanbul",), "ışık": ("light",), "việt": ("viet",)}


def test_archives_are_read(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "hi-en.txt.gz", "wt", encoding="utf-8") as file:
        file.write("हिन्दी hindi\n")
    ((pair, files),) = dictionary_files(tmp_path).items()
    assert pair == ("hi", "en")
    assert read_dictionary(files, "hi") == {"हिन्दी": ("hindi",)}


def test_lines_without_a_translation_are_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path / "en-de.txt", "the die\nonly\ndog hund\nalone\t\n")
    assert set(read_dictionary([file], "en")) == {"the", "dog"}
    assert f"{file}:2: no translation. Lines left out of this file: 2." in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the die\nice cream eis\n", ":2: 3 words and no tab between the languages; a line is source<TAB>target"),
        ("the\tdie\t0.9\n", ":1: 3 columns; a line is source<TAB>target"),
        ("", ": the file is empty."),
        ("only\nalone\n", ": no entry whose first column is a single word."),
        ("ice cream\tEis\n", ": no entry whose first column is a single word."),
    ],
)
def test_bad_files_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path / "en-de.txt", text)
    with pytest.raises(DataError) as error:
        read_dictionary([file], "en")
    assert str(error.value).startswith(f"{file}{message}")


def test_bad_encoding_and_archives_are_named(tmp_path: Path) -> None:
    (tmp_path / "en-de.txt").write_bytes(b"the die\ndogs h\xfcnde\n")
    with pytest.raises(DataError, match=r"en-de\.txt:2: invalid UTF-8"):
        read_dictionary([tmp_path / "en-de.txt"], "en")
    (tmp_path / "en-de.txt.gz").write_bytes(gzip.compress(b"the die\n" * 99)[:-6])
    with pytest.raises(DataError, match=r"en-de\.txt\.gz:\d+: damaged or incomplete archive"):
        read_dictionary([tmp_path / "en-de.txt.gz"], "en")


def test_names_say_the_languages(tmp_path: Path) -> None:
    names = ["en-de.txt", "en-de.5000-6500.txt", "en-de.0-5000.txt", "en-zh-Hant.tsv", "zh-Hant-en.txt.gz"]
    others = ["OPUS_en_it_europarl_test.txt", "eng-deu.tsv", "en-en.txt", "en-de.csv", "README.md"]
    for name in [*names, *others]:
        write(tmp_path / name, "a b\n")
    found = {pair: [file.name for file in files] for pair, files in dictionary_files(tmp_path).items()}
    assert found == {
        ("en", "de"): ["en-de.0-5000.txt", "en-de.5000-6500.txt", "en-de.txt"],
        ("en", "zh-Hant"): ["en-zh-Hant.tsv"],
        ("zh-Hant", "en"): ["zh-Hant-en.txt.gz"],
    }


def test_a_folder_without_dictionaries_is_refused_with_the_ways_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none: no such folder of dictionaries\. Get https://.*augmentation\.path"):
        dictionary_files(tmp_path / "none")
    write(tmp_path / "eng-deu.tsv", "a b\n")
    with pytest.raises(DataError, match=r"no file with a name such as en-de\.txt\. Get https://"):
        dictionary_files(tmp_path)
