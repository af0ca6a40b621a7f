"""What the loaders of public benchmarks share: the choice of languages, missing files, and which data was read."""

import logging
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from mixlingua.data.readers.lines import read_lines
from mixlingua.errors import ConfigError, DataError, suggest
from mixlingua.evaluation.fetch import local_or_fetched
from mixlingua.files import content_hash, sha256

logger = logging.getLogger(__name__)


@cache
def public_files() -> dict[str, dict[str, Any]]:
    """The tables of public_files.toml: what benchmarks call their languages, and checksums."""
    return tomllib.loads(files("mixlingua.evaluation").joinpath("public_files.toml").read_text(encoding="utf-8"))


def chosen_languages(
    task: str, languages: Sequence[str] | None, offered: Mapping[str, str], default: Sequence[str]
) -> tuple[str, ...]:
    """`languages`, the default where they are None, in alphabetical order: data do not depend on that of a list.

    offered: what the benchmark calls each language that it has.
    Raises ConfigError, naming the task, where none is given, one twice, or one that the benchmark does not have.
    """
    chosen = tuple(default if languages is None else languages)
    for language in chosen:
        if language not in offered:
            codes = [code for code, name in offered.items() if name == language]
            near = f" Use the code '{codes[0]}'." if codes else suggest(language, offered)
            raise ConfigError(f"task {task}: no language '{language}'; it has {', '.join(offered)}.{near}")
        if chosen.count(language) > 1:
            raise ConfigError(f"task {task}: language '{language}' is given more than once.")
    if not chosen:
        raise ConfigError(f"task {task}: no language is chosen; it has {', '.join(offered)}.")
    return tuple(sorted(chosen))


@contextmanager
def naming_local_languages(task: str, folder: Path, names: Mapping[str, Collection[str]]) -> Iterator[None]:
    """Add to a DataError about a missing file which languages the folder does have.

    names: the files that each language of the benchmark needs.
    """
    try:
        yield
    except DataError as error:
        here = [language for language, needed in names.items() if all((folder / name).is_file() for name in needed)]
        if not here:
            raise
        raise DataError(
            f"{error} The languages that are there: evaluation.tasks.{task}.languages=[{','.join(here)}]."
        ) from error


def is_published(name: str, path: Path, num_lines: int) -> bool:
    """Whether the file of lines at `path` is the published one of that name.

    By its checksum where the project has seen the file, else, which is weaker, by its published number of lines.
    """
    checksums = public_files()["checksums"]
    if name in checksums:
        return sha256(path) == checksums[name]
    return sum(1 for _ in read_lines(path)) == num_lines


def fetched_lines(name: str, *, task: str, folder: Path, cached: Path, url: str, num_lines: int) -> Path:
    """The path of a file of lines, as `local_or_fetched`; what is fetched is kept only where `is_published`."""

    def verify(path: Path) -> None:
        if not is_published(name, path, num_lines):
            raise DataError(
                f"{url}: what was fetched is not the published file (SHA-256 {sha256(path)}); it was not kept. "
                "Fetch it again, or put a trusted copy into the task's folder."
            )

    return local_or_fetched(name, task=task, folder=folder, cached=cached, url=url, verify=verify)


def revision_of(task: str, published: str, paths: Sequence[Path], others: Sequence[Path]) -> str:
    """The published revision, or, where files differ from what was published (`others`), a hash of all files.

    Warns in the latter case, naming the files.
    """
    if not others:
        return published
    revision = f"local-{content_hash(*paths)[:16]}"
    logger.warning(
        "task %s: %s differ from the published files; scores carry revision %s and compare with no published figure",
        task,
        ", ".join(map(str, others)),
        revision,
    )
    return revision
