"""Bilingual dictionaries: which a folder holds, how their files are read, and in what form words are looked up.

Files are lines of `source<TAB>target`, as MUSE and PanLex have them, or FreeDict's. A file's name says its languages.
Source: Conneau, Lample et al. 2017, arXiv 1710.04087, github.com/facebookresearch/MUSE (the files called en-de.txt).
"""

import logging
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import regex

from mixlingua.errors import DataError
from mixlingua.languages import script, two_letter
from mixlingua.reading import read_lines, read_whole

logger = logging.getLogger(__name__)

Dictionary = dict[str, tuple[str, ...]]  # a word in the form in which it is looked up -> its translations

WHERE_FROM = (
    "Get https://dl.fbaipublicfiles.com/arrival/dictionaries/en-de.txt and its like (MUSE), or put source<TAB>target "
    "files named so there (docs/codeswitch.md); or set augmentation.path, such as /usr/share/dictd after `apt install "
    "dict-freedict-eng-deu`, or paths.data"
)
_CODE = r"([a-z]{2}(?:-[A-Z][a-z]{3})?)"
_NAMES = (
    re.compile(rf"{_CODE}-{_CODE}(?:\.\d+-\d+)?\.(?:txt|tsv)(?:\.gz)?"),
    re.compile(r"freedict-([a-z]{3})-([a-z]{3})\.dict(?:\.dz)?"),
)


def dictionary_files(folder: Path) -> dict[tuple[str, str], list[Path]]:
    """(source language, target language) -> its files, in alphabetical order, of a folder.

    Names are `en-de.txt`, `en-de.0-5000.txt` (parts, as MUSE has them) or `en-de.tsv`, each also with .gz, or
    `freedict-eng-deu.dict.dz`, also unpacked; other files are passed over. Raises DataError where the folder is missing
    or has none.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of dictionaries. {WHERE_FROM}.")
    files: dict[tuple[str, str], list[Path]] = {}
    for file in sorted(folder.iterdir()):
        for name in filter(None, (pattern.fullmatch(file.name) for pattern in _NAMES)):
            source, target = map(two_letter, name.groups())
            if source != target and all(len(code.partition("-")[0]) == 2 for code in (source, target)):
                files.setdefault((source, target), []).append(file)
    if not files:
        raise DataError(f"{folder}: no dictionary, that is, no file with a name such as en-de.txt. {WHERE_FROM}.")
    return files


def read_dictionary(files: Sequence[Path], source: str) -> Dictionary:
    """Word of the language `source` -> its translations, each once, in the order of the files.

    Words are held as they are looked up (`looked_up`); what is no single word (`WORD`) could not be, and is passed
    over. Raises DataError with file and line for what cannot be read, and where no entry is left.
    """
    entries: dict[str, dict[str, None]] = {}
    for file in files:
        for word, translation in _freedict(file) if _is_freedict(file) else _lines(file):
            if WORD.fullmatch(word):
                entries.setdefault(looked_up(word, source), {})[translation] = None
    if not entries:
        raise DataError(f"{files[0]}: no entry whose first column is a single word. Lines are source<TAB>target.")
    return {word: tuple(translations) for word, translations in entries.items()}


def read_files(files: Sequence[Path]) -> list[Path]:
    """All that `read_dictionary` reads of these files: FreeDict's have their index beside them."""
    return [each for file in files for each in ([file, _index_of(file)] if _is_freedict(file) else [file])]


def _is_freedict(file: Path) -> bool:
    return ".dict" in file.suffixes


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    """Words and translations of a file of lines, `word<TAB>translation` or `word translation`.

    Only with a tab may a translation have several words. Lines without a translation, which MUSE has, are logged.
    Raises DataError with file and line for lines of another form.
    """
    skipped = []
    for number, line in read_lines(file):
        if line.strip():
            word, translation = _entry(line, f"{file}:{number}")
            if translation:
                yield word, translation
            else:
                skipped.append(number)
    if skipped:
        logger.warning("%s:%d: no translation. Lines left out of this file: %d.", file, skipped[0], len(skipped))


def _entry(line: str, where: str) -> tuple[str, str]:
    """A line's word and its translation, which may be empty, without the commas at their ends that MUSE has."""
    fields = line.split("\t") if "\t" in line else line.split()
    if len(fields) > 2:
        what = f"{len(fields)} columns" if "\t" in line else f"{len(fields)} words and no tab between the languages"
        raise DataError(f"{where}: {what}; a line is source<TAB>target, with one translation. Split it into several.")
    word, translation = [*fields, ""][:2]
    return word.strip(" ,"), translation.strip(" ,")


