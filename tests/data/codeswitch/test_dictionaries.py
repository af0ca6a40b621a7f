"""Which words a text has, and dictionaries as MUSE, PanLex and FreeDict have them."""

import gzip

import pytest

from mixlingua.data.codeswitch.dictionaries import (
    WORD,
    dictionary_files,
    in_case_of,
    is_spaced,
    looked_up,
    read_dictionary,
    read_files,
)
from mixlingua.errors import DataError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The dog's well-known “bark” (19th c., 1990).", ["The", "dog's", "well", "known", "bark", "19th", "c"]),
        ("L’eau, c'est 'rien'!", ["L’eau", "c'est", "rien"]),
        ("हिन्दी में क्या है?", ["हिन्दी", "में", "क्या", "है"]),  # vowel signs and virama are marks, not letters
        ("ما هي عاصمةُ مصر؟", ["ما", "هي", "عاصمةُ", "مصر"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # a zero-width non-joiner inside a Persian word
        ("Где Ёлка?", ["Где", "Ёлка"]),
        ("Vie\u0323\u0302t", ["Vie\u0323\u0302t"]),  # decomposed
        ("snake_case @name 3.14", ["snake", "case", "name"]),
        ("", []),
    ],
)
def test_words_of_several_scripts(text, words):
    assert WORD.findall(text) == words


@pytest.mark.parametrize(
    ("word", "language", "form"),
    [
        ("Hund", "de", "hund"),
        ("Vie\u0323\u0302t", "vi", "việt"),
        ("ISPARTA", "tr", "ısparta"),
        ("İstanbul", "tr", "istanbul"),
        ("ISTANBUL", "en", "istanbul"),
        ("İstanbul", "en", "istanbul"),  # Python alone leaves a dot behind
        ("ΟΔΟΣ", "el", "οδος"[:-1] + "ς"),
        ("Don’t", "en", "don't"),
    ],
)
def test_the_form_that_is_looked_up(word, language, form):
    assert looked_up(word, language) == form


@pytest.mark.parametrize(
    ("word", "replacement", "language", "result"),
    [
        ("dog", "Hund", "de", "Hund"),
        ("Dog", "köpek", "tr", "Köpek"),
        ("DOG", "köpek", "tr", "KÖPEK"),
        ("Is", "ile", "tr", "İle"),
        ("IS", "ile ısı", "tr", "İLE ISI"),
        ("Is", "ile", "de", "Ile"),
        ("I", "ich", "de", "Ich"),  # one capital is a capital first
        ("McCoy", "hund", "de", "Hund"),
        ("iPhone", "telefon", "de", "telefon"),
        ("Dog", "कुत्ता", "hi", "कुत्ता"),
        ("DOG", "狗", "zh", "狗"),
        ("कुत्ता", "dog", "en", "dog"),
    ],
)
def test_a_replacement_takes_over_the_case(word, replacement, language, result):
    assert in_case_of(word, replacement, language) == result


def test_which_languages_have_spaces_between_words():
    unspaced = ["zh", "zh-Hant", "ja", "th", "lo", "km", "my", "bo"]
    assert [code for code in [*unspaced, "ko", "vi", "hi", "ar", "en", "hi-Latn"] if not is_spaced(code)] == unspaced


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_several_translations_in_several_lines_and_files(tmp_path):
    """Space-separated as MUSE's European files, tab-separated as its others; a translation counts once."""
    full = write(tmp_path / "en-de.txt", "the die\nthe der\nthe die\nDog hund\n")
    part = write(tmp_path / "en-de.0-5000.txt", "the\tdas\r\nthe\tdie\n\ncat\tkatze\n")
    assert read_dictionary([part, full], "en") == {
        "the": ("das", "die", "der"), "cat": ("katze",), "dog": ("hund",),
    }  # fmt: skip


def test_a_tab_allows_translations_of_several_words(tmp_path):
    file = write(tmp_path / "en-de.tsv", "airport\tFlughafen \nice cream\tEis\nsundae\tEisbecher mit Sahne\n")
    # "ice cream" is no single word, and so never looked up.
    assert read_dictionary([file], "en") == {"airport": ("Flughafen",), "sundae": ("Eisbecher mit Sahne",)}


