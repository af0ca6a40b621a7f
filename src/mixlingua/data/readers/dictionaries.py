"""Bilingual dictionaries: files of `source<TAB>target` lines, as from MUSE or PanLex, and FreeDict's, by their names.

Source: Conneau, Lample et al. 2017, arXiv 1710.04087, github.com/facebookresearch/MUSE (the files called en-de.txt).
"""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mixlingua.data.readers.freedict import index_of, read_freedict
from mixlingua.data.readers.lines import read_lines
from mixlingua.data.words import WORD, looked_up
from mixlingua.errors import DataError
from mixlingua.languages import two_letter

log = logging.getLogger(__name__)

Dictionary = dict[str, tuple[str, ...]]

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
    found: dict[tuple[str, str], list[Path]] = {}
    for file in sorted(folder.iterdir()):
        for name in filter(None, (pattern.fullmatch(file.name) for pattern in _NAMES)):
            source, target = map(two_letter, name.groups())
            if source != target and all(len(code.partition("-")[0]) == 2 for code in (source, target)):
                found.setdefault((source, target), []).append(file)
    if not found:
        raise DataError(f"{folder}: no dictionary, that is, no file with a name such as en-de.txt. {WHERE_FROM}.")
    return found


def read_dictionary(files: Sequence[Path], source: str) -> Dictionary:
    """Word of the language `source` -> its translations, each once, in the order of the files.

    Words are held as they are looked up (`looked_up`); what is no single word (`WORD`) could not be, and is passed
    over. Raises DataError with file and line for what cannot be read, and where no entry is left.
    """
    entries: dict[str, dict[str, None]] = {}
    for file in files:
        for word, translation in read_freedict(file) if _is_freedict(file) else _columns(file):
            if WORD.fullmatch(word):
                entries.setdefault(looked_up(word, source), {})[translation] = None
    if not entries:
        raise DataError(f"{files[0]}: no entry whose first column is a single word. Lines are source<TAB>target.")
    return {word: tuple(translations) for word, translations in entries.items()}


def read_files(files: Sequence[Path]) -> list[Path]:
    """All that `read_dictionary` reads of these files: FreeDict's have their index beside them."""
    return [part for file in files for part in ([file, index_of(file)] if _is_freedict(file) else [file])]


def _is_freedict(file: Path) -> bool:
    return ".dict" in file.suffixes


def _columns(file: Path) -> Iterator[tuple[str, str]]:
    """Words and translations. A line is `word<TAB>word` or `word word`; only with a tab may a translation have several
    words. Commas at the ends go: some of MUSE's translations have them. Lines without a translation, which MUSE has
    too, are logged. Raises DataError with file and line for lines of another form."""
    lacking = []
    for number, line in read_lines(file):
        if line.strip():
            word, translation = _entry(line, f"{file}:{number}")
            if translation:
                yield word, translation
            else:
                lacking.append(number)
    if lacking:
        log.warning("%s:%d: no translation. Lines left out of this file: %d.", file, lacking[0], len(lacking))


def _entry(line: str, where: str) -> tuple[str, str]:
    """A line's word and its translation, which may be empty."""
    fields = line.split("\t") if "\t" in line else line.split()
    if len(fields) > 2:
        what = f"{len(fields)} columns" if "\t" in line else f"{len(fields)} words and no tab between the languages"
        raise DataError(f"{where}: {what}; a line is source<TAB>target, with one translation. Split it into several.")
    word, translation = [*fields, ""][:2]
    return word.strip(" ,"), translation.strip(" ,")
