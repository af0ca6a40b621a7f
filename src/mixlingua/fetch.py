"""Files that others publish: the user's own copy, else a cached one, else fetched from a pinned address."""

import logging
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from mixlingua.errors import DataError
from mixlingua.files import atomic_write

log = logging.getLogger(__name__)

TIMEOUT = 30  # seconds without an answer


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
            log.info("fetching %s", url)
            with partial.open("wb") as file:
                shutil.copyfileobj(answer, file)
            verify(partial)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise DataError(
            f"{needed_by} needs {name}: it is not in {folder.absolute()}, and {url} could not be fetched ({error}). "
            f"Put the file into that folder, or run once with a network."
        ) from error
    return cached
