"""The messages of Chromium, which its makers had translated into dozens of languages, as parallel text.

Every Chrome or Chromium has them as `locales/<locale>.pak`; so does Qt WebEngine, which is PyQt6-WebEngine-Qt6 on PyPI.
Licence of the texts: BSD-3-Clause, The Chromium Authors.
"""

import html
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from mixlingua.data.readers.datapack import read_datapack
from mixlingua.data.rows import PairRow
from mixlingua.errors import ConfigError, DataError
from mixlingua.files import content_hash
from mixlingua.languages import known_languages

VERSION = "1"
PACKAGE = "PyQt6-WebEngine-Qt6"
INSTALL = f"pip install {PACKAGE}==6.11.2"
IN_PACKAGE = "PyQt6/Qt6/translations/qtwebengine_locales"
# What is left of several spellings of a language, in the order of preference; other locales are named as the language.
LOCALES = {"en": ("en-US", "en-GB"), "zh": ("zh-CN",), "zh-Hant": ("zh-TW",), "pt": ("pt-BR", "pt-PT")}

_BREAK = re.compile(r"</?(?:br|div|h\d|li|ol|p|ul)\b[^>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?\w[^>]*>")
_PLACEHOLDER = re.compile(r"\$\d|\{[A-Z0-9_]+\}")
_BY_NUMBER = re.compile(r",\s*(?:plural|select|selectordinal)\s*,")
_ACCELERATOR = re.compile(r"\(&\w\)|&(?=\w)(?!\w+;)")  # not the & of an entity such as &amp;
_WORD = re.compile(r"[^\W\d_]{2,}")


class ChromiumReader:
    """A row for each message of at least min_words English words, in the languages that have a translation of it.

    path: a folder of `<locale>.pak` files of one version; None: that of the installed package PyQt6-WebEngine-Qt6.
    The message is query and passage alike: text to learn translations from, in cross-lingual batches or by
    distillation; in a batch of one language, a query would ask for itself. Markup and keyboard accelerators are taken
    out, placeholders become "…"; messages with a form for each number are left out, and so is all but the first of
    those with the same English text. A translation that equals the English text is none.
    """

    def __init__(self, path: str | Path | None, min_words: int, name: str = "chromium") -> None:
        if min_words < 1:
            raise ConfigError(f"data.sources.{name}.min_words is {min_words}; it must be at least 1.")
        self.name = name
        self.path = None if path is None else Path(path)
        self.min_words = min_words

    def fingerprint(self) -> str:
        """A hash of the files' content and the options. Raises DataError where the folder, or English, is missing."""
        files = self._files()
        return content_hash("chromium", VERSION, f"{self.min_words} {' '.join(files)}", *files.values())

    def rows(self) -> Iterator[PairRow]:
        """The rows in the order of the messages' numbers. Raises DataError for a file that is no data pack."""
        messages = {language: read_datapack(file) for language, file in self._files().items()}
        seen = set()
        for number, message in sorted(messages["en"].items()):
            english = as_text(message)
            if english is None or len(_WORD.findall(english)) < self.min_words or english in seen:
                continue
            seen.add(english)
            texts = {"en": english}
            for language, translated in messages.items():
                text = as_text(translated[number]) if number in translated else None
                if text and text != english:
                    texts[language] = text
            yield PairRow(id=str(number), queries=texts, passages=dict(texts), passage_id=str(number))

    def _files(self) -> dict[str, Path]:
        folder = self._folder()
        found = {file.stem: file for file in sorted(folder.glob("*.pak"))}
        files = {locale: file for locale, file in found.items() if locale in known_languages()}
        for language, locales in LOCALES.items():
            if locale := next((locale for locale in locales if locale in found), None):
                files[language] = found[locale]
        if "en" not in files:
            raise DataError(
                f"{folder}: {'no en-US.pak or en-GB.pak' if found else 'no <locale>.pak files'}. Give the folder "
                f"'locales' of a Chrome or Chromium as data.sources.{self.name}.path, or null after: {INSTALL}"
            )
        return files

    def _folder(self) -> Path:
        if self.path is not None:
            return self.path
        try:
            return Path(str(distribution(PACKAGE).locate_file(IN_PACKAGE)))
        except PackageNotFoundError:
            raise DataError(
                f"data.sources.{self.name}.path is null, and the package {PACKAGE}, which has Chromium's messages, is "
                f"not installed. Run: {INSTALL} (116 MB), or set it to the folder 'locales' of a Chrome or Chromium."
            ) from None


def as_text(message: str) -> str | None:
    """What a reader of the message sees, on one line; None for one with a form for each number."""
    if _BY_NUMBER.search(message):
        return None
    text = _ACCELERATOR.sub("", _TAG.sub("", _BREAK.sub(" ", message)))
    return " ".join(_PLACEHOLDER.sub("…", html.unescape(text)).split())
