"""Files: written whole or not at all, known by a hash of their content, and fetched from where they are published."""

import errno
import gzip
import hashlib
import http.client
import json
import logging
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from filelock import FileLock

from mixlingua.errors import ConfigError, DataError, StorageError, causes

logger = logging.getLogger(__name__)

TIMEOUT = 30  # seconds without an answer of a server


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place on success, remove it on any error.

    A reader sees the old file or the new one, never a part: also when the disk is full or the process dies.
    Raises StorageError where the disk is full.
    """
    path = Path(path)
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays: writers such as numpy and matplotlib choose a format, or append one, by it.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=f".partial{path.suffix}")
        os.close(handle)
    partial = Path(name)
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.chmod(0o666 & ~_umask())
        os.replace(partial, path)
    except Exception as error:
        if full := storage_error(path, error):
            raise full from error
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path, mark: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it into place on success, remove it on any error.

    An empty folder at `path`, or one with a file of the pattern `mark`, by which its kind is told, is replaced once the
    new one is complete; of a symbolic link the link, not its target. Anything else there may be the user's: ConfigError
    before anything is written.
    All files follow the umask, also those of libraries that write for the owner alone (safetensors). Processes that
    may write the same folder at once take turns by `lock`. Raises StorageError where the disk is full.
    """
    path = Path(path)
    _check_replaceable(path, mark)
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial"))
    try:
        yield partial
        _follow_umask(partial)
        if path.is_symlink():
            path.unlink()  # the link alone: where it points to is kept
        elif path.exists():
            shutil.rmtree(path)
        os.replace(partial, path)
    except Exception as error:
        if full := storage_error(path, error):
            raise full from error
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_replaceable(path: Path, mark: str | None) -> None:
    if path.is_symlink() or not path.exists():
        return
    if not path.is_dir():
        raise ConfigError(f"{path}: a file, and a folder is to be written there. Choose a new folder.")
    held = sorted(entry.name for entry in path.iterdir())
    if held and (mark is None or not any(path.glob(mark))):
        more = f" and {len(held) - 3:,} more" if len(held) > 3 else ""
        raise ConfigError(f"{path}: holds {', '.join(held[:3])}{more}, which would be lost. Choose a new folder.")


@contextmanager
def lock(path: str | Path) -> Iterator[None]:
    """Hold `path` alone among all processes and threads that ask for it by this function; wait for one that has it.

    The lock is the file `.NAME.lock` beside `path`; it ends with the process that held it, however that ended.
    """
    path = Path(path)
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(_lock_file(path))
        held.acquire()
    try:
        yield
    finally:
        held.release()


def remove_partial(folder: Path) -> None:
    """Delete what killed processes left of `folder` in `atomic_folder`, while holding its lock."""
    for partial in folder.parent.glob(f".{escape(folder.name)}.*.partial"):
        shutil.rmtree(partial, ignore_errors=True)


def remove_locked(folder: Path) -> None:
    """Delete a folder and the file of its lock, while holding that: whoever waits for it finds the folder gone."""
    shutil.rmtree(folder, ignore_errors=True)
    _lock_file(folder).unlink(missing_ok=True)


@contextmanager
def atomic_gzip(path: Path) -> Iterator[TextIO]:
    """A .gz file to write text to, which appears once it is complete; equal text gives equal bytes."""
    with (
        atomic_write(path) as partial,
        partial.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as archive,
        TextIOWrapper(archive, encoding="utf-8") as text,
    ):
        yield text


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def storage_error(path: Path, error: BaseException) -> StorageError | None:
    """What to tell the user where writing `path` failed for want of space; None where it failed otherwise.

    Writers in other languages report the system's error as text, or as the context of an error of their own.
    """
    for cause in causes(error, contexts=True):
        number = cause.errno if isinstance(cause, OSError) else None
        if number in _FULL or any(f"os error {full})" in str(cause) for full in _FULL):
            return StorageError(
                f"{path}: cannot be written, the disk is full, or a quota or the largest size of a file is reached. "
                "Nothing was left there that looks whole, and what was there before is kept. Free some space, or "
                "choose a folder on another disk (hydra.run.dir, paths.cache)."
            )
    return None


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Raises StorageError where the body cannot make or write the folder of `path`."""
    try:
        yield
    except OSError as error:
        if full := storage_error(path, error):
            raise full from error
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}: {error.filename}). Choose a folder that can be written "
            "(hydra.run.dir, paths.cache, MIXLINGUA_CACHE)."
        ) from error


def _follow_umask(folder: Path) -> None:
    mask = _umask()
    for entry in (folder, *folder.rglob("*")):
        if not entry.is_symlink():
            entry.chmod((0o777 if entry.is_dir() else 0o666) & ~mask)


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(*parts: str | bytes | Path) -> str:
    """Hexadecimal SHA-256 over parts in order; a Path counts by its content, so moving a file changes nothing."""
    digest = hashlib.sha256()
    for part in parts:
        content = sha256(part) if isinstance(part, Path) else part
        data = content.encode() if isinstance(content, str) else content
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()


def cache_dir() -> Path:
    """Where all that is made or fetched once is kept: $MIXLINGUA_CACHE, else ~/.cache/mixlingua."""
    return Path(os.environ.get("MIXLINGUA_CACHE", Path.home() / ".cache" / "mixlingua"))


@contextmanager
def caching_in(folder: str | Path | None) -> Iterator[None]:
    """A context in which `cache_dir` is the folder, in processes started meanwhile too; None: in which it stays."""
    before = os.environ.get("MIXLINGUA_CACHE")
    if folder:
        os.environ["MIXLINGUA_CACHE"] = str(Path(folder).expanduser().absolute())
    try:
        yield
    finally:
        if before is not None:
            os.environ["MIXLINGUA_CACHE"] = before
        else:
            os.environ.pop("MIXLINGUA_CACHE", None)


def conf_folder() -> Path:
    """The folder of the configuration: beside the code where the package is installed, at the top of a clone."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parents[1] / "conf"


def _lock_file(path: Path) -> Path:
    return path.parent / f".{path.name}.lock"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def local_or_fetched(
    name: str, *, needed_by: str, folder: Path, cached: Path, url: str, verify: Callable[[Path], None]
) -> Path:
    """The path of file `name`: in `folder` if it is there, else at `cached`, where it is fetched to from `url`.

    needed_by: for messages, such as "task ntrex". verify: raises DataError for a fetched file that is not the pinned
    one; such a file is not kept.
    Raises DataError naming file, folder and URL where it is in neither place and cannot be fetched.
    """
    local = folder / name
    if local.is_file():
        return local
    if cached.is_file():
        return cached
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, atomic_write(cached) as partial:
            logger.info("fetching %s", url)
            with partial.open("wb") as file:
                shutil.copyfileobj(answer, file)
            length = getattr(answer, "headers", {}).get("Content-Length")
            if length is not None and (arrived := partial.stat().st_size) != int(length):
                raise ConnectionError(f"the answer ended after {arrived} of {length} bytes")
            verify(partial)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise DataError(
            f"{needed_by} needs {name}: it is not in {folder.absolute()}, and {url} could not be fetched "
            f"({str(error) or type(error).__name__}). "
            f"Put the file into that folder, or run once with a network."
        ) from error
    return cached


def write_json(path: Path, value: object, *, indent: int | None = 1) -> None:
    """Write a value as JSON in UTF-8, whole or not at all. indent: None for long lists, all on one line.

    Raises ValueError for NaN and infinity, which JSON does not have.
    """
    with atomic_write(path) as partial:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")
