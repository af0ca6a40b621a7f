"""Files of queries and of judgements: TREC and BEIR formats, plain or .gz."""

from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path

from mixlingua.errors import DataError
from mixlingua.reading import read_lines
from mixlingua.retrieval.corpus import entry_id, parse_fields

Lines = Iterable[tuple[str, str, str, str]]  # file and line, query id, passage id, grade


def read_tsv_queries(path: Path) -> dict[str, str]:
    """id<TAB>text, one a line. Raises DataError naming file and line."""
    return _queries(path, _tsv_queries(path))


def read_json_queries(path: Path) -> dict[str, str]:
    """{"_id", "text"}, one a line, as in BEIR. Raises DataError naming file and line."""
    return _queries(path, _json_queries(path))


def read_trec_qrels(path: Path, queries: Container[str] | None) -> dict[str, dict[str, int]]:
    """query, an unused column, passage and grade, divided by blanks or tabs; queries: those that may be named, None for
    any. Raises DataError naming file and line."""
    return _judgements(path, _trec_qrels(path), queries)


def read_tsv_qrels(path: Path, queries: Container[str]) -> dict[str, dict[str, int]]:
    """query<TAB>passage<TAB>grade after a line of headings, as in BEIR. Raises DataError naming file and line."""
    return _judgements(path, _tsv_qrels(path), queries)


def read_ids(path: Path) -> set[str]:
    """Passage ids, one a line. Raises DataError naming file and line."""
    ids = set()
    for number, line in read_lines(path):
        if not line or line.split() != [line]:
            raise DataError(f"{path}:{number}: '{line}' is no passage id; the file has one a line and nothing else.")
        ids.add(line)
    return ids


def plain_or_gz(path: Path) -> Path:
    """`path`, or `path`.gz where only that is there."""
    packed = path.with_name(f"{path.name}.gz")
    return packed if packed.is_file() and not path.is_file() else path


def _tsv_queries(path: Path) -> Iterator[tuple[str, str, str]]:
    for number, line in read_lines(path):
        identity, tab, text = line.partition("\t")
        if not tab:
            raise DataError(f"{path}:{number}: no tab; each line is an id, a tab and a query.")
        yield f"{path}:{number}", identity, text


def _json_queries(path: Path) -> Iterator[tuple[str, str, str]]:
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        fields = parse_fields(line, where)
        identity, text = entry_id(fields, ("_id", "id"), where), fields.get("text")
        if not isinstance(text, str):
            raise DataError(f'{where}: query "{identity}" has no "text".')
        yield where, identity, text


def _queries(path: Path, entries: Iterator[tuple[str, str, str]]) -> dict[str, str]:
    queries: dict[str, str] = {}
    lines: dict[str, str] = {}  # query id -> file and line
    for where, identity, text in entries:
        if identity in queries:
            raise DataError(f"{where}: duplicate query id '{identity}', first seen at {lines[identity]}.")
        if not identity or not text.strip():
            raise DataError(f"{where}: the query or its id is blank.")
        queries[identity], lines[identity] = text.strip(), where
    return queries


def _trec_qrels(path: Path) -> Lines:
    for number, line in read_lines(path):
        columns = line.split()
        if len(columns) != 4:
            raise DataError(f"{path}:{number}: {len(columns)} columns; TREC qrels have query, Q0, passage and grade.")
        yield f"{path}:{number}", columns[0], columns[2], columns[3]


def _tsv_qrels(path: Path) -> Lines:
    for number, line in read_lines(path):
        columns = line.split("\t")
        if len(columns) != 3:
            raise DataError(
                f"{path}:{number}: {len(columns)} columns; there must be query, passage and grade, with tabs."
            )
        if number > 1:
            yield f"{path}:{number}", columns[0], columns[1], columns[2]
        elif _grade(columns[2]) is not None:
            raise DataError(f"{path}:1: a judgement; the first line must be headings: query-id, corpus-id and score.")


def _judgements(path: Path, lines: Lines, queries: Container[str] | None) -> dict[str, dict[str, int]]:
    judgements: dict[str, dict[str, int]] = {}
    for where, query, passage, text in lines:
        grade = _grade(text)
        if grade is None:
            raise DataError(f"{where}: the grade '{text}' is no whole number.")
        if queries is not None and query not in queries:
            raise DataError(
                f"{where}: no query '{query}'; its text must be in the file of queries. Drop the line or add it."
            )
        if judgements.setdefault(query, {}).setdefault(passage, grade) != grade:
            raise DataError(
                f"{where}: query '{query}' and passage '{passage}' were judged before, as {judgements[query][passage]} "
                f"and not {grade}. Keep one line."
            )
    if not judgements:
        raise DataError(f"{path}: no judgements.")
    return judgements


def _grade(text: str) -> int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() else None


def num_judgements(judgements: Mapping[str, Mapping[str, int]]) -> int:
    """How many pairs of query and passage were judged."""
    return sum(map(len, judgements.values()))
