"""The files of a Debian package.

Source: deb(5), ar(5): an archive of archives, whose member data.tar, compressed, has what is installed.
"""

import io
import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path

from mixlingua.errors import DataError

_MAGIC = b"!<arch>\n"
_HEADER = 60  # bytes before each member
_NAME, _SIZE = slice(0, 16), slice(48, 58)


def installed_files(package: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file with that suffix, in the order of the package. Raises DataError where the package
    is damaged, or has no data.tar."""
    try:
        with tarfile.open(fileobj=io.BytesIO(_data(package.read_bytes()))) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.name.endswith(suffix) else None
                if file is not None:
                    yield member.name.removeprefix("./"), file.read()
    except (ValueError, EOFError, tarfile.TarError, lzma.LZMAError) as error:
        raise DataError(f"{package}: damaged or incomplete package ({error}). Fetch the file again.") from error


def _data(content: bytes) -> bytes:
    if not content.startswith(_MAGIC):
        raise ValueError("no archive of ar")
    at = len(_MAGIC)
    while at < len(content):
        header = content[at : at + _HEADER]
        name, size = header[_NAME].decode().strip(" /"), int(header[_SIZE])
        at += _HEADER
        if at + size > len(content):
            raise ValueError(f"it ends within {name}")
        if name.startswith("data.tar"):
            return content[at : at + size]
        at += size + size % 2
    raise ValueError("no member data.tar")
