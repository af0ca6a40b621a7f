"""Files that are either whole or absent, and hashes of what they hold."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from mixlingua.errors import StorageError


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place on success, remove it on any error.

    A reader sees the old file or the new one, never a part: also when the disk is full or the process dies.
    Raises StorageError where the disk is full.
    """
    path = Path(path)
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
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it into place on success, remove it on any error.

    An existing folder at `path` is replaced only once the new one is complete. Processes that may write the same
    folder at once take turns by `lock`. Raises StorageError where the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial"))
    try:
        yield partial
        partial.chmod(0o777 & ~_umask())
        if path.exists():
            shutil.rmtree(path)
        os.replace(partial, path)
    except Exception as error:
        if full := storage_error(path, error):
            raise full from error
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def lock(path: str | Path) -> Iterator[None]:
    """Hold `path` alone among all processes and threads that ask for it by this function; wait for one that has it.

    The lock is the file `.NAME.lock` beside `path`; it ends with the process that held it, however that ended.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(_lock_file(path)):
        yield


def remove_locked(folder: Path) -> None:
    """Delete a folder and the file of its lock, while holding that: whoever waits for it finds the folder gone."""
    shutil.rmtree(folder, ignore_errors=True)
    _lock_file(folder).unlink(missing_ok=True)


def storage_error(path: Path, error: BaseException) -> StorageError | None:
    """What to tell the user where writing `path` failed for want of space; None where it failed otherwise.

    Writers in other languages report the system's error as text, or as the context of an error of their own.
    """
    cause: BaseException | None = error
    while cause is not None:
        number = cause.errno if isinstance(cause, OSError) else None
        if number in (errno.ENOSPC, errno.EDQUOT) or f"os error {errno.ENOSPC}" in str(cause):
            return StorageError(
                f"{path}: cannot be written, the disk is full or the quota used up. Nothing was left there that looks "
                "whole, and what was there before is kept. Free some space, or choose a folder on another disk "
                "(hydra.run.dir, paths.cache)."
            )
        cause = cause.__cause__ or cause.__context__
    return None


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
    """Where converted stores and weights are kept: $MIXLINGUA_CACHE, else ~/.cache/mixlingua."""
    return Path(os.environ.get("MIXLINGUA_CACHE", Path.home() / ".cache" / "mixlingua"))


def _lock_file(path: Path) -> Path:
    return path.parent / f".{path.name}.lock"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
