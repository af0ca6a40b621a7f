"""Training data by columns, as the files of other libraries have it.

A record is a row of a table or an object of JSON. `Columns` says where it has its query, its passages that answer,
those that do not, and what a teacher scored them with; `FORMATS` are those of other libraries.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mixlingua.data.readers.jsonl import check_files, joined_by_id
from mixlingua.data.rows import PairRow, check_texts, id_of
from mixlingua.errors import DataError, check_choice, suggest
from mixlingua.files import content_hash
from mixlingua.languages import language_of
from mixlingua.reading import MAX_LINE_BYTES, MAX_WHOLE_BYTES, parse_json, read_json, read_lines

VERSION = "2"
Record = tuple[str, Mapping[str, Any]]  # where it stands, and its columns
LABELS = ("label", "labels", "score", "scores")
_NO_TEXTS = ("id", "")  # "": of the numbers of rows, as pandas writes them
_QUERIES = ("anchor", "query", "question")
_PASSAGES = ("positive", "passage", "answer", "document", "negative")


class _Texts(NamedTuple):
    """Of a record in one language. passages, negatives: (id, text); a blank passage keeps its place for translations.
    scores: of the passages, then of the negatives."""

    query: str
    passages: list[tuple[str, str]]
    negatives: list[tuple[str, str]]
    scores: list[float]


@dataclass(frozen=True)
class Columns:
    """Where a record has its texts and scores. Dots lead into objects: `answers.text`.

    `{language}` in a name stands for a language, so that a record may have several: `question_{language}`.
    query, passages, negatives: a text, an object with `text` and perhaps `title`, or a list of these; every passage
    makes a row of its own. scores: of the passages, then of the negatives; or, for one passage, how much lower each
    negative scores. id: where there is none, the number of the record. language: a column with its code.
    """

    query: str = "query"
    passages: Sequence[str] = ("passage",)
    negatives: Sequence[str] = ()
    scores: Sequence[str] = ()
    id: str | None = None
    language: str | None = None

    def rows(self, record: Record, number: int, languages: Sequence[str]) -> Iterator[PairRow]:
        """A row for each passage. Raises DataError, starting with where the record stands, for what is no such record.

        number: of the record, from 1. languages: of a record without a column that says it.
        """
        where, values = record
        name = str(number) if self.id is None else id_of(_value(values, self.id, where), f"{where}: {self.id}")
        if self.language is not None:
            code = _value(values, self.language, where)
            languages = [language_of(str(code), where)]
        parts = {language: self._texts(values, language, where) for language in languages}
        parts = {code: part for code, part in parts.items() if part.query and any(text for _, text in part.passages)}
        if not parts:
            raise DataError(f"{where}: no query with a passage (columns {self.query}, {', '.join(self.passages)}).")
        for place in range(max(len(part.passages) for part in parts.values())):
            here = {
                language: part
                for language, part in parts.items()
                if place < len(part.passages) and part.passages[place][1]
            }
            if not here:
                continue
            row_id = name if place == 0 else f"{name}:{place + 1}"
            row = PairRow(
                id=row_id,
                queries={language: part.query for language, part in here.items()},
                passages={language: part.passages[place][1] for language, part in here.items()},
                passage_id=next(filter(None, (part.passages[place][0] for part in here.values())), row_id),
                negatives={
                    language: [text for _, text in part.negatives] for language, part in here.items() if part.negatives
                },
                scores={
                    language: [part.scores[place], *part.scores[len(part.passages) :]]
                    for language, part in here.items()
                    if part.scores
                },
            )
            check_texts(row, where)
            yield row

    def _texts(self, values: Mapping[str, Any], language: str, where: str) -> _Texts:
        def read(names: Sequence[str], parse: Callable[[Any, str], list]) -> list:
            named = [name.replace("{language}", language) for name in names]
            return [part for name in named for part in parse(_value(values, name, where), f"{where}: {name}")]

        queries = [query for query in read([self.query], _documents) if query[1]]
        passages, negatives = read(self.passages, _documents), read(self.negatives, _documents)
        scores = read(self.scores, _numbers)
        if len(queries) > 1:
            raise DataError(f"{where}: {len(queries)} queries in one record; a record has one.")
        if scores and len(passages) == 1 and len(scores) == len(negatives):
            scores = [0.0, *(-margin for margin in scores)]
        if scores and len(scores) != len(passages) + len(negatives):
            raise DataError(
                f"{where}: {len(scores)} scores ({', '.join(self.scores)}) for {len(passages)} passages and "
                f"{len(negatives)} negatives; each needs one. Mend the record, or drop its scores."
            )
        written = [number for number, (_, text) in enumerate(negatives) if text]
        if scores:
            scores = [*scores[: len(passages)], *(scores[len(passages) + number] for number in written)]
        return _Texts(queries[0][1] if queries else "", passages, [negatives[number] for number in written], scores)


def _value(values: Any, name: str, where: str) -> Any:
    """What stands at a name with dots; of a list, in all of its members. None where an object has no such field."""
    first, _, rest = name.partition(".")
    if isinstance(values, list):
        return [_value(value, name, where) for value in values]
    if isinstance(values, Mapping) and first in values:
        return _value(values[first], rest, where) if rest else values[first]
    if isinstance(values, Mapping):
        raise DataError(f"{where}: no '{first}'; it has {', '.join(map(str, values))}.{suggest(first, list(values))}")
    return None


def _documents(value: Any, where: str) -> list[tuple[str, str]]:
    """(id, text) of a text, of an object, or of each in a list; the text is empty where it is null or blank."""
    if value is None:
        return [("", "")]
    if isinstance(value, list | tuple):
        return [document for part in value for document in _documents(part, where)]
    if isinstance(value, str):
        return [("", value if value.strip() else "")]
    if isinstance(value, Mapping) and isinstance(value.get("text"), str):
        docid = value.get("docid")
        return [("" if docid is None else str(docid), f"{value.get('title') or ''} {value['text']}".strip())]
    raise DataError(f"{where}: {value!r:.80}: it must be a text, an object with 'text', or a list of these.")


def _numbers(value: Any, where: str) -> list[float]:
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [number for part in value for number in _numbers(part, where)]
    try:
        return [float(value)]
    except (TypeError, ValueError):
        raise DataError(f"{where}: {value!r:.80}: it must be a number, or a list of numbers.") from None


def _in_order(record: Record) -> Columns:
    """The columns of sentence-transformers: query, passage, negatives in this order, and a label by its name."""
    where, values = record
    texts, labels = [[name for name in values if (name in LABELS) == labelled] for labelled in (False, True)]
    if len(texts) < 2:
        raise DataError(f"{where}: columns {', '.join(values)}; a query and a passage are needed, in this order.")
    if texts[0] in _PASSAGES or any(name in _QUERIES for name in texts[1:]) or any(name in _NO_TEXTS for name in texts):
        raise DataError(
            f"{where}: columns {', '.join(texts)}: the first is taken for the query, the second for the passage, the "
            "others for negatives. Put them into this order, without other columns, or name them with data=hf."
        )
    if len(texts) == 2 and labels:
        raise DataError(
            f"{where}: pairs with '{labels[0]}', of which some may not answer. Keep those that do, without the column."
        )
    return Columns(texts[0], texts[1:2], texts[2:], labels)


FORMATS: dict[str, Columns | None] = {
    "flagembedding": Columns(passages=["pos"], negatives=["neg"], scores=["pos_scores", "neg_scores"]),
    "tevatron": Columns(id="query_id", passages=["positive_passages"], negatives=["negative_passages"]),
    "sentence_transformers": None,  # by the order of the columns
}
_OPTIONAL = {"flagembedding": ("neg", "pos_scores", "neg_scores"), "tevatron": ("negative_passages",)}


class ColumnsReader:
    """Rows from files of other libraries: JSON lines, JSON, CSV and TSV (all also .gz), or parquet.

    path: a file or several; or a mapping of languages to files, joined by the records' ids, or by their numbers where
    they have none, in memory
    format: flagembedding (`query`, `pos`, `neg`, perhaps `pos_scores`, `neg_scores`), tevatron (`query_id`, `query`,
    `positive_passages`, `negative_passages`), or sentence_transformers (a query, a passage and perhaps negatives in the
    order of the columns, and a teacher's scores or margins as `label` or `scores`)
    language: of the files, where they are not by language
    name: of the source
    """

    def __init__(
        self,
        path: str | Path | Sequence[str | Path] | Mapping[str, str | Path],
        format: str,
        language: str = "en",
        name: str = "columns",
    ) -> None:
        key = f"data.sources.{name}"
        check_choice(f"{key}.format", format, FORMATS)
        self.name, self.format = name, format
        if isinstance(path, Mapping):
            self._files = [(language_of(code, f"{key}.path"), Path(path[code])) for code in sorted(path, key=str)]
        else:
            files = [path] if isinstance(path, str | Path) else path
            self._files = [(language_of(language, f"{key}.language"), Path(file)) for file in files]
        self._by_language = isinstance(path, Mapping)
        check_files([file for _, file in self._files], f"{key}.path")

    def fingerprint(self) -> str:
        """A hash of the files' content and the options. Raises DataError where a file is missing."""
        for _, file in self._files:
            if not file.is_file():
                next(read_lines(file))
        languages = ",".join(language for language, _ in self._files)
        return content_hash("columns", VERSION, self.format, languages, *(file for _, file in self._files))

    def rows(self) -> Iterator[PairRow]:
        """The rows in file order. Raises DataError with file and line, or number, for what is malformed."""
        rows = self._rows()
        return joined_by_id(rows) if self._by_language else (row for _, row in rows)

    def _rows(self) -> Iterator[tuple[str, PairRow]]:
        number = 0
        for language, file in self._files:
            columns, first = FORMATS[self.format], None
            number = 0 if self._by_language else number
            for where, values in read_records(file):
                number += 1
                if columns is None:
                    columns, first = _in_order((where, values)), values
                if first is not None and (further := [name for name in values if name not in first]):
                    raise DataError(
                        f"{where}: column '{further[0]}', which the first record lacks. Give every record the same."
                    )
                lacking: dict[str, list] = {name: [] for name in _OPTIONAL.get(self.format, ()) if name not in values}
                for row in columns.rows((where, {**values, **lacking}), number, [language]):
                    yield where, row


def read_records(file: Path) -> Iterator[Record]:
    """The records of a file, by the ending of its name. Raises DataError with file and line, or number."""
    kind = next((suffix for suffix in reversed(file.suffixes) if suffix != ".gz"), "")
    if kind == ".jsonl":
        found: Iterator[tuple[str, Any]] = (
            (f"{file}:{number}", parse_json(line, f"{file}:{number}")) for number, line in read_lines(file)
        )
    elif kind == ".json":
        content = read_json(file)
        found = (
            (f"{file}[{place}]", value) for place, value in enumerate(content if isinstance(content, list) else [])
        )
    elif kind in (".csv", ".tsv"):
        found = _read_separated(file, "\t" if kind == ".tsv" else ",")
    elif kind == ".parquet":
        found = _read_parquet(file)
    else:
        raise DataError(f"{file}: no kind of file that is read; they are .jsonl, .json, .csv, .tsv (.gz) and .parquet.")
    for where, value in found:
        if not isinstance(value, Mapping):
            raise DataError(f"{where}: expected an object, found {type(value).__name__}.")
        yield where, value


def _read_separated(file: Path, delimiter: str) -> Iterator[Record]:
    lines = (f"{line}\n" for _, line in read_lines(file))
    table = csv.DictReader(lines, delimiter=delimiter, strict=True)
    try:
        for number, values in enumerate(_with_long_fields(table)):
            where = f"{file}:{table.line_num}"
            if number == 0:
                _refuse_repeated(table.fieldnames or (), str(file))
            if None in values or None in values.values():
                raise DataError(f"{where}: not as many columns as the first line names. Mend or remove the line.")
            yield where, values
    except csv.Error as error:
        raise DataError(f"{file}:{table.line_num}: malformed ({error}). Mend or remove the line.") from error


def _refuse_repeated(names: Sequence[str], where: str) -> None:
    """Raise DataError where two columns have one name: a record would have the second alone."""
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{where}: two columns are named '{repeated}'. Give each a name of its own.")


def _with_long_fields(table: "csv.DictReader[str]") -> Iterator[dict[str, Any]]:
    """The rows of a table whose fields may be as long as a line. The limit is the process's, so it is put back."""
    while True:
        limit = csv.field_size_limit(MAX_LINE_BYTES)
        try:
            values = next(table, None)
        finally:
            csv.field_size_limit(limit)
        if values is None:
            return
        yield values


def _read_parquet(file: Path) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        check_row_groups(file)
        _refuse_repeated(pq.read_schema(file).names, str(file))
        number = 0
        for batch in pq.ParquetFile(file).iter_batches(batch_size=1024):
            for values in batch.to_pylist():
                number += 1
                yield f"{file}: row {number}", values
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: no parquet file, or damaged ({error}). Fetch the file again.") from error


def check_row_groups(file: Path) -> None:
    """Raise DataError where a part of a parquet file, which is unpacked whole, has more than MAX_WHOLE_BYTES."""
    import pyarrow.parquet as pq

    metadata = pq.ParquetFile(file).metadata
    for group in range(metadata.num_row_groups):
        if (size := metadata.row_group(group).total_byte_size) > MAX_WHOLE_BYTES:
            raise DataError(
                f"{file}: row group {group} has {size:,} bytes unpacked, more than the limit of {MAX_WHOLE_BYTES:,}. "
                "Write the file with smaller row groups."
            )
