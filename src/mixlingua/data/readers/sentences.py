"""Sentences with their translations, from the files of every format that parallel text comes in."""

import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

from mixlingua.data.public_corpora import DOCUMENTS
from mixlingua.data.readers.jsonl import label_of, read_json_rows, texts_of
from mixlingua.data.rows import PIVOT, normalised
from mixlingua.errors import DataError
from mixlingua.reading import MAX_FILE_BYTES, MAX_LINE_BYTES, check_size, open_binary, read_aligned, read_lines

_JSON_FIELDS = ("id", "doc", "fold", "texts")
_PIECE_BYTES = 1 << 16
_XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence in its languages. document, fold: empty where they are not known. where: file and line, for errors."""

    id: str
    texts: dict[str, str]
    where: str
    document: str = ""
    fold: str = ""


@dataclass(frozen=True)
class ParallelFiles:
    """The files of a source of parallel text.

    parts: name -> language (or `DOCUMENTS`) -> file; files of one part hold the same sentences. format: "jsonl",
    "lines", or one of `KEYED`. header, merge, dev_lines: as public_corpora.toml explains them.
    """

    format: str
    parts: Mapping[str, Mapping[str, Path]]
    header: int = 0
    merge: bool = False
    dev_lines: frozenset[int] = frozenset()

    def identity(self) -> list[str | Path]:
        """What tells these files from others, for `content_hash`. Raises DataError where one is missing or empty."""
        identity: list[str | Path] = [self.format]
        for part, files in self.parts.items():
            for language, file in files.items():
                if self.format in ("jsonl", "lines"):
                    next(read_lines(file))
                identity += [f"{part}/{language}", file]
        return identity

    def sentences(self, *, blank_allowed: bool) -> Iterator[Sentence]:
        """The sentences, part by part; in constant memory where the format is "jsonl" or "lines" and none are merged.

        blank_allowed: as `aligned_sentences` takes it. Raises DataError with file and line for what is malformed.
        """
        parts = (self._part(part, blank_allowed) for part in self.parts)
        sentences: Iterator[Sentence] = (sentence for part in parts for sentence in part)
        if self.merge:
            sentences = merged_sentences(sentences)
        for number, sentence in enumerate(sentences, start=1):
            if self.dev_lines:
                sentence = replace(sentence, fold="dev" if number in self.dev_lines else "train")
            yield sentence

    def _part(self, part: str, blank_allowed: bool) -> Iterator[Sentence]:
        files = self.parts[part]
        if self.format == "jsonl":
            return json_sentences(list(files.values()))
        if self.format == "lines":
            return aligned_sentences(part, files, header=self.header, blank_allowed=blank_allowed)
        return keyed_sentences(files, self.format)


def json_sentences(files: Sequence[Path]) -> Iterator[Sentence]:
    """The rows `{"id", "doc"?, "fold"?, "texts": {language: text}}` of JSON lines, in file order.

    Raises DataError with file and line; a duplicate id is found after the last row.
    """
    for where, fields in read_json_rows(files, _JSON_FIELDS):
        document, fold = (label_of(fields, field, where) for field in ("doc", "fold"))
        yield Sentence(str(fields["id"]), texts_of(fields, "texts", where), where, document, fold)


def aligned_sentences(
    part: str, files: Mapping[str, Path], *, header: int = 0, blank_allowed: bool = False
) -> Iterator[Sentence]:
    """The lines of line-aligned files, by language, and perhaps a file of `DOCUMENTS`: the last column of its line.

    part: begins the ids where documents are not known. blank_allowed: a sentence lacks the languages in which its line
    is blank. Raises DataError for files of different length and, unless blank_allowed, for blank lines.
    """
    first = next(iter(files.values()))
    for number, texts in read_aligned(files, header=header, blank_allowed=blank_allowed):
        document = texts.pop(DOCUMENTS, "").rpartition("\t")[2]
        name = document or part
        yield Sentence(
            id=f"{name}:{number}" if name else str(number),
            texts={language: text for language, text in texts.items() if text},
            where=f"{first}:{number}",
            document=document,
        )


def keyed_sentences(files: Mapping[str, Path], format: str) -> Iterator[Sentence]:
    """The sentences of files in a format of `KEYED`, by language, joined by the key that the format gives them.

    They come in the order of the first file, and are in memory. Raises DataError where a file is not in that format,
    or has a key twice.
    """
    joined: dict[str, Sentence] = {}
    for language, file in files.items():
        empty = True
        for key, document, text in KEYED[format](file, language):
            empty = False
            sentence = joined.setdefault(key, Sentence(key, {}, f"{file}: {key}", document))
            if language in sentence.texts:
                raise DataError(f"{file}: {key} comes twice. Fetch the file again.")
            sentence.texts[language] = text
        if empty:
            raise DataError(f"{file}: no sentence in '{language}'. Fetch the file again.")
    yield from joined.values()


def merged_sentences(sentences: Iterable[Sentence]) -> Iterator[Sentence]:
    """Sentences with the same English text as one, with the id of the first and the translations of all; in memory."""
    by_english: dict[str, Sentence] = {}
    for sentence in sentences:
        known = by_english.setdefault(normalised(sentence.texts.get(PIVOT, sentence.id)), sentence)
        for language, text in sentence.texts.items():
            known.texts.setdefault(language, text)
    yield from by_english.values()


def read_conllu(file: Path, language: str) -> Iterator[tuple[str, str, str]]:
    """sent_id, document (newdoc id) and text of each sentence of a CoNLL-U file (universaldependencies.org/format)."""
    key = document = ""
    for number, line in read_lines(file):
        field, equals, value = line.partition(" = ")
        if not equals:
            continue
        if field == "# newdoc id":
            document = value.strip()
        elif field == "# sent_id":
            key = value.strip()
        elif field == "# text" and value.strip():
            if not key:
                raise DataError(f"{file}:{number}: a text before its sent_id. Fetch the file again.")
            yield key, document, value.strip()
            key = ""


def read_tmx(file: Path, language: str) -> Iterator[tuple[str, str, str]]:
    """tuid, document (the tuid before its last colon) and text of each unit of the TMX file in a .tmx.zip.

    Raises DataError for more than MAX_LINE_BYTES in a unit or MAX_FILE_BYTES in all.
    """
    try:
        with open_binary(file) as stream, zipfile.ZipFile(stream) as archive:
            (member,) = (name for name in archive.namelist() if name.endswith(".tmx") and not name.startswith("__"))
            for unit in _units(archive.open(member), file):
                key = unit.get("tuid", "")
                for variant in unit.iter("tuv"):
                    text = "".join(variant.find("seg").itertext()).strip()  # type: ignore[union-attr]
                    if text and variant.get(_XML_LANGUAGE, "").partition("-")[0] == language:
                        yield key, key.rpartition(":")[0], " ".join(text.split())
    except (zipfile.BadZipFile, ElementTree.ParseError, AttributeError, ValueError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: no archive of one TMX file, or damaged ({error}). Fetch the file again.") from error


def _units(content: IO[bytes], file: Path) -> Iterator[ElementTree.Element]:
    """The units of a TMX file, read in pieces, so that none is held before its size is known."""
    parser: Any = ElementTree.XMLPullParser()  # whose events have elements alone
    size = since_unit = 0
    while piece := content.read(_PIECE_BYTES):
        size, since_unit = size + len(piece), since_unit + len(piece)
        check_size(size, MAX_FILE_BYTES, f"{file}: the file")
        check_size(since_unit, MAX_LINE_BYTES, f"{file}: the unit that begins before byte {size:,}")
        parser.feed(piece)
        for _, element in parser.read_events():
            if element.tag == "tu":
                since_unit = 0
                yield element
                element.clear()
    parser.close()


KEYED: dict[str, Callable[[Path, str], Iterator[tuple[str, str, str]]]] = {"conllu": read_conllu, "tmx": read_tmx}
