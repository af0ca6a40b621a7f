"""Documents to be searched: read from files of several kinds, each with an id, a title, a text and a language.

`Documents` reads the user's files: JSON lines, Parquet, plain text and Markdown. `Atlas` is the embedded corpus.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from mixlingua.errors import ConfigError, DataError, suggest, suggest_beside
from mixlingua.languages import check_language, code_here
from mixlingua.reading import open_binary, read_lines
from mixlingua.retrieval.corpus import ID_FIELDS, entry_id, parse_fields

UNDETERMINED = "und"  # ISO 639-2: the code of a text whose language nobody named and none could be detected
_LINES, _TEXTS, _TABLES = (".jsonl", ".jsonl.gz"), (".txt", ".md", ".markdown"), (".parquet",)
KINDS = (*_LINES, *_TEXTS, *_TABLES)
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_HEADING = re.compile(r"^#\s+(.+?)\s*#*$", re.MULTILINE)


class Document(NamedTuple):
    """What a search finds. language: a code of `languages.py`, or None where it is not known. where: file and line."""

    id: str
    title: str
    text: str
    language: str | None
    where: str


class Corpus(ABC):
    """What an index is built of."""

    @abstractmethod
    def documents(self) -> Iterator[Document]:
        """Every document, in an order that does not change. Raises DataError where one cannot be read."""

    @abstractmethod
    def identity(self) -> str:
        """Differs where the documents may differ."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What the index's card says of where the documents come from."""

    def detector(self) -> "Detector":
        """Tells the language of documents that come without one."""
        return Detector()


@dataclass(frozen=True)
class Fields:
    """What the fields of JSON lines, of Parquet files and of Markdown's front matter are called.

    id: null: docid, _id or id, whichever is there
    language: null: language or lang, whichever is there
    """

    id: str | None = None
    title: str = "title"
    text: str = "text"
    language: str | None = None


