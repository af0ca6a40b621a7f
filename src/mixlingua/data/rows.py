"""One row of parallel text, and what a reader of a format is."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from mixlingua.errors import DataError


@dataclass(frozen=True, slots=True)
class PairRow:
    """The same question and passage in several languages.

    `queries` and `passages` have the same language codes as keys. `passage_id` names the passage whatever its language:
    rows that share it, or share any id of `touches` (ids of further text that the passage contains), never meet in a
    batch. `negatives` holds passages per language that do not answer the query. `split_key` is the unit that goes
    whole to training or to validation: the passage id where it is empty.
    """

    id: str
    queries: dict[str, str]
    passages: dict[str, str]
    passage_id: str
    touches: tuple[str, ...] = ()
    negatives: dict[str, list[str]] = field(default_factory=dict)
    split_key: str = ""


class Reader(Protocol):
    """Turns one public format into rows, in an order that depends on its files and options alone."""

    name: str

    def fingerprint(self) -> str:
        """A hash of the files' content, the options and the reader's version: equal fingerprints give equal rows."""
        ...

    def rows(self) -> Iterator[PairRow]:
        """The rows, read as they are asked for. Raises DataError naming file and line."""
        ...


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
