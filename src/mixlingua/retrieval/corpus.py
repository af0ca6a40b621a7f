"""One reading of a corpus before anything is encoded: errors come first, and what the search needs to know."""

import csv
import hashlib
import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mixlingua.errors import DataError
from mixlingua.files import cache_dir, read_lines, storage_error

MAX_ROWS = 2**20  # rows that are sorted together, in some 64 MiB

Digests = NDArray[np.uint64]


def repeats(read: Callable[[], Iterator[Digests]], num_rows: int) -> NDArray[np.int64]:
    """(K, 2): the position of each row that equals an earlier one, ascending, and that of the first such row.

    read: gives the `num_rows` rows, of two evenly distributed numbers each, from the beginning and in parts. It is
    called once for every `MAX_ROWS` rows: equal rows have equal first numbers, so each reading takes an interval of
    these. Memory grows with the number of repeats only.
    """
    intervals = -(-num_rows // MAX_ROWS)
    bounds = [index * 2**64 // max(intervals, 1) for index in range(intervals + 1)]
    found = [_repeats_in(read(), low, high - 1) for low, high in pairwise(bounds)]
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *found])
    return pairs[np.argsort(pairs[:, 0])]


def _repeats_in(parts: Iterator[Digests], low: int, high: int) -> NDArray[np.int64]:
    """The repeats among the rows whose first number lies in [low, high]."""
    start, chosen, places = 0, [], []
    for part in parts:
        inside = np.flatnonzero((part[:, 0] >= np.uint64(low)) & (part[:, 0] <= np.uint64(high)))
        chosen.append(part[inside])
        places.append(start + inside)
        start += len(part)
    rows, positions = np.concatenate(chosen), np.concatenate(places)
    order = np.lexsort((rows[:, 1], rows[:, 0]))  # stable: equal rows stay in the order of the list
    rows, positions = rows[order], positions[order]
    is_first = np.append(True, (rows[1:] != rows[:-1]).any(axis=1))[: len(rows)]
    first = np.maximum.accumulate(np.where(is_first, np.arange(len(rows)), 0))
    return np.stack([positions[~is_first], positions[first[~is_first]]], axis=1)


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


_DIGEST = 16  # bytes: two numbers of 64 bits
_IDS, _TEXTS = slice(0, 2), slice(2, 4)
_PART = 2**18  # passages: 8 MiB


@dataclass(frozen=True)
class Census:
    """What one reading of a corpus found.

    identity: hexadecimal SHA-256 of all ids and texts in order, whatever the files. num_passages: N. positions: of the
    wanted ids that it holds, from 0. copies: (K, 2), the position of every passage whose text an earlier passage has,
    ascending, and the position of the first that has it.
    """

    identity: str
    num_passages: int
    positions: Mapping[str, int]
    copies: NDArray[np.int64]


def take_census(corpus: Corpus, wanted: Collection[str], name: str) -> Census:
    """Read a corpus once. name: what to call it in messages; wanted: ids whose positions are needed.

    Memory is bounded but for the wanted ids and the copies: 32 bytes a passage go to an unnamed file in the cache.
    Raises DataError with file and line where a passage cannot be read or two have one id, StorageError where the
    cache's disk is full.
    """
    positions: dict[str, int] = {}
    identity = hashlib.sha256()
    number = 0
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=cache_dir()) as spool:
        try:
            for number, passage in enumerate(corpus.passages(), start=1):
                record = _digest(passage.id) + _digest(passage.text)
                identity.update(record)
                spool.write(record)
                if passage.id in wanted:
                    positions.setdefault(passage.id, number - 1)
            spool.flush()
        except OSError as error:
            raise storage_error(cache_dir() / "vectors", error) or error from error
        if number == 0:
            raise DataError(f"{name}: no passages; a corpus needs at least one.")
        _refuse_repeated_ids(corpus, repeats(lambda: _records(spool, _IDS), number))
        return Census(identity.hexdigest(), number, positions, repeats(lambda: _records(spool, _TEXTS), number))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def _records(spool: IO[bytes], columns: slice) -> Iterator[Digests]:
    """The digests of all ids or all texts, in parts."""
    spool.seek(0)
    while data := spool.read(2 * _DIGEST * _PART):
        yield np.frombuffer(data, np.uint64).reshape(-1, 4)[:, columns]


def _refuse_repeated_ids(corpus: Corpus, pairs: NDArray[np.int64]) -> None:
    if len(pairs):
        later, first = pairs[0].tolist()
        raise DataError(
            f"{corpus.where(later)}: duplicate id, first seen at {corpus.where(first)} ({len(pairs)} in all). Every "
            "passage needs an id of its own."
        )
