"""Text and JSON of others, plain or .gz, read with errors that name file and line; and keys of nested dictionaries."""

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any

from mixlingua.errors import DataError, suggest_beside

# What is taken of a file, unpacked, so that a small archive fills neither memory nor time.
MAX_LINE_BYTES = 64 << 20
MAX_FILE_BYTES = 1 << 40
MAX_WHOLE_BYTES = 2 << 30  # of a file that is held in memory whole


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers, from 1, and lines without their ending, of a UTF-8 file, plain or .gz, in constant memory.

    Raises DataError for a missing or empty file, invalid UTF-8, a damaged archive, and more than MAX_LINE_BYTES in a
    line or MAX_FILE_BYTES in all.
    """
    number = size = 0
    try:
        with open_binary(path) as file:
            while raw := file.readline(MAX_LINE_BYTES + 1):
                size += len(raw)
                check_size(len(raw), MAX_LINE_BYTES, f"{path}:{number + 1}: the line")
                check_size(size, MAX_FILE_BYTES, f"{path}:{number + 1}: the file")
                number += 1
                yield number, _decode(raw, path, number)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}:{number + 1}: damaged or incomplete archive ({error}). Fetch the file again."
        ) from error
    if number == 0:
        raise DataError(f"{path}: the file is empty.")


def read_json(path: Path) -> Any:
    """The value of a JSON file, plain or .gz, which is held in memory whole.

    Raises DataError for what `read_whole` and `parse_json` refuse.
    """
    return parse_json(read_whole(path), str(path))


def read_whole(path: Path) -> bytes:
    """The content of a file, unpacked where its name ends in .gz or .dz.

    Raises DataError for a missing file, a damaged archive, and more than MAX_WHOLE_BYTES.
    """
    try:
        with open_binary(path) as file:
            content = file.read(MAX_WHOLE_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged or incomplete archive ({error}). Fetch the file again.") from error
    check_size(len(content), MAX_WHOLE_BYTES, f"{path}: the file")
    return content


def check_size(size: int, limit: int, what: str) -> None:
    """Raise DataError, starting with what it is, where a size in bytes is above a limit."""
    if size > limit:
        raise DataError(
            f"{what} has more than {limit:,} bytes, the limit (of what is unpacked). It is damaged or no file of this "
            "kind: fetch it again, or divide it."
        )


def parse_json(text: str | bytes, where: str) -> Any:
    """The value of a JSON text. Raises DataError starting with `where`, file and line, where it is malformed.

    Refused too: a key twice in one object, of which all values but the last would be lost, and half of a surrogate
    pair without the other ("\\ud83d" alone), as cutting a text in UTF-16 leaves it. That is no character, and neither a
    tokenizer nor a UTF-8 file takes it.
    """
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        value = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not valid UTF-8 at byte {error.start}. Convert the file to UTF-8.") from error
    except ValueError as error:
        raise DataError(f"{where}: malformed JSON ({error}). Mend it, or fetch the file again.") from error
    except RecursionError as error:
        raise DataError(f"{where}: malformed JSON (nested too deeply). Mend it, or fetch the file again.") from error
    if "\\ud" in text.lower():
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            before, code = error.object[max(0, error.start - 20) : error.start], ord(error.object[error.start])
            raise DataError(
                f"{where}: half of a surrogate pair, \\u{code:04x}, behind '{before}': no character. The text was cut "
                "or encoded wrongly. Mend it, or remove the entry."
            ) from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises ValueError naming a key that it has twice."""
    value = dict(pairs)
    if len(value) < len(pairs):
        (key, times), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key '{key}' stands {times} times in one object")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object)  # one for all: to make it takes as long as to read a line


def dotted(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with dotted keys; an empty one is a value."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= dotted(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def within(key: str, parts: Iterable[str]) -> bool:
    """Whether a dotted key is one of parts, or below one of them."""
    return any(key == part or key.startswith(f"{part}.") for part in parts)


def read_status(run_dir: Path) -> dict[str, Any]:
    """The content of RUN/status.json; empty where there is none.

    Raises DataError where it is no object with a state, an action and a list of overrides.
    """
    path = run_dir / "status.json"
    if not path.exists():
        return {}
    status = read_json(path)
    overrides = status.get("overrides") if isinstance(status, dict) else None
    if not (
        isinstance(overrides, list)
        and all(isinstance(text, str) for text in overrides)
        and all(isinstance(status.get(key), str) for key in ("state", "action"))
    ):
        raise DataError(
            f"{path}: not the status of a run, an object with 'state', 'action' and 'overrides'. Remove the file where "
            "the folder is not to be resumed or compared."
        )
    return status


def read_aligned(
    files: Mapping[str, Path], *, header: int = 0, blank_allowed: bool = False
) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number, from 1, and by the same keys that line of every file, without outer blanks, in constant memory.

    header: lines at the beginning that are passed over. Raises DataError where one file has more lines than another
    and, unless blank_allowed, for a blank line; whatever `read_lines` raises.
    """
    columns = zip_longest(*(read_lines(file) for file in files.values()))
    for number, column in enumerate(columns, start=1):
        ended = [file for file, line in zip(files.values(), column, strict=True) if line is None]
        if ended:
            longer = next(file for file in files.values() if file not in ended)
            raise DataError(
                f"{ended[0]}:{number - 1}: the file ends here, but {longer} goes on. The files are aligned by line: "
                "fetch both again, or remove the language."
            )
        texts = {key: line.strip() for key, (_, line) in zip(files, column, strict=True)}
        if number > header:
            if not blank_allowed and (blank := [key for key, text in texts.items() if not text]):
                raise DataError(
                    f"{files[blank[0]]}:{number}: blank line. The files are aligned by line, and each line needs its "
                    "text: fetch the file again, or remove the language."
                )
            yield number, texts


def open_binary(path: Path) -> IO[bytes]:
    """A file's bytes, unpacked where its name ends in .gz or .dz. Raises DataError where it is missing or a folder."""
    if path.is_dir():
        inside = sorted(file.name for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        holds = f"it holds {', '.join(inside[:3])}{' and more' if inside[3:] else ''}" if inside else "without files"
        raise DataError(f"{path}: a folder ({holds}). Give the path of a file.")
    if not path.is_file():
        raise DataError(
            f"{path}: no such file.{suggest_beside(path)} Data folders are set by paths.data, or by the source's own "
            "path."
        )
    return gzip.open(path, "rb") if path.suffix in (".gz", ".dz") else path.open("rb")  # type: ignore[return-value]


def _decode(raw: bytes, path: Path, number: int) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{number}: invalid UTF-8 at byte {error.start + 1} of the line. Convert the file to UTF-8."
        ) from error
