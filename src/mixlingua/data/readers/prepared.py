"""Rows that somebody prepared, where they are at hand, else those made of what is published."""

import logging
from collections.abc import Iterator
from pathlib import Path

from mixlingua.data.readers.jsonl import JsonlReader
from mixlingua.data.rows import PairRow, Reader

log = logging.getLogger(__name__)


class PreparedReader:
    """The rows of the JSONL file `path` where there is one, else those of the reader `published`."""

    def __init__(self, path: str | Path, published: Reader) -> None:
        self.name = published.name
        self._published = published
        self._path = Path(path)

    def fingerprint(self) -> str:
        """That of the reader whose rows they are."""
        return self._reader().fingerprint()

    def rows(self) -> Iterator[PairRow]:
        """The rows of that reader."""
        return self._reader().rows()

    def _reader(self) -> Reader:
        return JsonlReader(self._path, name=self.name) if self._path.is_file() else self._published
