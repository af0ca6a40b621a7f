"""Public corpora of parallel text (public_corpora.toml): where their files are, and how these are told from others."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from mixlingua.errors import ConfigError, DataError, suggest
from mixlingua.files import cache_dir, local_or_fetched, sha256
from mixlingua.reading import read_lines

DOCUMENTS = "documents"  # in place of a language: the file with the document of each line


@dataclass(frozen=True)
class PublicFile:
    """One file of a corpus at a commit of its repository on GitHub.

    part: files of one part hold the same sentences. sha256, bytes: its checksum and size; lines: its number of lines,
    by which a file without a known checksum is told from others.
    """

    corpus: str
    language: str
    repository: str
    commit: str
    path: str
    part: str = ""
    lines: int | None = None
    bytes: int | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.rpartition("/")[2]

    @property
    def url(self) -> str:
        """Where the file is fetched from."""
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{self.path}"

    def is_published(self, path: Path) -> bool:
        """Whether the file at `path` is this one: by its checksum, else, which is weaker, by its number of lines."""
        if self.sha256:
            return sha256(path) == self.sha256
        return sum(1 for _ in read_lines(path)) == self.lines

    def local_or_fetched(self, folder: Path, needed_by: str, local_name: str | None = None) -> Path:
        """The path of the file: in `folder` (as `local_name`, else as published), in the cache, or fetched to there.

        needed_by: for messages, such as "task ntrex". What is fetched is kept only where `is_published`. Raises
        DataError, naming file, folder and URL, where it cannot be had.
        """
        cached = cache_dir() / self.corpus / self.commit / self.name
        return local_or_fetched(
            local_name or self.name,
            needed_by=needed_by,
            folder=folder,
            cached=cached,
            url=self.url,
            verify=lambda fetched: self._verify(fetched, folder),
        )

    def _verify(self, fetched: Path, folder: Path) -> None:
        if not self.is_published(fetched):
            raise DataError(
                f"{self.url}: what was fetched is not the published file (SHA-256 {sha256(fetched)}); it was not kept. "
                f"Fetch it again, or put a trusted copy into {folder}."
            )


@dataclass(frozen=True)
class PublicCorpus:
    """A corpus of parallel text. The fields are those of public_corpora.toml, which explains them.

    commit: empty where each file names its own.
    """

    name: str
    licence: str
    format: str
    files: tuple[PublicFile, ...]
    commit: str = ""
    header: int = 0
    merge: bool = False
    dev_lines: frozenset[int] = frozenset()

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of its files, in their order."""
        return tuple(dict.fromkeys(file.language for file in self.files if file.language != DOCUMENTS))

    def parts(self, languages: Sequence[str], where: str) -> dict[str, dict[str, PublicFile]]:
        """Part -> language (or `DOCUMENTS`) -> file, of the parts that have two or more of these languages.

        A part keeps English beside a language that is asked for. where: the config key of the languages. Raises
        ConfigError, naming it, for one that the corpus does not have.
        """
        for language in languages:
            if language not in self.languages:
                raise ConfigError(
                    f"{where}: {self.name} has no language '{language}'; it has {', '.join(self.languages)}."
                    f"{suggest(language, self.languages)}"
                )
        parts: dict[str, dict[str, PublicFile]] = {}
        for file in self.files:
            parts.setdefault(file.part, {})[file.language] = file
        kept = {}
        for part, by_language in parts.items():
            pairs_with_english = len(by_language) == 2 and "en" in by_language
            wanted = {*languages, DOCUMENTS, *(["en"] if pairs_with_english else [])}
            chosen = {language: file for language, file in by_language.items() if language in wanted}
            if len(chosen.keys() - {DOCUMENTS}) >= 2:
                kept[part] = chosen
        return kept


@cache
def public_corpora() -> Mapping[str, PublicCorpus]:
    """Every corpus of public_corpora.toml by its name."""
    text = files("mixlingua.data").joinpath("public_corpora.toml").read_text(encoding="utf-8")
    return {name: _corpus(name, fields) for name, fields in tomllib.loads(text).items()}


def public_corpus(name: str, where: str = "corpus") -> PublicCorpus:
    """The corpus of that name. where: the config key of the name. Raises ConfigError, naming it, for an unknown one."""
    known = public_corpora()
    if name not in known:
        raise ConfigError(f"{where}: no public corpus '{name}'; there are {', '.join(known)}.{suggest(name, known)}")
    return known[name]


def _corpus(name: str, fields: dict[str, Any]) -> PublicCorpus:
    origin = {key: fields.pop(key) for key in ("repository", "commit") if key in fields}
    listed = tuple(PublicFile(**{"corpus": name, **origin, **file}) for file in fields.pop("files"))
    dev_lines = frozenset(line for span in fields.pop("dev_lines", "").split() for line in _lines(span))
    return PublicCorpus(name, files=listed, commit=origin.get("commit", ""), dev_lines=dev_lines, **fields)


def _lines(span: str) -> range:
    """The lines of "4-7", or of "4"."""
    first, _, last = span.partition("-")
    return range(int(first), int(last or first) + 1)
