"""Training data by columns: files of other libraries, and any data set of the library `datasets`.

A record is a row of a table or an object of JSON. `Columns` says where it has its query, its passages that answer,
those that do not, and what a teacher scored them with; `FORMATS` are those of other libraries.
"""

import csv
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mixlingua.data.readers.jsonl import joined_by_id
from mixlingua.data.rows import PairRow, check_texts
from mixlingua.errors import ConfigError, DataError, check_choice, suggest
from mixlingua.files import MAX_LINE_BYTES, MAX_WHOLE_BYTES, content_hash, parse_json, read_json, read_lines
from mixlingua.languages import language_of

logger = logging.getLogger(__name__)

VERSION = "1"
Record = tuple[str, Mapping[str, Any]]  # where it stands, and its columns
LABELS = ("label", "labels", "score", "scores")
_QUERIES = ("anchor", "query", "question")
_PASSAGES = ("positive", "passage", "answer", "document", "negative")


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
        name = str(number if self.id is None else _value(values, self.id, where))
        if self.language is not None:
            code = _value(values, self.language, where)
            languages = [language_of(str(code), where)]
        parts = {language: self._texts(values, language, where) for language in languages}
        parts = {language: part for language, part in parts.items() if part[0] and part[1]}
        if not parts:
            raise DataError(f"{where}: no query with a passage (columns {self.query}, {', '.join(self.passages)}).")
        for place in range(max(len(passages) for _, passages, _, _ in parts.values())):
            row = PairRow(name if place == 0 else f"{name}:{place + 1}", {}, {}, "")
            documents = []
            for language, (query, passages, negatives, scores) in parts.items():
                if place < len(passages):
                    document, row.passages[language] = passages[place]
                    documents.append(document)
                    row.queries[language] = query
                    if negatives:
                        row.negatives[language] = [text for _, text in negatives]
                    if scores:
                        row.scores[language] = [scores[place], *scores[len(passages) :]]
            passage_id = next(filter(None, documents), row.id)
            row = PairRow(row.id, row.queries, row.passages, passage_id, negatives=row.negatives, scores=row.scores)
            check_texts(row, where)
            yield row

    def _texts(self, values: Mapping[str, Any], language: str, where: str) -> tuple[str, list, list, list[float]]:
        """The query, (id, text) of the passages and of the negatives, and the scores of both."""

        def read(names: Sequence[str], parse: Callable[[Any, str], list]) -> list:
            named = [name.replace("{language}", language) for name in names]
            return [part for name in named for part in parse(_value(values, name, where), f"{where}: {name}")]

        queries = read([self.query], _documents)
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
        return queries[0][1] if queries else "", passages, negatives, scores


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
    """(id, text) of a text, of an object, or of each in a list; blank ones are none."""
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [document for part in value for document in _documents(part, where)]
    if isinstance(value, str):
        return [("", value)] if value.strip() else []
    if isinstance(value, Mapping) and isinstance(value.get("text"), str):
        text = f"{value.get('title') or ''} {value['text']}".strip()
        return [(str(value.get("docid") or ""), text)] if text else []
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
    if texts[0] in _PASSAGES or any(name in _QUERIES for name in texts[1:]):
        raise DataError(
            f"{where}: columns {', '.join(texts)}: the first is taken for the query, the second for the passage, the "
            "others for negatives. Put them into this order, or name them with data=hf."
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
            columns = FORMATS[self.format]
            number = 0 if self._by_language else number
            for record in read_records(file):
                number += 1
                where, values = record
                columns = columns or _in_order(record)
                lacking = {name: None for name in _OPTIONAL.get(self.format, ()) if name not in values}
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
        for values in _with_long_fields(table):
            where = f"{file}:{table.line_num}"
            if None in values or None in values.values():
                raise DataError(f"{where}: not as many columns as the first line names. Mend or remove the line.")
            yield where, values
    except csv.Error as error:
        raise DataError(f"{file}:{table.line_num}: malformed ({error}). Mend or remove the line.") from error


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
        number = 0
        for batch in pq.ParquetFile(file).iter_batches(batch_size=1024):
            for values in batch.to_pylist():
                number += 1
                yield f"{file}: row {number}", values
    except (pa.ArrowException, OSError) as error:
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


class HubReader:
    """Rows from a data set of the library `datasets`: of the hub, of a folder, or saved by `save_to_disk`.

    path: a hub id (owner/name), or a folder
    columns: which columns are what, by the fields of `Columns`: query, passages, negatives, scores, id, language; null:
    `query` and `passage`
    languages: of the data set; several where the columns' names have `{language}`
    subset, split, revision: as `datasets.load_dataset` takes them (its name, split, revision); name a commit to train
    on the same rows again
    streaming: read from the hub as rows are asked for, without fetching whole files first
    max_rows: the first so many records; null: all
    name: of the source
    """

    def __init__(
        self,
        path: str | Path,
        columns: Mapping[str, Any] | None = None,
        languages: Sequence[str] = ("en",),
        subset: str | None = None,
        split: str = "train",
        revision: str | None = None,
        streaming: bool = False,
        max_rows: int | None = None,
        name: str = "hf",
    ) -> None:
        key, columns = f"data.sources.{name}", columns or {}
        known = [field.name for field in fields(Columns)]
        for field in columns:
            if field not in known:
                raise ConfigError(
                    f"{key}.columns.{field}: it is one of {', '.join(known)}.{suggest(str(field), known)}"
                )
        lists = {field: [columns[field]] if isinstance(columns[field], str) else list(columns[field])
                 for field in ("passages", "negatives", "scores") if columns.get(field)}  # fmt: skip
        self.columns = Columns(**{**columns, **lists})
        named = "{language}" in f"{self.columns.query} {' '.join(self.columns.passages)}"
        if len(languages) != 1 and not named:
            raise ConfigError(
                f"{key}.languages={list(languages)}: with several, the columns' names say which is which, such as "
                f"{key}.columns.query='question_{{language}}'."
            )
        self.languages = [language_of(code, f"{key}.languages") for code in languages]
        self.name, self.path, self.subset, self.split, self.revision = name, str(path), subset, split, revision
        self.streaming, self.max_rows = streaming, max_rows

    def fingerprint(self) -> str:
        """A hash of the options and of a folder's files; of a data set of the hub its id and revision count."""
        folder = Path(self.path)
        files = sorted(file for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else []
        options = (self.columns, self.languages, self.subset, self.split, self.revision, self.max_rows)
        identity = [part for file in files for part in (file.relative_to(folder).as_posix(), file)] or [self.path]
        return content_hash("hf", VERSION, repr(options), *identity)

    def rows(self) -> Iterator[PairRow]:
        """The rows in the data set's order. Raises DataError where it cannot be read, or a record is malformed."""
        records = self._load()
        seen = 0
        for number, values in enumerate(records if self.max_rows is None else records.take(self.max_rows), start=1):
            seen = number
            yield from self.columns.rows((f"{self.path}[{self.split}] row {number}", values), number, self.languages)
        logger.info("%s: %d records of %s", self.name, seen, self.path)

    def _load(self) -> Any:
        try:
            from datasets import load_dataset, load_from_disk
        except ModuleNotFoundError as error:
            raise DataError("data=hf needs the library datasets: pip install 'datasets>=4,<6'.") from error
        try:
            if any((Path(self.path) / file).is_file() for file in ("state.json", "dataset_dict.json")):
                saved = load_from_disk(self.path)
                return saved[self.split] if isinstance(saved, dict) else saved
            return load_dataset(
                self.path, self.subset, split=self.split, revision=self.revision, streaming=self.streaming
            )
        except Exception as error:  # datasets and the hub's client raise their own errors, those of HTTP and OSErrors
            raise DataError(
                f"data.sources.{self.name}.path={self.path}: cannot be read ({type(error).__name__}: {error}). It is a "
                "hub id (owner/name) with its subset, split and revision, or a folder; without a network, bring the "
                "files and set path to their folder. Code of data sets is never run."
            ) from error
