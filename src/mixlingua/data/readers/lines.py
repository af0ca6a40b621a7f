"""Reading text files line by line, with errors that name the file and the line."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mixlingua.errors import ConfigError, DataError, suggest
from mixlingua.languages import check_language


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers, from 1, and lines without their ending, of a UTF-8 file, plain or .gz, in constant memory.

    Raises DataError for a missing or empty file, invalid UTF-8 and a damaged archive.
    """
    number = 0
    try:
        with open_binary(path) as file:
            for number, raw in enumerate(file, start=1):
                yield number, _decode(raw, path, number)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}:{number + 1}: damaged or incomplete archive ({error}). Fetch the file again."
        ) from error
    if number == 0:
        raise DataError(f"{path}: the file is empty.")


def read_aligned(path: Path, expected: int, reference: Path) -> list[str]:
    """The lines of a file whose line i translates line i of `reference`, which has `expected` lines; outer blanks go.

    Raises DataError for a blank line, and where the file is longer or shorter.
    """
    lines = []
    for number, line in read_lines(path):
        if number > expected:
            raise DataError(f"{path}:{number}: more lines than {reference}, which has {expected}.")
        if not line.strip():
            raise DataError(f"{path}:{number}: blank line; every line is the translation of line {number} elsewhere.")
        lines.append(line.strip())
    if len(lines) < expected:
        raise DataError(
            f"{path}:{len(lines)}: the file ends here, but {reference} has {expected} lines. "
            "The files are aligned by line: fetch it again, or remove the language."
        )
    return lines


def open_binary(path: Path) -> IO[bytes]:
    """A file's bytes, unpacked where its name ends in .gz. Raises DataError where it is missing."""
    if not path.is_file():
        near = suggest(path.name, [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else [])
        raise DataError(f"{path}: no such file.{near} Data folders are set by paths.data, or by the source's own path.")
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def language_of(code: object, where: str) -> str:
    """`code`, where it is a known ISO 639-1 code. Raises DataError starting with `where` otherwise."""
    if not isinstance(code, str):
        raise DataError(f"{where}: a language must be an ISO 639-1 code such as 'de', not {code!r}.")
    try:
        return check_language(code, where)
    except ConfigError as error:
        raise DataError(str(error)) from None


def _decode(raw: bytes, path: Path, number: int) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{number}: invalid UTF-8 at byte {error.start + 1} of the line. Convert the file to UTF-8."
        ) from error