# Words of texts: runs of letters with their marks, joiners and digits. An apostrophe between letters belongs to the
# word, as in Unicode's word boundaries (UAX #29). Without marks and joiners, words of Hindi would be cut apart.
WORD = regex.compile(r"\p{N}*\p{L}[\p{L}\p{M}\p{N}\u200c\u200d]*(?:['’]\p{L}[\p{L}\p{M}\p{N}\u200c\u200d]*)*")
_UNSPACED = {"Hani", "Hans", "Hant", "Jpan", "Hira", "Kana", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"}
_DOTTED_I = ("tr", "az")  # languages in which I is the capital of ı, and İ that of i


def is_spaced(language: str) -> bool:
    """Whether a language puts spaces between words (some, between syllables), so that WORD finds them."""
    return script(language) not in _UNSPACED


def looked_up(word: str, language: str) -> str:
    """The form of a word under which a dictionary of its language holds it: lower case, composed (NFC)."""
    word = unicodedata.normalize("NFC", word)
    if language in _DOTTED_I:
        word = word.replace("I", "ı").replace("İ", "i")
    return word.lower().replace("i̇", "i").replace("’", "'")


def in_case_of(word: str, replacement: str, language: str) -> str:
    """The replacement, a word of `language`, in the case of the word: all capitals, a capital first, or as it is."""
    if len(word) > 1 and word.isupper():
        return (replacement.replace("i", "İ") if language in _DOTTED_I else replacement).upper()
    if word[0].isupper():
        first = "İ" if replacement[0] == "i" and language in _DOTTED_I else replacement[0].title()
        return first + replacement[1:]
    return replacement


# FreeDict, in the format of dictd: a file of entries for readers, and an index of headwords.
_DIGITS = {
    digit: value for value, digit in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}
_ABOUT_ITSELF = "00database"  # headwords of what the file says of itself
_ANNOTATION = re.compile(r"<[^>]*>|\[[^]]*\]|\([^)]*\)|\{[^}]*\}?|^\d+\.\s*")
_PRONOUNCED = re.compile(r"\s+[/<(]")  # what follows the headword: pronunciation, part of speech
_BETWEEN = re.compile(r"[,;،؛]")
_TRANSLATION = regex.compile(r"\p{L}[\p{L}\p{M}\u200c\u200d'’-]*(?: \p{L}[\p{L}\p{M}\u200c\u200d'’-]*){0,2}")
_GLUED = regex.compile(r"\p{Ll}\p{Lu}")


def _freedict(file: Path) -> Iterator[tuple[str, str]]:
    """Pairs of a word and a translation, of a .dict or .dict.dz file with its .index beside it.

    Headwords of several words, and index entries for one word of these, are passed over. Translations are the pieces
    between commas of an entry's unindented lines, without what stands in brackets. A line ends for us at its first full
    stop, after which some files have idioms. Left out are pieces of more than three words, which are explanations, and
    words that have lost the spaces between them, such as LaHaya.
    Raises DataError where a file is missing or damaged, or an entry lies outside of it.
    """
    content = read_whole(file)
    index = _index_of(file)
    for number, line in read_lines(index):
        headword, *location = line.split("\t")
        if not headword or " " in headword or headword.startswith(_ABOUT_ITSELF):
            continue
        start, length = _located(location, f"{index}:{number}")
        if start + length > len(content):
            raise DataError(f"{index}:{number}: '{headword}' lies outside {file}. Install both files again.")
        first, *lines = content[start : start + length].decode("utf-8", errors="replace").split("\n")
        if headword.casefold() in map(str.strip, _BETWEEN.split(_PRONOUNCED.split(first, 1)[0].casefold())):
            for line in lines:
                yield from ((headword, translation) for translation in _translations(line))


def _index_of(file: Path) -> Path:
    """The file that says where in a .dict or .dict.dz file each word stands."""
    return file.with_name(file.name.partition(".dict")[0] + ".index")


def _located(fields: list[str], where: str) -> tuple[int, int]:
    """Start and length in bytes, which the index has in base 64."""
    if len(fields) < 2 or not all(field and set(field) <= _DIGITS.keys() for field in fields[:2]):
        raise DataError(f"{where}: not a line of headword, start and length. Install the file again.")
    start, length = (
        sum(_DIGITS[digit] << 6 * position for position, digit in enumerate(reversed(field))) for field in fields[:2]
    )
    return start, length


def _translations(line: str) -> Iterator[str]:
    if line[:1].strip():
        plain = _ANNOTATION.sub("", line).replace("~", " ").partition(". ")[0].strip(" .")
        for piece in _BETWEEN.split(plain):
            translation = " ".join(piece.split())
            if _TRANSLATION.fullmatch(translation) and not _GLUED.search(translation):
                yield translation