@dataclass(frozen=True)
class Documents(Corpus):
    """The user's documents.

    path: a .jsonl, .jsonl.gz, .parquet, .txt or .md file, or a folder of such files. The id of a text file is its path
        in the folder; its title is the first heading, or else the file's name
    fields: their names in JSON lines, Parquet and front matter
    language: of all documents; null: as the field says, or else detected
    languages: what detection chooses among, such as [de, en]; null: all that it knows
    Raises ConfigError for values that cannot work.
    """

    path: str
    fields: Fields = field(default_factory=Fields)
    language: str | None = None
    languages: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for code in [*([self.language] if self.language is not None else []), *(self.languages or [])]:
            check_language(code, where="corpus.language" if code == self.language else "corpus.languages")
        if self.languages is not None and not self.languages:
            raise ConfigError("corpus.languages=[]: nothing to choose among; null: all languages that are known.")

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The files that are read, sorted. Raises DataError where there is none."""
        path = Path(self.path).expanduser()
        if path.is_file():
            if not path.name.endswith(KINDS):
                raise DataError(f"corpus={path}: no file of a known kind; known are {', '.join(KINDS)}.")
            return (path,)
        if not path.is_dir():
            raise DataError(f"corpus={path}: no such file or folder.{suggest_beside(path)}")
        files = tuple(file for file in _visible(path) if file.name.endswith(KINDS))
        if not files:
            raise DataError(f"corpus={path}: the folder holds no file of a known kind; known are {', '.join(KINDS)}.")
        return files

    @property
    def passed_over(self) -> int:
        """How many files of the folder are of no known kind."""
        path = Path(self.path).expanduser()
        return sum(1 for _ in _visible(path)) - len(self.files) if path.is_dir() else 0

    def documents(self) -> Iterator[Document]:
        """Every document, file by file; those of no text too.

        Raises DataError in the end where a field for titles or languages was named that is nowhere.
        """
        top = Path(self.path).expanduser()
        named = _Named(self.fields)
        for file in self.files:
            if file.name.endswith(_TEXTS):
                yield self._of_text_file(file, file.relative_to(top).as_posix() if top.is_dir() else file.name, named)
            elif file.name.endswith(_TABLES):
                yield from self._of_table(file, named)
            else:
                for number, line in read_lines(file):
                    where = f"{file}:{number}"
                    entry = parse_fields(line, where)
                    named.look_in(entry)
                    yield self._of_entry(entry, where)
        named.check(self.path)

    def identity(self) -> str:
        """Of the settings, and of each file's name, size and time of change."""
        files = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in self.files]
        return repr((self.fields, self.language, list(self.languages or ()), files))

    def detector(self) -> "Detector":
        """Chooses among `languages`."""
        return Detector(self.languages)

    def describe(self) -> dict[str, Any]:
        """Path, and numbers of files."""
        return {"path": str(Path(self.path).expanduser().absolute()), "files": len(self.files),
                "files_passed_over": self.passed_over}  # fmt: skip

    def _of_text_file(self, file: Path, name: str, named: "_Named") -> Document:
        with open_binary(file) as opened:
            raw = opened.read()
        try:
            text = raw.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{file}: invalid UTF-8 at byte {error.start}. Convert the file to UTF-8.") from error
        if not text.strip():
            return Document(name, "", "", None, str(file))  # left out, whatever the file is called
        if file.suffix == ".txt":
            return Document(name, file.stem, text.strip(), self._language({}, str(file)), str(file))
        front: Any = {}
        if found := _FRONT_MATTER.match(text):
            try:
                front = yaml.safe_load(found[1])
            except yaml.YAMLError:
                front = None  # a page may begin with a line, and hold another
            if isinstance(front, Mapping):
                text = text[found.end() :]
            else:
                front = {}
        named.look_in(front)
        title = front.get(self.fields.title)
        if not isinstance(title, str):
            heading = _HEADING.search(text)
            title = heading[1] if heading else file.stem
            if heading and not text[: heading.start()].strip():
                text = text[heading.end() :]
        return Document(name, title, text.strip(), self._language(front, str(file)), str(file))

    def _of_table(self, file: Path, named: "_Named") -> Iterator[Document]:
        try:
            table = pq.ParquetFile(file)
            names = table.schema_arrow.names
            self._check_names(names, f"{file}:")
            named.look_in(names)
            wanted = {self.fields.title, self.fields.text, self.fields.language or "language", "lang"}
            wanted |= {self.fields.id} if self.fields.id else set(ID_FIELDS)
            number = 0
            for batch in table.iter_batches(1024, columns=[name for name in names if name in wanted]):
                for entry in batch.to_pylist():
                    number += 1
                    yield self._of_entry(entry, f"{file}: row {number}")
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file}: cannot be read as Parquet ({error}). Fetch or write it again.") from error

    def _check_names(self, names: Sequence[str], where: str) -> None:
        """Raise DataError where an entry has no text, or not the field that was named."""
        for key, name in (("text", self.fields.text), ("id", self.fields.id), ("language", self.fields.language)):
            if name is not None and name not in names:
                raise DataError(
                    f'{where} no field "{name}"; it has {", ".join(names) or "none"}. Name the one that holds the '
                    f"{key}: corpus.fields.{key}=NAME.{suggest(name, names)}"
                )

    def _of_entry(self, entry: dict[str, Any], where: str) -> Document:
        text, title = entry.get(self.fields.text), entry.get(self.fields.title) or ""
        if self.fields.text not in entry:
            self._check_names(list(entry), f"{where}:")
        if not isinstance(text, str | None) or not isinstance(title, str):
            wrong = self.fields.title if isinstance(text, str | None) else self.fields.text
            raise DataError(f'{where}: "{wrong}" is {type(entry[wrong]).__name__}; a title and a text must be texts.')
        identity = entry_id(entry, (self.fields.id,) if self.fields.id else ID_FIELDS, where)
        return Document(identity, title.strip(), (text or "").strip(), self._language(entry, where), where)

    def _language(self, entry: Mapping[str, Any], where: str) -> str | None:
        if self.language is not None:
            return self.language
        names = (self.fields.language,) if self.fields.language else ("language", "lang")
        value = next((entry[name] for name in names if entry.get(name) not in (None, "")), None)
        if value is None:
            return None
        code = code_here(value) if isinstance(value, str) else None
        if code is None and value != UNDETERMINED:
            raise DataError(
                f"{where}: unknown language {value!r}. Use an ISO 639-1 code such as 'de', leave the field out to have "
                "the language detected, or give one for all: corpus.language=de."
            )
        return code or UNDETERMINED


