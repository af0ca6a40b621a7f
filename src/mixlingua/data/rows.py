"""What a row of parallel text is, what reads rows, the keys of texts, and what may change texts in training."""

import hashlib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeGuard

from mixlingua.errors import DataError

Side = Literal["query", "passage"]


@dataclass(frozen=True, slots=True)
class PairRow:
    """The same question and passage in several languages.

    `queries` and `passages` have the same language codes as keys. `passage_id` names the passage whatever its language:
    rows that share it, or share any id of `touches` (ids of further text that the passage contains), never meet in a
    batch. `negatives` holds passages per language that do not answer the query; `scores`, what a teacher gave the
    passage and then each of them. `split_key` is the unit that goes whole to training or to validation, with the rows
    that share a text: the passage id where it is empty.
    """

    id: str
    queries: dict[str, str]
    passages: dict[str, str]
    passage_id: str
    touches: tuple[str, ...] = ()
    negatives: dict[str, list[str]] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    split_key: str = ""

    @property
    def unit(self) -> str:
        """The name of what the row is held out with."""
        return self.split_key or self.passage_id


class Reader(Protocol):
    """Turns one public format into rows, in an order that depends on its files and options alone."""

    name: str

    def fingerprint(self) -> str:
        """A hash of the files' content, the options and the reader's version: equal fingerprints give equal rows."""
        ...

    def rows(self) -> Iterator[PairRow]:
        """The rows, read as they are asked for. Raises DataError naming file and line."""
        ...


def is_id(value: object) -> TypeGuard[str | int]:
    """Whether a value of a data file may name something: a text that is not empty, or a whole number."""
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def id_of(value: object, what: str) -> str:
    """An id as a text. Raises DataError, starting with `what` (file, line and field), where the value is none."""
    if not is_id(value):
        raise DataError(f"{what} is {value!r}; it must be a text or a whole number. Set it, or drop the entry.")
    return str(value)


_TOO_LARGE = 2.0**127  # for float32, in which scores are kept; NaN is not below it


def check_texts(row: PairRow, where: str) -> None:
    """Raise DataError, starting with `where` (file and line), unless query and passage pair up and none is blank."""
    if not row.queries and not row.passages:
        raise DataError(f"{where}: row '{row.id}' has no text. Drop the row.")
    for language in sorted(row.queries.keys() ^ row.passages.keys()):
        side = "passage" if language in row.queries else "query"
        raise DataError(
            f"{where}: no {side} in '{language}' for row '{row.id}'; every language of a row needs query and passage. "
            "Drop the row or the language."
        )
    for side, by_language in (("query", row.queries), ("passage", row.passages)):
        for language, text in by_language.items():
            if not text.strip():
                raise DataError(
                    f"{where}: empty {side} in '{language}' for row '{row.id}'. Drop the row or the language."
                )
    for language, negatives in row.negatives.items():
        if language not in row.queries:
            raise DataError(
                f"{where}: negatives in '{language}' for row '{row.id}', which has no query in it. Drop them."
            )
        if not all(text.strip() for text in negatives):
            raise DataError(f"{where}: empty negative in '{language}' for row '{row.id}'. Drop it.")
    for language, scores in row.scores.items():
        expected = 1 + len(row.negatives.get(language, []))
        if (
            language not in row.queries
            or len(scores) != expected
            or not all(abs(score) < _TOO_LARGE for score in scores)
        ):
            raise DataError(
                f"{where}: scores in '{language}' for row '{row.id}' must be {expected} numbers, of the passage and "
                f"then of each negative; found {scores!r}. Mend or drop them."
            )


PIVOT = "en"  # the language by whose text a passage is known, where it has it


def row_keys(row: PairRow) -> list[int]:
    """The keys of a row: of its passage id, of what it touches, and of its passage's text in one language.

    Rows that share a key never meet in a batch.
    """
    known_by = row.passages[PIVOT if PIVOT in row.passages else min(row.passages)]
    return list(dict.fromkeys([*map(id_key, (row.passage_id, *row.touches)), text_key(known_by)]))


def id_key(name: str) -> int:
    """The key of a passage id (or of an id of text that a passage contains), as a signed 64-bit integer."""
    return _key(b"id:" + name.encode())


def text_key(text: str) -> int:
    """The key of a passage's text, as a signed 64-bit integer: texts that are `normalised` alike have equal keys."""
    return _key(b"text:" + normalised(text).encode())


def query_key(text: str) -> int:
    """The key of a query's text, likewise. It never equals that of a passage: an equal passage is no known answer."""
    return _key(b"query:" + normalised(text).encode())


def normalised(text: str) -> str:
    """The text as it counts for identity: composed (Unicode NFC), without outer white space, inner white space folded
    to single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def unit_interval(name: str) -> float:
    """A number in [0, 1) that depends on the name alone, in place of a random draw that would need a seed."""
    return (_key(b"unit:" + name.encode()) & (2**53 - 1)) / 2**53


def _key(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little", signed=True)


class Augmentation(Protocol):
    """Changes a text before it is tokenised: equal arguments give equal texts, in every process. Travels to workers.

    place: the number of the batch, the text's row in its source, and 0, or from 1 the number of the hard negative.
    `describe` holds, in plain containers, everything else that decides the texts.
    """

    def __call__(self, text: str, language: str, side: Side, place: tuple[int, int, int]) -> str: ...

    def describe(self) -> dict[str, Any]: ...
