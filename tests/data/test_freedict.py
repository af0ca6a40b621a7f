"""FreeDict's dictionaries in dictd's format: entries made by hand after those of Debian's packages."""

import gzip
from pathlib import Path

import pytest

from mixlingua.data.codeswitch.dictionaries import dictionary_files, read_dictionary, read_files
from mixlingua.errors import DataError

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def in_base_64(number: int) -> str:
    return (in_base_64(number // 64) if number >= 64 else "") + DIGITS[number % 64]


def write(folder: Path, entries: list[tuple[str, str]], name: str = "freedict-eng-deu", *, packed: bool = True) -> Path:
    """Entries with their headwords in the index, as name.dict.dz and name.index."""
    content, index = b"\nabout this file " * 5, [f"00databaseinfo\tB\t{in_base_64(50)}"]
    for headword, entry in entries:
        raw = entry.encode()
        index.append(f"{headword}\t{in_base_64(len(content))}\t{in_base_64(len(raw))}")
        content += raw
    (folder / f"{name}.index").write_text("\n".join(sorted(index)) + "\n", encoding="utf-8")
    file = folder / (f"{name}.dict.dz" if packed else f"{name}.dict")
    file.write_bytes(gzip.compress(content) if packed else content)
    return file


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("river /ɹˈɪvə/\nFluss <masc> [geogr.]\n      \"clear river\"  - klar\n\n see: {rivers}\n", ("Fluss",)),
        ("end /ˈɛnd/ <v>\nbeendigen, beenden, abschließen <v, trans>\n", ("beendigen", "beenden", "abschließen")),
        ("can /kˈan/ <V>\n1. सकना\n      \"I can do any work.\"\n2. कैन~में~रखना\n", ("सकना", "कैन में रखना")),
        ("river\n1. ırmak, nehir. river bed ırmak yatağı. river road yol.\n", ("ırmak", "nehir")),
        ("anger /ˈaŋɡə/\n\nοργή, θυμός\n", ("οργή", "θυμός")),
        ("can\n1. (ed, -ning) konserve kutusu\n2. 3 şey\n3. işine hemen son vermek\n", ("konserve kutusu",)),
        ("the\nel\nLaHaya\nLosPaísesBajos, la\n", ("el", "la")),
        ("vivid\nविकास{दीर्घकालीन~ग\n", ("विकास",)),
        ("one\nعشرة، واحد؛ أحد\n", ("عشرة", "واحد", "أحد")),
        ("name\nO'Brien, Karl-Heinz\n", ("O'Brien", "Karl-Heinz")),
    ],
)  # fmt: skip
def test_translations_of_an_entry(tmp_path: Path, entry: str, expected: tuple[str, ...]) -> None:
    headword = entry.split()[0]
    assert read_dictionary([write(tmp_path, [(headword, entry)])], "en") == {headword: expected}


def test_words_with_several_entries_or_forms_and_packed_or_not(tmp_path: Path) -> None:
    entries = [
        ("the", "the /ðə/\ndas <art>\n"),
        ("the", "the /ðə/\nder <art>\n"),
        ("city", "City /ˈsɪti/\nStadt\n"),
        ("government", "government /ɡˈ/ (Gov. /ɡ/)\nRegierung\n"),
        ("colour", "colour, color /k/\nFarbe\n"),
        ("color", "colour, color /k/\nFarbe\n"),
        ("hague", "The Hague /h/\nDen Haag\n"),  # indexed by one of its words
        ("ice cream", "ice cream /h/\nEis\n"),
    ]
    expected = {
        "the": ("das", "der"), "city": ("Stadt",), "government": ("Regierung",), "colour": ("Farbe",),
        "color": ("Farbe",),
    }  # fmt: skip
    assert read_dictionary([write(tmp_path, entries)], "en") == expected
    assert read_dictionary([write(tmp_path, entries, packed=False)], "en") == expected


def test_names_say_the_languages_in_three_letters(tmp_path: Path) -> None:
    for name in ("freedict-eng-deu", "freedict-ell-eng", "freedict-kha-eng", "wn"):
        write(tmp_path, [("a", "a\nb\n")], name)
    assert set(dictionary_files(tmp_path)) == {("en", "de"), ("el", "en")}  # Khasi has no two-letter code


def test_the_index_belongs_to_what_is_read(tmp_path: Path) -> None:
    file, plain = write(tmp_path, [("a", "a\nb\n")]), tmp_path / "en-de.txt"
    assert read_files([plain, file]) == [plain, file, tmp_path / "freedict-eng-deu.index"]


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    file = write(tmp_path, [("river", "river\nFluss\n")])
    index = tmp_path / "freedict-eng-deu.index"
    index.write_text("river\tB\tBAAA\n")
    with pytest.raises(DataError, match=r"index:1: 'river' lies outside .*dict\.dz\. Install both"):
        read_dictionary([file], "en")
    for line in ("river\tB\n", "river\n", "river\t-1\tB\n", "river\t\tB\n"):
        index.write_text(line)
        with pytest.raises(DataError, match=r"index:1: not a line of headword, start and length"):
            read_dictionary([file], "en")
    index.unlink()
    with pytest.raises(DataError, match=r"freedict-eng-deu\.index: no such file"):
        read_dictionary([file], "en")
    file = write(tmp_path, [("river", "river\nFluss\n")])
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"dict\.dz: damaged or incomplete archive"):
        read_dictionary([file], "en")
    with pytest.raises(DataError, match=r"no entry whose first column is a single word"):
        read_dictionary([write(tmp_path, [("ice cream", "ice cream\nEis\n")])], "en")