class _Named:
    """The fields for titles and languages that the user named, as long as no entry was seen to have them."""

    def __init__(self, fields: Fields) -> None:
        given = {"title": fields.title, "language": fields.language}
        self._missing = {key: name for key, name in given.items() if name not in (None, getattr(Fields, key))}
        self._names: list[str] = []  # of the first entry that has any

    def look_in(self, names: Collection[str]) -> None:
        """The fields of an entry, or the columns of a table."""
        self._names = self._names or list(names)
        self._missing = {key: name for key, name in self._missing.items() if name not in names}

    def check(self, path: str) -> None:
        """Raise DataError for the first of those that are nowhere."""
        for key, name in self._missing.items():
            raise DataError(
                f"corpus.fields.{key}={name}: nothing in {path} has such a field; the first entry has "
                f"{', '.join(map(str, self._names)) or 'none'}.{suggest(str(name), map(str, self._names))}"
            )


def _visible(folder: Path) -> Iterator[Path]:
    """The files in a folder and below, sorted, without hidden ones and those in hidden folders."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts):
            yield file


@dataclass(frozen=True)
class Atlas(Corpus):
    """The passages of the embedded atlas benchmark, in eleven languages."""

    def documents(self) -> Iterator[Document]:
        """The evaluation part of atlas; an id is the fact's with the language."""
        from mixlingua.data.atlas import evaluation_split

        for language, passages in evaluation_split().passages.items():
            for fact, text in passages.items():
                yield Document(f"{fact}@{language}", "", text, language, f"atlas: {fact}@{language}")

    def identity(self) -> str:
        """The revision of its texts."""
        from mixlingua.data.atlas import REVISION

        return f"atlas {REVISION}"

    def describe(self) -> dict[str, Any]:
        """What it is, with the revision of its texts."""
        from mixlingua.data.atlas import LICENCE, REVISION

        return {"name": "atlas, the embedded passages", "revision": REVISION, "licence": LICENCE}


class Detector:
    """Tells the language of a text, by py3langid: naive Bayes over byte sequences, some hundred languages.

    Short texts are told badly, so `document` reads title and text together, and at most their first `_READ` characters.
    """

    name = "py3langid"
    _READ = 2000

    def __init__(self, languages: Sequence[str] | None = None) -> None:
        """languages: those to choose among; None: those that have a code of two letters, since a short text looks
        like one of the rare languages all too often. Raises ConfigError for one that the library does not know."""
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
        known = {code_here(label) or UNDETERMINED: label for label in self._identifier.labels}
        chosen = [code for code in known if len(code) == 2] if languages is None else languages
        if unknown := [code for code in chosen if code not in known]:
            raise ConfigError(
                f"corpus.languages: {', '.join(unknown)} cannot be detected; known are {', '.join(sorted(known))}. "
                "Give the language of each document by a field, or of all by corpus.language."
            )
        self._identifier.set_languages([*(known[code] for code in chosen), known[UNDETERMINED]])

    def __call__(self, document: Document) -> str:
        """The language's code, or `UNDETERMINED` where the text holds no language, such as numbers alone."""
        text = f"{document.title} {document.text}"[: self._READ]
        if not any(map(str.isalpha, text)):
            return UNDETERMINED
        label, _ = self._identifier.classify(text)
        return code_here(label) or UNDETERMINED
