"""Bilingual dictionaries: files of `source<TAB>target` lines named by their languages, as from MUSE or PanLex.

Source: Conneau, Lample et al. 2017, arXiv 1710.04087, github.com/facebookresearch/MUSE (the files called en-de.txt).
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from mixlingua.data.readers.lines import read_lines
from mixlingua.data.words import WORD, looked_up
from mixlingua.errors import DataError

log = logging.getLogger(__name__)

Dictionary = dict[str, tuple[str, ...]]

WHERE_FROM = (
    "Get https://dl.fbaipublicfiles.com/arrival/dictionaries/en-de.txt and its like (MUSE), or put source<TAB>target "
    "files named so there (docs/codeswitch.md); or set augmentation.path or paths.data"
)
_CODE = r"([a-z]{2}(?:-[A-Z][a-z]{3})?)"
_NAME = re.compile(rf"{_CODE}-{_CODE}(?:\.\d+-\d+)?\.(?:txt|tsv)(?:\.gz)?")


def dictionary_files(folder: Path) -> dict[tuple[str, str], list[Path]]:
    """(source language, target language) -> its files, in alphabetical order, of a folder.

    Names are `en-de.txt`, `en-de.0-5000.txt` (parts, as MUSE has them) or `en-de.tsv`, each also with .gz; other files
    are passed over. Raises DataError where the folder is missing or has none.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of dictionaries. {WHERE_FROM}.")
    found: dict[tuple[str, str], list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if (name := _NAME.fullmatch(file.name)) and name[1] != name[2]:
            found.setdefault((name[1], name[2]), []).append(file)
    if not found:
        raise DataError(f"{folder}: no dictionary, that is, no file with a name such as en-de.txt. {WHERE_FROM}.")
    return found


def read_dictionary(files: Sequence[Path], source: str) -> Dictionary:
    """Word of the language `source` -> its translations, each once, in the order of the files.

    A line is `word<TAB>word` or `word word`; only with a tab may a translation have several words. Words are held as
    they are looked up (`looked_up`); what is no single word (`WORD`) could not be, and is passed over. Commas at the
    ends go: some of MUSE's translations have them. Lines without a translation, which MUSE has too, are logged.
    Raises DataError with file and line for lines of another form, and where no entry is left.
    """
    entries: dict[str, list[str]] = {}
    for file in files:
        lacking = []
        for number, line in read_lines(file):
            if not line.strip():
                continue
            word, translation = _entry(line, f"{file}:{number}")
            if not translation:
                lacking.append(number)
            elif WORD.fullmatch(word):
                translations = entries.setdefault(looked_up(word, source), [])
                if translation not in translations:
                    translations.append(translation)
        if lacking:
            log.warning("%s:%d: no translation. Lines left out of this file: %d.", file, lacking[0], len(lacking))
    if not entries:
        raise DataError(f"{files[0]}: no entry whose first column is a single word. Lines are source<TAB>target.")
    return {word: tuple(translations) for word, translations in entries.items()}


def _entry(line: str, where: str) -> tuple[str, str]:
    """A line's word and its translation, which may be empty."""
    fields = line.split("\t") if "\t" in line else line.split()
    if len(fields) > 2:
        what = f"{len(fields)} columns" if "\t" in line else f"{len(fields)} words and no tab between the languages"
        raise DataError(f"{where}: {what}; a line is source<TAB>target, with one translation. Split it into several.")
    word, translation = [*fields, ""][:2]
    return word.strip(" ,"), translation.strip(" ,")
