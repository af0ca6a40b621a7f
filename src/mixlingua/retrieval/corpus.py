"""A corpus: passages that are streamed from files, as often as needed and never held together."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from mixlingua.data.readers.lines import read_lines
from mixlingua.errors import DataError

ID_FIELDS = ("docid", "_id", "id")  # as MIRACL, BEIR and Mr. TyDi call it


class Passage(NamedTuple):
    """text: with its title, as it is encoded."""

    id: str
    text: str


class Corpus(Protocol):
    """What is searched: passages in an order of their own, the same each time."""

    @property
    def size(self) -> int:
        """Bytes of its files."""

    def passages(self) -> Iterator[Passage]:
        """Every passage. Raises DataError naming file and line where one cannot be read."""

    def where(self, position: int) -> str:
        """File and line of a passage, for messages; may take as long as reading all."""


@dataclass(frozen=True)
class JsonLinesCorpus:
    """Passages of JSON-lines files, plain or .gz, one a line: {"docid" or "_id" or "id", "title", "text"}, in which the
    title may be missing or empty, or Anserini's {"id", "contents"}."""

    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.stat().st_size for file in self.files)

    def passages(self) -> Iterator[Passage]:
        """Every passage, in the order of the files. Raises DataError naming file and line."""
        for file in self.files:
            for number, line in read_lines(file):
                yield _passage(line, file, number)

    def where(self, position: int) -> str:
        """File and line of a passage."""
        for file in self.files:
            for number, _ in read_lines(file):
                if position == 0:
                    return f"{file}:{number}"
                position -= 1
        raise IndexError("the corpus has fewer passages")


@dataclass(frozen=True)
class Pool:
    """The passages of a corpus that have one of these ids."""

    corpus: Corpus
    ids: frozenset[str]

    @property
    def size(self) -> int:
        """Bytes of the files that are read, of which the pool is a part."""
        return self.corpus.size

    def passages(self) -> Iterator[Passage]:
        """Those of the pool, in the order of the corpus."""
        return (passage for passage in self.corpus.passages() if passage.id in self.ids)

    def where(self, position: int) -> str:
        """File and line of a passage of the pool."""
        for number, passage in enumerate(self.corpus.passages()):
            position -= passage.id in self.ids
            if position < 0:
                return self.corpus.where(number)
        raise IndexError("the pool has fewer passages")


def parse_fields(line: str, where: str) -> dict[str, Any]:
    """The JSON object of a line. Raises DataError starting with `where`."""
    if not line.strip():
        raise DataError(f"{where}: empty line. Remove it: every line is an entry.")
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: malformed JSON ({error}).") from error
    if not isinstance(fields, dict):
        raise DataError(f"{where}: expected an object with an id and a text, found {type(fields).__name__}.")
    return fields


def entry_id(fields: dict[str, Any], names: tuple[str, ...], where: str) -> str:
    """The id of an entry under one of its names. Raises DataError starting with `where`."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    raise DataError(f"{where}: no id; an entry needs one, a text or a whole number, as {' or '.join(names)}.")


def _passage(line: str, file: Path, number: int) -> Passage:
    where = f"{file}:{number}"
    fields = parse_fields(line, where)
    identity = entry_id(fields, ID_FIELDS, where)
    contents = fields.get("contents")
    if isinstance(contents, str):
        return Passage(identity, contents.strip())
    title, text = fields.get("title") or "", fields.get("text")
    if not isinstance(text, str) or not isinstance(title, str):
        raise DataError(f'{where}: passage "{identity}" has no "text", or its title is no text; both must be texts.')
    return Passage(identity, f"{title} {text}".strip())
