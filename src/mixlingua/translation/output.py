"""The parallel rows, and what was rejected, as files."""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from mixlingua.data.rows import PairRow
from mixlingua.files import atomic_write
from mixlingua.translation.gate import Verdict

_TEXTS = pa.schema([("text", pa.string())])
_BATCH_ROWS = 2048


class Accepted:
    """Texts of one language in a memory-mapped file; null where a text was rejected or not needed."""

    def __init__(self, file: Path) -> None:
        self._batches = pa.ipc.open_file(pa.memory_map(str(file)))

    @classmethod
    def write(cls, file: Path, verdicts: Mapping[int, Verdict], num_texts: int) -> "Accepted":
        """Write the accepted of `num_texts` verdicts, atomically, and open the file."""
        with (
            atomic_write(file) as partial,
            pa.OSFile(str(partial), "wb") as sink,
            pa.ipc.new_file(sink, _TEXTS) as writer,
        ):
            for start in range(0, num_texts, _BATCH_ROWS):
                positions = range(start, min(start + _BATCH_ROWS, num_texts))
                found = (verdicts.get(position) for position in positions)
                texts = [verdict.text if verdict and verdict.reason is None else None for verdict in found]
                writer.write_batch(pa.record_batch([texts], schema=_TEXTS))
        return cls(file)

    def get(self, position: int) -> str | None:
        """The translation of the text at a position."""
        batch = self._batches.get_batch(position // _BATCH_ROWS)
        text: str | None = batch.column("text")[position % _BATCH_ROWS].as_py()
        return text


Lookup = Callable[[str, str], str | None]  # language, text in the source language -> its accepted translation


def completed(row: PairRow, source: str, languages: Iterable[str], lookup: Lookup) -> PairRow:
    """A row with each language that it lacks, where query and passage were accepted.

    A rejected negative is left out; where all are, the row goes without the language, as training with negatives needs
    some of each.
    """
    if source not in row.queries:
        return row
    queries, passages, negatives = dict(row.queries), dict(row.passages), dict(row.negatives)
    for language in languages:
        if language in row.queries:
            continue
        query, passage = lookup(language, row.queries[source]), lookup(language, row.passages[source])
        own = row.negatives.get(source, [])
        found = [text for text in (lookup(language, negative) for negative in own) if text is not None]
        if query is None or passage is None or (own and not found):
            continue
        queries[language], passages[language] = query, passage
        if found:
            negatives[language] = found
    return replace(row, queries=queries, passages=passages, negatives=negatives)


def write_rows(file: Path, rows: Iterable[PairRow]) -> dict[str, int]:
    """Write rows in the format that data=jsonl reads, packed, atomically. Returns the rows of each language."""
    counts: dict[str, int] = {}
    with packed(file) as out:
        for row in rows:
            fields: dict[str, Any] = {"id": row.id, "queries": row.queries, "passages": row.passages}
            fields["passage_id"] = row.passage_id
            optional = {"touches": row.touches, "negatives": row.negatives, "split_key": row.split_key}
            fields |= {field: value for field, value in optional.items() if value}
            out.write(json.dumps(fields, ensure_ascii=False) + "\n")
            for language in row.queries:
                counts[language] = counts.get(language, 0) + 1
    return counts


@contextmanager
def packed(file: Path) -> Iterator[TextIO]:
    """A .gz file to write text to, which appears once it is complete; equal text gives equal bytes."""
    with (
        atomic_write(file) as partial,
        partial.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as archive,
        TextIOWrapper(archive, encoding="utf-8") as text,
    ):
        yield text


def rejected_lines(texts: Sequence[str], verdicts: Mapping[int, Verdict]) -> Iterable[str]:
    """A JSON line for each rejected text: reason, value, source and translation."""
    for position, verdict in verdicts.items():
        if verdict.reason is not None:
            fields = {"reason": verdict.reason, "value": verdict.value}
            yield json.dumps(fields | {"source": texts[position], "translation": verdict.text}, ensure_ascii=False)
