"""Corpora: passages that are streamed from files, and the census, one reading before anything is encoded.

The census finds what is wrong with a corpus early (a malformed line, two passages with one id), and what the search
needs to know: how many passages there are, where the relevant ones stand, and which texts are repeated.
"""

import csv
import hashlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mixlingua.data.rows import id_of, is_id
from mixlingua.errors import DataError
from mixlingua.files import cache_dir, storage_error
from mixlingua.reading import parse_json, read_lines


class Passage(NamedTuple):
    """A candidate. text: with its title, as it is encoded."""

    id: str
    text: str


class Corpus(Protocol):
    """What is searched: passages in a fixed order."""

    @property
    def size(self) -> int:
        """Bytes of its files."""

    def passages(self) -> Iterator[Passage]:
        """Every passage. Raises DataError naming file and line where one cannot be read."""

    def where(self, position: int) -> str:
        """File and line of a passage, for messages; may take as long as reading all."""


class FileCorpus(ABC):
    """A corpus whose passages each have a file and a line."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes of its files."""

    @abstractmethod
    def located(self) -> Iterator[tuple[str, Passage]]:
        """File and line, and the passage. Raises DataError naming them where it cannot be read."""

    def passages(self) -> Iterator[Passage]:
        """Every passage, in the order of the files."""
        return (passage for _, passage in self.located())

    def where(self, position: int) -> str:
        """File and line of a passage. Raises IndexError where there are fewer passages."""
        for number, (where, _) in enumerate(self.located()):
            if number == position:
                return where
        raise IndexError(f"the corpus has no passage {position}")


@dataclass(frozen=True)
class JsonLinesCorpus(FileCorpus):
    """JSON-lines files, plain or .gz, one passage a line: {"docid" or "_id" or "id", "title", "text"}, where the title
    may be missing or empty, or Anserini's {"id", "contents"}."""

    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.stat().st_size for file in self.files)

    def located(self) -> Iterator[tuple[str, Passage]]:
        """File and line, and the passage, in the order of the files."""
        for file in self.files:
            for number, line in read_lines(file):
                where = f"{file}:{number}"
                yield where, _passage(line, where)


ID_FIELDS = ("docid", "_id", "id")  # as MIRACL, BEIR and Mr. TyDi call it


def _passage(line: str, where: str) -> Passage:
    fields = parse_fields(line, where)
    passage_id = entry_id(fields, ID_FIELDS, where)
    contents = fields.get("contents")
    if isinstance(contents, str):
        return Passage(passage_id, contents.strip())
    title, text = fields.get("title") or "", fields.get("text")
    if not isinstance(text, str) or not isinstance(title, str):
        raise DataError(f'{where}: passage "{passage_id}" has no "text", or its title is no text; both must be texts.')
    return Passage(passage_id, f"{title} {text}".strip())


def parse_fields(line: str, where: str) -> dict[str, Any]:
    """The JSON object of a line. Raises DataError starting with `where`."""
    if not line.strip():
        raise DataError(f"{where}: empty line. Remove it: every line is an entry.")
    fields = parse_json(line, where)
    if not isinstance(fields, dict):
        raise DataError(f"{where}: expected an object with an id and a text, found {type(fields).__name__}.")
    return fields


def entry_id(fields: dict[str, Any], names: tuple[str, ...], where: str) -> str:
    """The id of an entry under one of its names. Raises DataError starting with `where`."""
    given = {name: fields[name] for name in names if name in fields}
    for value in given.values():
        if is_id(value):
            return str(value)
    for name, value in given.items():
        id_of(value, f"{where}: {name}")  # says what is wrong with the first one
    raise DataError(f"{where}: no id; an entry needs one, a text or a whole number, as {' or '.join(names)}.")


@dataclass(frozen=True)
class DprCorpus(FileCorpus):
    """psgs_w100.tsv, plain or .gz: tab-separated id, text and title below a line with these headings, quoted as in CSV.

    titles: whether a passage begins with its title, as it is encoded.
    """

    file: Path
    titles: bool

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.file.stat().st_size

    def located(self) -> Iterator[tuple[str, Passage]]:
        """File and line, and the passage."""
        reader = csv.reader((f"{line}\n" for _, line in read_lines(self.file)), delimiter="\t")
        try:
            if next(reader, []) != ["id", "text", "title"]:
                raise DataError(f"{self.file}:1: the first line must be the headings id, text and title.")
            for row in reader:
                where = f"{self.file}:{reader.line_num}"
                if len(row) != 3 or not row[0]:
                    raise DataError(
                        f"{where}: {len(row)} columns; there must be an id, a text and a title, with tabs. Fetch the "
                        "file again."
                    )
                passage_id, text, title = row
                yield where, Passage(passage_id, f"{title} {text}".strip() if self.titles else text)
        except csv.Error as error:
            raise DataError(f"{self.file}:{reader.line_num}: malformed ({error}). Fetch the file again.") from error


