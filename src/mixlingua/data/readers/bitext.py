"""Line-aligned translations of two languages each, as OPUS gives them ("Moses" files).

Source: Tiedemann 2012, "Parallel Data, Tools and Interfaces in OPUS", opus.nlpl.eu.
"""

import logging
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from mixlingua.data.readers.lines import language_of, read_lines
from mixlingua.data.rows import PairRow
from mixlingua.errors import DataError
from mixlingua.files import content_hash
from mixlingua.languages import two_letter

log = logging.getLogger(__name__)

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
                log.warning("%s: lines left out that are blank on a side: %d.", first.parent / pair, blank)

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
