"""DPR's corpus: the English Wikipedia of December 2018 in passages of 100 words (Karpukhin et al. 2020)."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mixlingua.data.readers.lines import read_lines
from mixlingua.errors import DataError
from mixlingua.retrieval.corpus import Passage

_HEADINGS = ["id", "text", "title"]


@dataclass(frozen=True)
class DprCorpus:
    """psgs_w100.tsv, plain or .gz: after a line of headings id, text and title, with tabs between them and quoted as in
    CSV where they hold quotation marks. titles: whether a passage begins with its title, as it is encoded."""

    file: Path
    titles: bool

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.file.stat().st_size

    def passages(self) -> Iterator[Passage]:
        """Every passage. Raises DataError naming file and line."""
        for _, (identity, text, title) in self._rows():
            yield Passage(identity, f"{title} {text}".strip() if self.titles else text)

    def where(self, position: int) -> str:
        """File and line of a passage."""
        for number, _ in self._rows():
            if position == 0:
                return f"{self.file}:{number}"
            position -= 1
        raise IndexError("the corpus has fewer passages")

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line numbers and columns of all passages."""
        reader = csv.reader((f"{line}\n" for _, line in read_lines(self.file)), delimiter="\t")
        try:
            for row in reader:
                if reader.line_num == 1:
                    if row != _HEADINGS:
                        raise DataError(f"{self.file}:1: the first line must be the headings id, text and title.")
                elif len(row) != 3 or not row[0]:
                    raise DataError(
                        f"{self.file}:{reader.line_num}: {len(row)} columns; there must be an id, a text and a title, "
                        "with tabs. Fetch the file again."
                    )
                else:
                    yield reader.line_num, row
        except csv.Error as error:
            raise DataError(f"{self.file}:{reader.line_num}: malformed ({error}). Fetch the file again.") from error