@dataclass(frozen=True)
class SubCorpus:
    """The passages of a corpus that have one of these ids."""

    corpus: Corpus
    ids: frozenset[str]

    @property
    def size(self) -> int:
        """Bytes of the files that are read, which hold other passages as well."""
        return self.corpus.size

    def passages(self) -> Iterator[Passage]:
        """Those with one of the ids, in the order of the corpus."""
        return (passage for passage in self.corpus.passages() if passage.id in self.ids)

    def where(self, position: int) -> str:
        """File and line of a passage. Raises IndexError where there are fewer passages."""
        numbers = (number for number, passage in enumerate(self.corpus.passages()) if passage.id in self.ids)
        for member, number in enumerate(numbers):
            if member == position:
                return self.corpus.where(number)
        raise IndexError(f"the corpus has no passage {position}")


@dataclass(frozen=True)
class Census:
    """What one reading of a corpus found.

    identity: changes with any id or text, and with their order. num_passages: N. positions: from 0, of those of the
    wanted ids that the corpus has. copies: (K, 2), for every passage whose text an earlier passage has, its position
    and that of the first passage with the text; ascending. of_content: whether the identity is the hexadecimal SHA-256
    of the `record` of every passage in order, whatever the files, as that of `take_census` is. Another identity is for
    a corpus that cannot change.
    """

    identity: str
    num_passages: int
    positions: Mapping[str, int]
    copies: NDArray[np.int64]
    of_content: bool = False


Digests = NDArray[np.uint64]
_DIGEST = 16  # bytes: two numbers of 64 bits
_IDS, _TEXTS = slice(0, 2), slice(2, 4)
_PART = 2**18  # passages: 8 MiB
MAX_ROWS = 2**20  # digests that are sorted together, in some 64 MiB


def take_census(corpus: Corpus, wanted: Collection[str], name: str) -> Census:
    """Read a corpus once. wanted: ids whose positions are needed; name: what to call the corpus in messages.

    Memory is bounded but for the wanted ids and the copies: digests of 32 bytes a passage go to an unnamed file in the
    cache. Raises DataError with file and line where a passage cannot be read or two have one id, StorageError where the
    cache's disk is full.
    """
    positions: dict[str, int] = {}
    identity = hashlib.sha256()
    num_passages = 0
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=cache_dir()) as spool:
        try:
            for num_passages, passage in enumerate(corpus.passages(), start=1):
                digests = record(passage)
                identity.update(digests)
                spool.write(digests)
                if passage.id in wanted:
                    positions.setdefault(passage.id, num_passages - 1)
            spool.flush()
        except OSError as error:
            raise storage_error(cache_dir() / "vectors", error) or error from error
        if num_passages == 0:
            raise DataError(f"{name}: no passages; a corpus needs at least one.")
        _refuse_repeated_ids(corpus, repeats(lambda: _digests(spool, _IDS), num_passages))
        copies = repeats(lambda: _digests(spool, _TEXTS), num_passages)
        return Census(identity.hexdigest(), num_passages, positions, copies, of_content=True)


def record(passage: Passage) -> bytes:
    """32 bytes that stand for the id and the text of a passage."""
    return _digest(passage.id) + _digest(passage.text)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def _digests(spool: IO[bytes], columns: slice) -> Iterator[Digests]:
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


def repeats(read: Callable[[], Iterator[Digests]], num_rows: int) -> NDArray[np.int64]:
    """(K, 2): the position of each row that equals an earlier one, ascending, and that of the first such row.

    read: gives the `num_rows` rows, of two evenly distributed numbers each, from the beginning and in parts. It is
    called once for every `MAX_ROWS` rows: equal rows have equal first numbers, so each reading takes an interval of
    these. Memory grows with the number of repeats only.
    """
    num_intervals = -(-num_rows // MAX_ROWS)
    bounds = [interval * 2**64 // max(num_intervals, 1) for interval in range(num_intervals + 1)]
    pairs = [_repeats_in(read(), low, high - 1) for low, high in pairwise(bounds)]
    merged = np.concatenate([np.zeros((0, 2), np.int64), *pairs])
    return merged[np.argsort(merged[:, 0])]


def _repeats_in(parts: Iterator[Digests], low: int, high: int) -> NDArray[np.int64]:
    """The repeats among the rows whose first number lies in [low, high]."""
    start, kept_rows, kept_positions = 0, [], []
    for part in parts:
        inside = np.flatnonzero((part[:, 0] >= np.uint64(low)) & (part[:, 0] <= np.uint64(high)))
        kept_rows.append(part[inside])
        kept_positions.append(start + inside)
        start += len(part)
    rows, positions = np.concatenate(kept_rows), np.concatenate(kept_positions)
    order = np.lexsort((rows[:, 1], rows[:, 0]))  # stable: equal rows stay in the order of the corpus
    rows, positions = rows[order], positions[order]
    is_first = np.append(True, (rows[1:] != rows[:-1]).any(axis=1))[: len(rows)]
    first = np.maximum.accumulate(np.where(is_first, np.arange(len(rows)), 0))
    return np.stack([positions[~is_first], positions[first[~is_first]]], axis=1)
