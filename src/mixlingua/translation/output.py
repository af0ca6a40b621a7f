"""What a translation leaves: the accepted texts of each language, the completed rows, what was rejected, and counts."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import pyarrow as pa

from mixlingua.data.readers.jsonl import OwnIds, row_fields
from mixlingua.data.rows import PairRow
from mixlingua.files import atomic_gzip, atomic_write, write_json
from mixlingua.translation.gate import REASONS, Verdict

_TEXTS = pa.schema([("text", pa.string())])
_BATCH_ROWS = 2048


class Accepted:
    """The accepted translations into one language, in a memory-mapped file; null for a text that has none."""

    def __init__(self, file: Path) -> None:
        self._batches = pa.ipc.open_file(pa.memory_map(str(file)))

    @classmethod
    def write(cls, file: Path, verdicts: Mapping[int, Verdict], num_texts: int) -> "Accepted":
        """Write the accepted of `num_texts` texts, atomically, and open the file."""
        accepted = {position: verdict.text for position, verdict in verdicts.items() if verdict.reason is None}
        with (
            atomic_write(file) as partial,
            pa.OSFile(str(partial), "wb") as sink,
            pa.ipc.new_file(sink, _TEXTS) as writer,
        ):
            for start in range(0, num_texts, _BATCH_ROWS):
                positions = range(start, min(start + _BATCH_ROWS, num_texts))
                writer.write_batch(pa.record_batch([list(map(accepted.get, positions))], schema=_TEXTS))
        return cls(file)

    def get(self, position: int) -> str | None:
        """The translation of the text at a position."""
        batch = self._batches.get_batch(position // _BATCH_ROWS)
        text: str | None = batch.column("text")[position % _BATCH_ROWS].as_py()
        return text


Lookup = Callable[[str, str], str | None]  # language, text in the source language -> its accepted translation


def completed(row: PairRow, source: str, languages: Iterable[str], lookup: Lookup) -> PairRow:
    """A row with each language that it lacks, where query and passage were accepted.

    A rejected negative is left out. Where all negatives are rejected the row goes without the language: training with
    negatives needs some of each row and language.
    """
    if source not in row.queries:
        return row
    queries, passages, negatives = dict(row.queries), dict(row.passages), dict(row.negatives)
    to_translate = row.negatives.get(source, [])
    for language in languages:
        if language in row.queries:
            continue
        query, passage = lookup(language, row.queries[source]), lookup(language, row.passages[source])
        accepted = [text for negative in to_translate if (text := lookup(language, negative)) is not None]
        if query is None or passage is None or (to_translate and not accepted):
            continue
        queries[language], passages[language] = query, passage
        if accepted:
            negatives[language] = accepted
    return replace(row, queries=queries, passages=passages, negatives=negatives)


def write_rows(file: Path, rows: Iterable[PairRow]) -> dict[str, int]:
    """Write rows as .jsonl.gz for data=jsonl, atomically. Returns the number of rows in each language."""
    counts: dict[str, int] = {}
    with atomic_gzip(file) as lines:
        own_id = OwnIds()
        for row in rows:
            lines.write(json.dumps(row_fields(replace(row, id=own_id(row.id))), ensure_ascii=False) + "\n")
            for language in row.queries:
                counts[language] = counts.get(language, 0) + 1
    return counts


def write_rejected(file: Path, texts: Sequence[str], verdicts: Mapping[int, Verdict]) -> None:
    """Write a line of .jsonl.gz for each rejected text: reason, value, source and translation."""
    with atomic_gzip(file) as lines:
        for position, verdict in verdicts.items():
            if verdict.reason is not None:
                fields = {"reason": verdict.reason, "value": verdict.value}
                fields |= {"source": texts[position], "translation": verdict.text}
                lines.write(json.dumps(fields, ensure_ascii=False) + "\n")


@dataclass
class LanguageReport:
    """What became of a language's texts in a translation.

    rejected: numbers of texts by reason. ratio: usual characters for one of the source. num_rows: rows that have the
    language in the end.
    """

    num_texts: int
    rejected: dict[str, int]
    ratio: float | None
    num_rows: int = 0

    @classmethod
    def of(cls, verdicts: Mapping[int, Verdict], ratio: float | None) -> Self:
        """The counts of verdicts, without rows."""
        counts = Counter(verdict.reason for verdict in verdicts.values())
        return cls(len(verdicts), {reason: counts[reason] for reason in REASONS if counts[reason]}, ratio)

    @property
    def accepted(self) -> float:
        """Share of the texts that were accepted."""
        return 1 - sum(self.rejected.values()) / self.num_texts


def write_report(file: Path, about: Mapping[str, object], reports: Mapping[str, LanguageReport]) -> None:
    """Write what a translation was made with, and the counts of each language, as JSON."""
    write_json(file, {**about, "languages": {language: asdict(report) for language, report in reports.items()}})
