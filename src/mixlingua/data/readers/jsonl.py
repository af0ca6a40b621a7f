"""JSON lines: own pairs of query and passage, and what every reader of JSON lines needs."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixlingua.data.rows import PairRow, check_texts, id_key
from mixlingua.errors import DataError, suggest
from mixlingua.files import content_hash, parse_json, read_lines
from mixlingua.languages import language_of

VERSION = "1"
_ROW_FIELDS = ("id", "queries", "passages", "passage_id", "touches", "negatives", "split_key")
_LANGUAGE_FIELDS = ("id", "query", "passage", "passage_id", "negatives")


class JsonlReader:
    """Rows of JSON lines, plain or .gz.

    path: a file or several, read one after the other in constant memory but for 8 bytes a row, with rows
    `{"id", "queries": {"de": ...}, "passages": {"de": ...}, "passage_id"?, "touches"?: [...],
    "negatives"?: {"de": [...]}, "split_key"?}`;
    or a mapping of languages to files, joined by id in memory, with rows
    `{"id", "query", "passage", "passage_id"?, "negatives"?: [...]}`.
    name: of the source

    Without passage_id a row's passage is its own; without split_key it is passages that are held out whole, not
    documents. Other fields are ignored, unless they look like a misspelt one.
    """

    def __init__(self, path: str | Path | Sequence[str | Path] | Mapping[str, str | Path], name: str = "jsonl") -> None:
        self.name = name
        self._per_language: dict[str, Path] = {}
        self._files: list[Path] = []
        if isinstance(path, Mapping):
            where = f"data.sources.{name}.path"
            self._per_language = {language_of(code, where): Path(path[code]) for code in sorted(path, key=str)}
        else:
            self._files = [Path(path)] if isinstance(path, str | Path) else [Path(file) for file in path]
        if not self._per_language and not self._files:
            raise DataError(f"data.sources.{name}.path: no file is named.")

    def fingerprint(self) -> str:
        """A hash of the files' content. Raises DataError where one is missing or empty."""
        files = [*self._files, *self._per_language.values()]
        for file in files:
            next(read_lines(file))
        return content_hash("jsonl", VERSION, ",".join(self._per_language), *files)

    def rows(self) -> Iterator[PairRow]:
        """The rows in file order. Raises DataError with file and line; a duplicate id is found after the last row."""
        return self._joined() if self._per_language else self._multilingual()

    def _multilingual(self) -> Iterator[PairRow]:
        for where, fields in read_json_rows(self._files, _ROW_FIELDS):
            yield _multilingual_row(fields, where)

    def _joined(self) -> Iterator[PairRow]:
        joined: dict[str, PairRow] = {}
        origin: dict[str, str] = {}
        for language, file in self._per_language.items():
            seen: dict[str, int] = {}
            for number, line in read_lines(file):
                where = f"{file}:{number}"
                fields = _parse(line, where, _LANGUAGE_FIELDS)
                part = _language_row(fields, language, where)
                if part.id in seen:
                    raise DataError(f"{where}: duplicate id '{part.id}', first seen at {file}:{seen[part.id]}.")
                seen[part.id] = number
                row = joined.setdefault(part.id, part)
                first = origin.setdefault(part.id, where)
                if part.passage_id != row.passage_id:
                    raise DataError(
                        f"{where}: passage_id '{part.passage_id}' for row '{part.id}', which has '{row.passage_id}' at "
                        f"{first}. One row has one passage_id in every language."
                    )
                row.queries.update(part.queries)
                row.passages.update(part.passages)
                row.negatives.update(part.negatives)
        yield from joined.values()


