"""English texts and what volunteers translated of them, one published file for each language."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from mixlingua.data.public_corpora import fetched_archive, files_by_language
from mixlingua.data.rows import PairRow
from mixlingua.errors import ConfigError
from mixlingua.files import cache_dir, content_hash

log = logging.getLogger(__name__)


class TranslatedReader(ABC):
    """A row for each English text and its translations, where these are in min_languages, English among them.

    path: a folder that may have the files, under the names in public_files.toml; what it lacks is fetched. languages:
    those read, English among them. name: the table's by default. A passage that equals the English one is no
    translation.
    """

    table: ClassVar[str]  # of public_files.toml
    url: ClassVar[str]  # of the folder with the files
    version: ClassVar[str]

    def __init__(self, path: str | Path, languages: Sequence[str], min_languages: int, name: str | None = None) -> None:
        self.name = name or self.table
        self.path = Path(path)
        self.files = files_by_language(self.table, languages, f"data.sources.{self.name}.published.languages")
        if not 1 <= min_languages <= len(self.files):
            raise ConfigError(
                f"data.sources.{self.name}.published.min_languages is {min_languages}; it must be at least 1, and "
                f"{len(self.files)}, the number of languages, at most."
            )
        self.min_languages = min_languages

    @abstractmethod
    def texts(self, file: Path) -> Iterator[tuple[str, tuple[str, str]]]:
        """Key, the same in all languages, query and passage of a file's texts; what precedes # in a key is a document.
        Raises DataError for a damaged file."""

    def fingerprint(self) -> str:
        """A hash of the files' content and the options. Raises DataError where a file cannot be had."""
        paths = self._paths()
        return content_hash(self.table, self.version, f"{self.min_languages} {' '.join(paths)}", *paths.values())

    def rows(self) -> Iterator[PairRow]:
        """The rows by their key. All texts are in memory while they are read. Raises DataError for a damaged file."""
        texts = {}
        for language, path in self._paths().items():
            log.info("reading %s", path)
            texts[language] = dict(self.texts(path))
        for key, english in sorted(texts.pop("en").items()):
            row = {"en": english}
            for language, own in texts.items():
                if key in own and own[key][1] != english[1]:
                    row[language] = own[key]
            if len(row) >= self.min_languages:
                yield PairRow(
                    id=key,
                    queries={language: query for language, (query, _) in row.items()},
                    passages={language: passage for language, (_, passage) in row.items()},
                    passage_id=key,
                    split_key=key.partition("#")[0],
                )

    def _paths(self) -> dict[str, Path]:
        return {
            language: fetched_archive(
                file,
                needed_by=f"data.sources.{self.name}",
                folder=self.path,
                cached=cache_dir() / self.table / file,
                url=f"{self.url}/{file}",
            )
            for language, file in self.files.items()
        }
