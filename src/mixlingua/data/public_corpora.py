"""Public files that training and evaluation share, and how the published ones are told from others."""

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from mixlingua.errors import ConfigError, DataError, suggest
from mixlingua.files import local_or_fetched, read_lines, sha256


@cache
def public_files() -> dict[str, dict[str, Any]]:
    """The tables of public_files.toml: what public data call their languages, and checksums."""
    return tomllib.loads(files("mixlingua.data").joinpath("public_files.toml").read_text(encoding="utf-8"))


def files_by_language(table: str, languages: Sequence[str], where: str) -> dict[str, str]:
    """The name of the file that each language has in a table of public_files.toml.

    where: the config key of the languages. Raises ConfigError, naming it, for one that the table does not have or that
    is given twice, and where English, which tells a translation from what was left as it is, is not among them.
    """
    known = public_files()[table]
    for language in languages:
        if list(languages).count(language) > 1:
            raise ConfigError(f"{where}: '{language}' is given more than once.")
        if language not in known:
            raise ConfigError(
                f"{where}: no language '{language}'; there are {', '.join(known)}.{suggest(language, known)}"
            )
    if "en" not in languages:
        raise ConfigError(
            f"{where}=[{','.join(languages)}]: English, en, must be among them; it tells what is translated."
        )
    return {language: known[language] for language in languages}


def is_published(name: str, path: Path, num_lines: int) -> bool:
    """Whether the file of lines at `path` is the published one of that name.

    By its checksum where the project has seen the file, else, which is weaker, by its published number of lines.
    """
    checksums = public_files()["checksums"]
    if name in checksums:
        return sha256(path) == checksums[name]
    return sum(1 for _ in read_lines(path)) == num_lines


def fetched_lines(name: str, *, needed_by: str, folder: Path, cached: Path, url: str, num_lines: int) -> Path:
    """The path of a file of lines, as `local_or_fetched`; what is fetched is kept only where `is_published`."""

    def verify(path: Path) -> None:
        if not is_published(name, path, num_lines):
            raise _not_published(url, path, folder)

    return local_or_fetched(name, needed_by=needed_by, folder=folder, cached=cached, url=url, verify=verify)


def fetched_archive(name: str, *, needed_by: str, folder: Path, cached: Path, url: str) -> Path:
    """The path of a file whose checksum is known, as `local_or_fetched`; what is fetched is kept only if it has it."""

    def verify(path: Path) -> None:
        if sha256(path) != public_files()["checksums"][name]:
            raise _not_published(url, path, folder)

    return local_or_fetched(name, needed_by=needed_by, folder=folder, cached=cached, url=url, verify=verify)


def _not_published(url: str, path: Path, folder: Path) -> DataError:
    return DataError(
        f"{url}: what was fetched is not the published file (SHA-256 {sha256(path)}); it was not kept. "
        f"Fetch it again, or put a trusted copy into {folder}."
    )