def read_json_rows(files: Sequence[Path], known: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """FILE:LINE and the fields of every line of several files, which have an id each; 8 bytes a row are kept.

    known: the names of fields; others are passed over, unless they look like a misspelt one. Raises DataError with file
    and line for what is no such row; for an id that comes twice, after the last row.
    """
    ids = array("q")
    starts = []
    for file in files:
        starts.append(len(ids))
        for number, line in read_lines(file):
            where = f"{file}:{number}"
            fields = _parse(line, where, known)
            ids.append(id_key(str(fields["id"])))
            yield where, fields
    keys = np.frombuffer(ids, np.int64)
    order = np.argsort(keys, kind="stable")
    repeats = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    if not len(repeats):
        return

    def place(row: int) -> str:  # a line is a row
        file = max(index for index, start in enumerate(starts) if start <= row)
        return f"{files[file]}:{row - starts[file] + 1}"

    again, first = min((int(order[repeat + 1]), int(order[repeat])) for repeat in repeats)
    raise DataError(
        f"{place(again)}: duplicate id, first seen at {place(first)} ({len(repeats)} in all). "
        "Every row needs an id of its own."
    )


def named_file(folder: Path, name: str) -> Path:
    """The path of NAME.jsonl in a folder where it is there, else that of NAME.jsonl.gz."""
    plain = folder / f"{name}.jsonl"
    return plain if plain.is_file() else folder / f"{name}.jsonl.gz"


def texts_of(fields: dict[str, Any], field: str, where: str) -> dict[str, str]:
    """Language -> text, of a field of a row. Raises DataError where it is missing, empty or of another kind."""
    texts = fields.get(field)
    if not isinstance(texts, dict) or not texts:
        raise DataError(f'{where}: no "{field}" for row "{fields["id"]}"; every row needs texts by language.')
    for language, text in texts.items():
        if not isinstance(text, str):
            raise DataError(f"{where}: {field}.{language} of row '{fields['id']}' is {text!r}; it must be a text.")
        language_of(language, where)
    return texts


def _parse(line: str, where: str, known: Sequence[str]) -> dict[str, Any]:
    if not line.strip():
        raise DataError(f"{where}: empty line. Remove it: every line is a row.")
    fields = parse_json(line, where)
    if not isinstance(fields, dict):
        raise DataError(f"{where}: expected an object with {', '.join(known[:3])}, found {type(fields).__name__}.")
    for field in fields.keys() - set(known):
        missing = [name for name in known if name not in fields]
        if hint := suggest(field, missing):
            raise DataError(f"{where}: unknown field '{field}'.{hint}")
    if not isinstance(fields.get("id"), str | int) or fields["id"] == "":
        raise DataError(f'{where}: no "id"; every row needs one, a text or a whole number.')
    return fields


def _multilingual_row(fields: dict[str, Any], where: str) -> PairRow:
    name = str(fields["id"])
    row = PairRow(
        id=name,
        queries=texts_of(fields, "queries", where),
        passages=texts_of(fields, "passages", where),
        passage_id=_name(fields, "passage_id", fields["id"], where),
        touches=_touches(fields, name, where),
        negatives=_negatives(fields.get("negatives") or {}, name, where),
        split_key=_name(fields, "split_key", "", where),
    )
    check_texts(row, where)
    return row


def _language_row(fields: dict[str, Any], language: str, where: str) -> PairRow:
    name = str(fields["id"])
    for side in ("query", "passage"):
        if not isinstance(fields.get(side), str):
            raise DataError(f'{where}: no "{side}" for row "{name}"; every row needs query and passage. Drop the row.')
    negatives = fields.get("negatives") or []
    row = PairRow(
        id=name,
        queries={language: fields["query"]},
        passages={language: fields["passage"]},
        passage_id=_name(fields, "passage_id", fields["id"], where),
        negatives=_negatives({language: negatives} if negatives else {}, name, where),
    )
    check_texts(row, where)
    return row


def _name(fields: dict[str, Any], field: str, otherwise: str | int, where: str) -> str:
    """What a field names something by; `otherwise` where it is absent."""
    if field not in fields:
        return str(otherwise)
    value = fields[field]
    if not isinstance(value, str | int) or value == "":
        raise DataError(f"{where}: {field} is {value!r}; it must be a text or a whole number. Drop it or set it.")
    return str(value)


def _touches(fields: dict[str, Any], name: str, where: str) -> tuple[str, ...]:
    touches = fields.get("touches") or []
    if not isinstance(touches, list) or not all(isinstance(other, str) for other in touches):
        raise DataError(f"{where}: touches of row '{name}' must be a list of texts: ids of what its passage contains.")
    return tuple(touches)


def _negatives(negatives: Any, name: str, where: str) -> dict[str, list[str]]:
    if not isinstance(negatives, dict) or not all(
        isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in negatives.values()
    ):
        raise DataError(f"{where}: negatives of row '{name}' must be lists of texts.")
    return negatives
