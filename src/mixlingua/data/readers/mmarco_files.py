"""Where mMARCO's files are: in a local folder or on the Hugging Face hub, under the same names."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from mixlingua.errors import DataError
from mixlingua.files import content_hash

log = logging.getLogger(__name__)

REPOSITORY = "unicamp-dl/mmarco"
TRIPLES = "data/triples.train.ids.small.tsv"  # query, relevant and irrelevant passage; the same for all languages
_FOOTER_BYTES = 1 << 16


class MmarcoFiles(Protocol):
    """Files by their name in the data set's repository."""

    def parquet(self, folder: str) -> list[str]:
        """The names of the parquet files under a folder, sorted."""
        ...

    def fetch(self, name: str) -> Path:
        """A local path of a file. Raises DataError where it cannot be had."""
        ...

    def identity(self, languages: list[str]) -> list[str]:
        """What tells these files from others."""
        ...


def collection(files: MmarcoFiles, language: str) -> list[str]:
    """The files with the passages in a language (its English name), of columns id and text."""
    names = files.parquet(f"collection-{language}")
    if any("partial" in name for name in names):
        log.warning(
            "mmarco: %s holds only part of the %s collection; pairs outside it lack the language", files, language
        )
    return names


def train_queries(files: MmarcoFiles, language: str) -> list[str]:
    """The files with the training queries in a language (its English name), of columns id and text."""
    folder = f"queries-{language}"
    return [name for name in files.parquet(folder) if "train" in name.removeprefix(folder)]


class FolderFiles:
    """A folder with `collection-german/`, `queries-german/` and so on, and the triples."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def parquet(self, folder: str) -> list[str]:
        names = sorted(file.relative_to(self._folder).as_posix() for file in (self._folder / folder).rglob("*.parquet"))
        if not names:
            raise DataError(f"{self._folder / folder}: no parquet files. {_layout(self._folder)}")
        return names

    def fetch(self, name: str) -> Path:
        if not (self._folder / name).is_file():
            raise DataError(f"{self._folder / name}: no such file. {_layout(self._folder)}")
        return self._folder / name

    def identity(self, languages: list[str]) -> list[str]:
        names = [
            name for language in languages for name in [*train_queries(self, language), *collection(self, language)]
        ]
        return [content_hash(self.fetch(TRIPLES)), *(content_hash(name, self._footer(name)) for name in names)]

    def _footer(self, name: str) -> bytes:
        # A parquet file ends in the offsets, sizes and value ranges of all its parts: a few gigabytes need no hashing.
        with (self._folder / name).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _FOOTER_BYTES))
            return file.read() + str(size).encode()


class HubFiles:
    """The parquet revision of the hub's data set; the triples come from its main revision."""

    def __init__(self, revision: str, folder: Path) -> None:
        self._revision = revision
        self._folder = folder
        self._names: list[str] = []

    def __str__(self) -> str:
        return f"{REPOSITORY}@{self._revision}"

    def parquet(self, folder: str) -> list[str]:
        from huggingface_hub import HfApi

        if not self._names:
            with self._online("its list of files"):
                self._names = HfApi().list_repo_files(REPOSITORY, repo_type="dataset", revision=self._revision)
        names = sorted(name for name in self._names if name.startswith(f"{folder}/") and name.endswith(".parquet"))
        if not names:
            raise DataError(f"{self}: no parquet files under {folder}. {_layout(self._folder)}")
        return names

    def fetch(self, name: str) -> Path:
        from huggingface_hub import hf_hub_download

        revision = "main" if name == TRIPLES else self._revision
        with self._online(name):
            return Path(hf_hub_download(REPOSITORY, name, repo_type="dataset", revision=revision))

    def identity(self, languages: list[str]) -> list[str]:
        return [REPOSITORY, self._revision]

    @contextmanager
    def _online(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the hub's client raises its own errors, those of its HTTP library and OSErrors
            raise DataError(
                f"cannot fetch {what} of {self} ({type(error).__name__}: {error}). What is finished is kept; to go on: "
                "run again where there is a network; or set HF_ENDPOINT to a mirror, or HTTPS_PROXY; "
                f"or bring the files to {self._folder}; or choose other data, such as data=ntrex. "
                f"{_layout(self._folder)}"
            ) from error


def _layout(folder: Path) -> str:
    return (
        f"A local {folder} holds {TRIPLES} and, for each language, collection-german/*.parquet and "
        f"queries-german/train/*.parquet (columns id and text), as in {REPOSITORY} at refs/convert/parquet."
    )