def test_words_are_held_as_they_are_looked_up(tmp_path):
    file = write(tmp_path / "tr-en.txt", "İstanbul istanbul\nIşık light,\nVie\u0323\u0302t viet\n")
    assert read_dictionary([file], "tr") == {"istanbul": ("istanbul",), "ışık": ("light",), "việt": ("viet",)}


def test_archives_are_read(tmp_path):
    with gzip.open(tmp_path / "hi-en.txt.gz", "wt", encoding="utf-8") as file:
        file.write("हिन्दी hindi\n")
    ((pair, files),) = dictionary_files(tmp_path).items()
    assert pair == ("hi", "en")
    assert read_dictionary(files, "hi") == {"हिन्दी": ("hindi",)}


def test_lines_without_a_translation_are_left_out_and_said(tmp_path, caplog):
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
def test_bad_files_are_named_with_their_line(tmp_path, text, message):
    file = write(tmp_path / "en-de.txt", text)
    with pytest.raises(DataError) as error:
        read_dictionary([file], "en")
    assert str(error.value).startswith(f"{file}{message}")


def test_bad_encoding_and_archives_are_named(tmp_path):
    (tmp_path / "en-de.txt").write_bytes(b"the die\ndogs h\xfcnde\n")
    with pytest.raises(DataError, match=r"en-de\.txt:2: invalid UTF-8"):
        read_dictionary([tmp_path / "en-de.txt"], "en")
    (tmp_path / "en-de.txt.gz").write_bytes(gzip.compress(b"the die\n" * 99)[:-6])
    with pytest.raises(DataError, match=r"en-de\.txt\.gz:\d+: damaged or incomplete archive"):
        read_dictionary([tmp_path / "en-de.txt.gz"], "en")


def test_names_say_the_languages(tmp_path):
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


def test_a_folder_without_dictionaries_is_refused_with_the_ways_out(tmp_path):
    with pytest.raises(DataError, match=r"none: no such folder of dictionaries\. Get https://.*augmentation\.path"):
        dictionary_files(tmp_path / "none")
    write(tmp_path / "eng-deu.tsv", "a b\n")
    with pytest.raises(DataError, match=r"no file with a name such as en-de\.txt\. Get https://"):
        dictionary_files(tmp_path)


# FreeDict: entries made by hand after those of Debian's packages

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def in_base_64(number):
    return (in_base_64(number // 64) if number >= 64 else "") + DIGITS[number % 64]


def freedict(folder, entries, name="freedict-eng-deu", *, packed=True):
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
def test_translations_of_an_entry(tmp_path, entry, expected):
    headword = entry.split()[0]
    assert read_dictionary([freedict(tmp_path, [(headword, entry)])], "en") == {headword: expected}


def test_words_with_several_entries_or_forms_and_packed_or_not(tmp_path):
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
    assert read_dictionary([freedict(tmp_path, entries)], "en") == expected
    assert read_dictionary([freedict(tmp_path, entries, packed=False)], "en") == expected


def test_names_say_the_languages_in_three_letters(tmp_path):
    for name in ("freedict-eng-deu", "freedict-ell-eng", "freedict-kha-eng", "wn"):
        freedict(tmp_path, [("a", "a\nb\n")], name)
    assert set(dictionary_files(tmp_path)) == {("en", "de"), ("el", "en")}  # Khasi has no two-letter code


def test_the_index_belongs_to_what_is_read(tmp_path):
    file, plain = freedict(tmp_path, [("a", "a\nb\n")]), tmp_path / "en-de.txt"
    assert read_files([plain, file]) == [plain, file, tmp_path / "freedict-eng-deu.index"]


def test_files_that_do_not_fit_are_named(tmp_path):
    file = freedict(tmp_path, [("river", "river\nFluss\n")])
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
    file = freedict(tmp_path, [("river", "river\nFluss\n")])
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"dict\.dz: damaged or incomplete archive"):
        read_dictionary([file], "en")
    with pytest.raises(DataError, match=r"no entry whose first column is a single word"):
        read_dictionary([freedict(tmp_path, [("ice cream", "ice cream\nEis\n")])], "en")
