"""Tatoeba: short sentences with English translations, the bitext test set of LASER (arXiv 1812.10464), to train on."""

import logging
import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from mixlingua.data.public_corpora import fetched_lines, public_files
from mixlingua.data.rows import PairRow
from mixlingua.errors import DataError
from mixlingua.files import cache_dir, content_hash, language_of, read_lines
from mixlingua.languages import two_letter

logger = logging.getLogger(__name__)

VERSION = "1"
_NAME = re.compile(r"(?P<corpus>.+)\.(?P<first>[A-Za-z_-]+)-(?P<second>[A-Za-z_-]+)\.(?P<side>[A-Za-z_-]+)")


class BitextReader:
    """Rows from a folder of pairs of files, `<corpus>.de-en.de` and `<corpus>.de-en.en`, aligned by line.

    A row is a line in its two languages, both as query and as passage: text to learn translations from, in
    cross-lingual batches or by distillation; in a batch of one language, a query would ask for itself. Codes are
    ISO 639-1 or 639-3 (deu). Rows with the same English text never meet in a batch. Lines that are blank on a side, as
    some corpora have them, are left out and counted in the log.
    """

    def __init__(self, path: str | Path, name: str = "bitext") -> None:
        self.name = name
        self.path = Path(path)

    def fingerprint(self) -> str:
        """A hash of the files' names and content. Raises DataError where the folder or a side of a pair is missing."""
        pairs = self._pairs()
        return content_hash(
            "bitext", VERSION, " ".join(pairs), *(file for sides in pairs.values() for file in sides.values())
        )

    def rows(self) -> Iterator[PairRow]:
        """The rows, pair by pair in alphabetical order, in constant memory. Raises DataError for sides of different
        length and invalid UTF-8."""
        for pair, sides in self._pairs().items():
            (one, first), (other, second) = sides.items()
            blank = 0
            sides_by_line = zip_longest(*((text.strip() for _, text in read_lines(file)) for file in (first, second)))
            for line, (left, right) in enumerate(sides_by_line, start=1):
                if left is None or right is None:
                    ended, longer = (first, second) if left is None else (second, first)
                    raise DataError(
                        f"{ended}: the file ends before line {line}, which {longer} has. The files of a pair are "
                        "aligned by line: fetch both again."
                    )
                if not left or not right:
                    blank += 1
                    continue
                texts = {one: left, other: right}
                # Its own dictionary for each side: whoever changes one does not change the other.
                yield PairRow(id=f"{pair}:{line}", queries=texts, passages=dict(texts), passage_id=f"{pair}:{line}")
            if blank:
                logger.warning("%s: lines left out that are blank on a side: %d.", first.parent / pair, blank)

    def _files(self) -> list[Path]:
        return sorted(self.path.glob("*.*-*.*"))

    def _pairs(self) -> dict[str, dict[str, Path]]:
        """Pair such as `tatoeba.deu-eng` -> language -> file."""
        pairs: dict[str, dict[str, Path]] = {}
        for file in self._files():
            name = _NAME.fullmatch(file.name)
            if name and name["side"] in (name["first"], name["second"]):
                language = language_of(two_letter(name["side"]), str(file))
                pairs.setdefault(f"{name['corpus']}.{name['first']}-{name['second']}", {})[language] = file
        if not pairs:
            raise DataError(
                f"{self.path}: no files such as NAME.de-en.de and NAME.de-en.en. OPUS (opus.nlpl.eu) calls them "
                f"'Moses'; or set data.sources.{self.name}.path or paths.data."
            )
        for pair, sides in pairs.items():
            if len(sides) < 2:
                raise DataError(
                    f"{self.path}: {pair} has one side, {next(iter(sides.values())).name}. Fetch the other."
                )
        return pairs


COMMIT = "fec5c7d63daa2bea9d127e8252b10e87278586c0"
URL = f"https://raw.githubusercontent.com/facebookresearch/LASER/{COMMIT}/data/tatoeba/v1"


def names(language: str) -> tuple[str, str]:
    """What the file of a language, and that of its English sentences, are published as."""
    code, _ = public_files()["tatoeba"][language]
    return f"tatoeba.{code}-eng.{code}", f"tatoeba.{code}-eng.eng"


def pair_files(folder: Path, language: str, needed_by: str) -> list[Path]:
    """The paths of a language's sentences and of their English ones. Raises DataError where they cannot be had."""
    return [
        fetched_lines(
            name,
            needed_by=needed_by,
            folder=folder,
            cached=cache_dir() / "tatoeba" / COMMIT / name,
            url=f"{URL}/{name}",
            num_lines=public_files()["tatoeba"][language][1],
        )
        for name in names(language)
    ]


class TatoebaReader(BitextReader):
    """Rows of the pairs in a folder, as BitextReader; where `path` is no folder, those of the languages `fetched`."""

    def __init__(self, path: str | Path, fetched: Sequence[str], name: str = "tatoeba") -> None:
        super().__init__(path, name)
        self.fetched = fetched

    def _files(self) -> list[Path]:
        if self.path.is_dir():
            return super()._files()
        source = f"data.sources.{self.name}"
        return sorted(file for language in self.fetched for file in pair_files(self.path, language, source))
