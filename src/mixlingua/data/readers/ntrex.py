"""NTREX-128: translated news, line-aligned; a sentence asks for what follows it in its document.

Source: Federmann, Kocmi, Xin 2022, github.com/MicrosoftTranslator/NTREX.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mixlingua.data.public_corpora import fetched_archive, fetched_lines, public_files
from mixlingua.data.rows import PairRow, unit_interval
from mixlingua.errors import ConfigError, DataError
from mixlingua.files import cache_dir, content_hash, language_of, read_aligned, read_lines

COMMIT = "c9f006f2c132c932b83ccd7aaa6a35930dd9c370"
URL = f"https://raw.githubusercontent.com/MicrosoftTranslator/NTREX/{COMMIT}/NTREX-128"
DOCUMENTS = "DOCUMENT_IDS.tsv"  # the document of each line
DOCUMENTS_URL = (
    f"https://raw.githubusercontent.com/MicrosoftTranslator/NTREX/fa9e8c9e3bb875a39b0d3f36394c54e2d0f67cc7/{DOCUMENTS}"
)
NUM_LINES = 1997


def public_name(language: str) -> str:
    """What the file of a language is published as."""
    code = public_files()["ntrex"][language]
    return "newstest2019-src.eng.txt" if language == "en" else f"newstest2019-ref.{code}.txt"


def local_name(folder: Path, language: str) -> str:
    """What a language's file is called in the user's folder: de.txt, where there is one, else as it is published."""
    return f"{language}.txt" if (folder / f"{language}.txt").is_file() else public_name(language)


def sentences_file(folder: Path, language: str, needed_by: str) -> Path:
    """The path of a language's sentences, one a line. Raises DataError where it cannot be had."""
    return fetched_lines(
        local_name(folder, language),
        needed_by=needed_by,
        folder=folder,
        cached=cache_dir() / "ntrex" / COMMIT / public_name(language),
        url=f"{URL}/{public_name(language)}",
        num_lines=NUM_LINES,
    )


def documents_file(folder: Path, needed_by: str) -> Path:
    """The path of the document ids, one for each line of sentences. Raises DataError where it cannot be had."""
    cached = cache_dir() / "ntrex" / COMMIT / DOCUMENTS
    return fetched_archive(DOCUMENTS, needed_by=needed_by, folder=folder, cached=cached, url=DOCUMENTS_URL)


VERSION = "1"
LOCAL_DOCUMENTS = "docs.tsv"
UNSPACED = ("ja", "zh")  # languages that write sentences without a space between them


class NtrexReader:
    """Rows from a folder of `<language>.txt` files, one sentence a line, and `docs.tsv`, the document of each line.

    fetched: the languages that are fetched, as they are published, where `path` is no folder.
    The query is a sentence, the passage the next `span` sentences of its document (fewer at its end). With probability
    include_query, decided by a hash of the line and equal in all languages, the passage also begins with the sentence
    itself. A row touches every sentence in its query and its passage, so rows that overlap never meet in a batch.
    """

    def __init__(
        self, path: str | Path, span: int, include_query: float, fetched: Sequence[str] = (), name: str = "ntrex"
    ) -> None:
        if span < 1:
            raise ConfigError(f"data.sources.{name}.span is {span}; a passage needs at least 1 sentence.")
        if not 0.0 <= include_query <= 1.0:
            raise ConfigError(f"data.sources.{name}.include_query is {include_query}; a probability is within [0, 1].")
        self.name = name
        self.path = Path(path)
        self.fetched = fetched
        self.span = span
        self.include_query = include_query

    def fingerprint(self) -> str:
        """A hash of the files' content and the options. Raises DataError where the folder or a file is missing."""
        files, documents = self._files()
        options = f"{self.span} {float(self.include_query)} {' '.join(files)}"
        return content_hash("ntrex", VERSION, options, documents, *files.values())

    def rows(self) -> Iterator[PairRow]:
        """The rows in line order. Raises DataError for files of different length, blank lines and invalid UTF-8."""
        files, ids = self._files()
        documents = [document for _, document in read_lines(ids)]
        sentences = {language: read_aligned(file, len(documents), ids) for language, file in files.items()}
        for line, document in enumerate(documents):
            end = line + 1
            while end <= line + self.span and end < len(documents) and documents[end] == document:
                end += 1
            if end == line + 1:
                continue
            whole = unit_interval(f"ntrex:{line}") < self.include_query
            start = line if whole else line + 1
            yield PairRow(
                id=f"{document}:{line + 1}",
                queries={language: lines[line] for language, lines in sentences.items()},
                passages={
                    language: ("" if language.partition("-")[0] in UNSPACED else " ").join(lines[start:end])
                    for language, lines in sentences.items()
                },
                passage_id=f"{document}:{start + 1}-{end}",
                touches=tuple(f"sentence {number + 1}" for number in range(line, end)),
                split_key=document,
            )

    def _files(self) -> tuple[dict[str, Path], Path]:
        """The sentences of each language, in alphabetical order, and the document of each line."""
        if self.fetched and not self.path.is_dir():
            source = f"data.sources.{self.name}"
            files = {language: sentences_file(self.path, language, source) for language in sorted(self.fetched)}
            return files, documents_file(self.path, source)
        files = {file.stem: file for file in sorted(self.path.glob("*.txt"))}
        if not files or not (self.path / LOCAL_DOCUMENTS).is_file():
            missing = f"no {LOCAL_DOCUMENTS}" if files else "no <language>.txt files"
            raise DataError(
                f"{self.path}: {missing}. NTREX-128 (github.com/MicrosoftTranslator/NTREX) belongs here, with "
                f"newstest2019-ref.deu.txt named de.txt and so on, and its document ids as {LOCAL_DOCUMENTS}; "
                f"or set data.sources.{self.name}.path or paths.data."
            )
        return {language_of(language, str(file)): file for language, file in files.items()}, self.path / LOCAL_DOCUMENTS
