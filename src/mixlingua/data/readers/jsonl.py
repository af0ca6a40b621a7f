"""JSON lines: own pairs of query and passage, read and written, and what every reader of JSON lines needs."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixlingua.data.rows import PairRow, check_texts, id_key, id_of
from mixlingua.errors import DataError, suggest
from mixlingua.files import content_hash
from mixlingua.languages import language_of
from mixlingua.reading import parse_json, read_lines

VERSION = "1"
_OPTIONAL = ("touches", "negatives", "scores", "split_key")
_ROW_FIELDS = ("id", "queries", "passages", "passage_id", *_OPTIONAL)
_LANGUAGE_FIELDS = ("id", "query", "passage", "passage_id", "negatives", "scores")


class JsonlReader:
    """Rows of JSON lines, plain or .gz.

    path: a file or several, read one after the other in constant memory but for 8 bytes a row, with rows
    `{"id", "queries": {"de": ...}, "passages": {"de": ...}, "passage_id"?, "touches"?: [...],
    "negatives"?: {"de": [...]}, "scores"?: {"de": [...]}, "split_key"?}`;
    or a mapping of languages to files, joined by id in memory, with rows
    `{"id", "query", "passage", "passage_id"?, "negatives"?: [...], "scores"?: [...]}`.
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
        check_files([*self._per_language.values(), *self._files], f"data.sources.{name}.path")

    def fingerprint(self) -> str:
        """A hash of the files' content. Raises DataError where one is missing or empty."""
        files = [*self._files, *self._per_language.values()]
        for file in files:
            next(read_lines(file))
        return content_hash("jsonl", VERSION, ",".join(self._per_language), *files)

    def rows(self) -> Iterator[PairRow]:
        """The rows in file order. Raises DataError with file and line; a duplicate id is found after the last row."""
        return joined_by_id(self._by_language()) if self._per_language else self._multilingual()

    def _multilingual(self) -> Iterator[PairRow]:
        for where, fields in read_json_rows(self._files, _ROW_FIELDS):
            yield _row(fields, texts_of(fields, "queries", where), texts_of(fields, "passages", where), where)

    def _by_language(self) -> Iterator[tuple[str, PairRow]]:
        for language, file in self._per_language.items():
            for number, line in read_lines(file):
                where = f"{file}:{number}"
                fields = _parse(line, where, _LANGUAGE_FIELDS)
                if lacking := [side for side in ("query", "passage") if not isinstance(fields.get(side), str)]:
                    raise DataError(
                        f'{where}: no "{lacking[0]}" for row "{fields["id"]}"; every row needs both. Drop it.'
                    )
                fields |= {field: {language: fields[field]} for field in ("negatives", "scores") if fields.get(field)}
                yield where, _row(fields, {language: fields["query"]}, {language: fields["passage"]}, where)


def check_files(files: Sequence[Path], where: str) -> None:
    """Raise DataError, starting with `where`, where no file is named, or one twice: one file has one language."""
    if not files:
        raise DataError(f"{where}: no file is named.")
    if repeated := [file for file in files if files.count(file) > 1]:
        raise DataError(f"{where}: {repeated[0]} is named {len(repeated)} times. Name each file once.")


def joined_by_id(rows: Iterable[tuple[str, PairRow]]) -> Iterator[PairRow]:
    """Rows of one language each, with where they stand, as rows of all languages; in memory.

    Raises DataError for an id that comes twice in a language, and for one with two passage ids.
    """
    joined: dict[str, PairRow] = {}
    seen: dict[tuple[str, str], str] = {}
    for where, part in rows:
        (language,) = part.queries
        if first := seen.get((part.id, language)):
            raise DataError(f"{where}: duplicate id '{part.id}', first seen at {first}.")
        row = joined.setdefault(part.id, part)
        if part.passage_id != row.passage_id:
            raise DataError(
                f"{where}: passage_id '{part.passage_id}' for row '{part.id}', which has '{row.passage_id}' at "
                f"{next(place for (name, _), place in seen.items() if name == part.id)}. One row has one passage_id in "
                "every language."
            )
        seen[part.id, language] = where
        for field in ("queries", "passages", "negatives", "scores"):
            getattr(row, field).update(getattr(part, field))
    yield from joined.values()


def row_fields(row: PairRow) -> dict[str, Any]:
    """The row as a line of JSON has it: what `JsonlReader` reads back."""
    required = {"id": row.id, "queries": row.queries, "passages": row.passages, "passage_id": row.passage_id}
    return required | {field: value for field in _OPTIONAL if (value := getattr(row, field))}


class OwnIds:
    """Gives each row of a file that is written an id of its own, as `JsonlReader` needs it: the id that it has, or,
    where an earlier row has that, the id and a number."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._repeats: Counter[str] = Counter()

    def __call__(self, name: str) -> str:
        own = name
        while (key := id_key(own)) in self._known:
            self._repeats[name] += 1
            own = f"{name}#{self._repeats[name] + 1}"
        self._known.add(key)
        return own


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


def label_of(fields: Mapping[str, Any], field: str, where: str) -> str:
    """The document or the fold of a row, as a text; empty where the field is absent, null or empty."""
    value = fields.get(field)
    return "" if value is None or value == "" else id_of(value, f"{where}: {field}")


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
    if "id" not in fields:
        raise DataError(f'{where}: no "id"; every row needs one, a text or a whole number.')
    id_of(fields["id"], f"{where}: id")
    return fields


def _row(fields: dict[str, Any], queries: dict[str, str], passages: dict[str, str], where: str) -> PairRow:
    row = PairRow(
        id=str(fields["id"]),
        queries=queries,
        passages=passages,
        passage_id=_name(fields, "passage_id", fields["id"], where),
        touches=tuple(_checked_list(fields.get("touches") or [], str, f"{where}: touches of row '{fields['id']}'")),
        negatives=_listed_by_language(fields, "negatives", str, where),
        scores=_listed_by_language(fields, "scores", (int, float), where),
        split_key=_name(fields, "split_key", "", where),
    )
    check_texts(row, where)
    return row


def _name(fields: dict[str, Any], field: str, otherwise: str | int, where: str) -> str:
    """What a field names something by; `otherwise` where it is absent."""
    return id_of(fields[field], f"{where}: {field}") if field in fields else str(otherwise)


def _listed_by_language(fields: dict[str, Any], field: str, kind: Any, where: str) -> dict[str, list[Any]]:
    by_language, what = fields.get(field) or {}, f"{where}: {field} of row '{fields['id']}'"
    if not isinstance(by_language, dict):
        raise DataError(f"{what} must be lists by language.")
    return {language: _checked_list(values, kind, what) for language, values in by_language.items()}


def _checked_list(values: Any, kind: Any, what: str) -> list[Any]:
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise DataError(f"{what} must be lists of {'texts' if kind is str else 'numbers'}.")
    return values
