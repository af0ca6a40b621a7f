"""FreeDict's dictionaries as Linux distributions package them: freedict-eng-deu.index and .dict.dz, in dictd's format.

Source: the format of RFC 2229's reference server, dictfmt(1); freedict.org, GPL (Debian: dict-freedict-eng-deu).
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import regex

from mixlingua.data.readers.lines import open_binary, read_lines
from mixlingua.errors import DataError

_DIGITS = {
    digit: value for value, digit in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}
_OWN = "00database"  # headwords of what the file says of itself
_ANNOTATION = re.compile(r"<[^>]*>|\[[^]]*\]|\([^)]*\)|\{[^}]*\}?|^\d+\.\s*")
_PRONOUNCED = re.compile(r"\s+[/<(]")  # what follows the headword: pronunciation, part of speech
_BETWEEN = re.compile(r"[,;،؛]")
_TRANSLATION = regex.compile(r"\p{L}[\p{L}\p{M}\u200c\u200d'’-]*(?: \p{L}[\p{L}\p{M}\u200c\u200d'’-]*){0,2}")
_GLUED = regex.compile(r"\p{Ll}\p{Lu}")


def read_freedict(file: Path) -> Iterator[tuple[str, str]]:
    """Words and their translations, one of each a time, of a .dict or .dict.dz file with its .index beside it.

    Headwords of several words, and index entries for one word of these, are passed over. A translation is a piece of an
    entry's unindented lines, between commas, up to the first full stop, after which some files have idioms, and without
    what stands in brackets. Left out are those of more than three words, which are explanations, and words that have
    lost the spaces between them, such as LaHaya. Raises DataError where a file is missing or damaged, or an entry lies
    outside of it.
    """
    content = _content(file)
    index = index_of(file)
    for number, line in read_lines(index):
        headword, *place = line.split("\t")
        if not headword or " " in headword or headword.startswith(_OWN):
            continue
        start, length = _place(place, f"{index}:{number}")
        if start + length > len(content):
            raise DataError(f"{index}:{number}: '{headword}' lies outside {file}. Install both files again.")
        first, *lines = content[start : start + length].decode("utf-8", errors="replace").split("\n")
        if headword.casefold() in map(str.strip, _BETWEEN.split(_PRONOUNCED.split(first, 1)[0].casefold())):
            for line in lines:
                yield from ((headword, translation) for translation in _translations(line))


def index_of(file: Path) -> Path:
    """The file that says where in a .dict or .dict.dz file each word stands."""
    return file.with_name(file.name.partition(".dict")[0] + ".index")


def _content(file: Path) -> bytes:
    try:
        with open_binary(file) as opened:
            raw = opened.read()
        return gzip.decompress(raw) if file.suffix == ".dz" else raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{file}: damaged or incomplete archive ({error}). Install the file again.") from error


def _place(fields: list[str], where: str) -> tuple[int, int]:
    """Start and length in bytes, which the index has in base 64."""
    if len(fields) < 2 or not all(field and set(field) <= _DIGITS.keys() for field in fields[:2]):
        raise DataError(f"{where}: not a line of headword, start and length. Install the file again.")
    start, length = (
        sum(_DIGITS[digit] << 6 * place for place, digit in enumerate(reversed(field))) for field in fields[:2]
    )
    return start, length


def _translations(line: str) -> Iterator[str]:
    if line[:1].strip():
        plain = _ANNOTATION.sub("", line).replace("~", " ").partition(". ")[0].strip(" .")
        for piece in _BETWEEN.split(plain):
            if _TRANSLATION.fullmatch(found := " ".join(piece.split())) and not _GLUED.search(found):
                yield found
