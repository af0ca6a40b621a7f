"""Debian's descriptions of packages, which its volunteers translate: the short one asks for the long one.

Source: ddtp.debian.org, as in Debian 12.15. Licences: those of the packages.
"""

import bz2
import lzma
from collections.abc import Iterator
from pathlib import Path

from mixlingua.data.readers.translated import TranslatedReader
from mixlingua.errors import DataError

_ID = "Description-md5: "  # of the English description that was translated


class DebianReader(TranslatedReader):
    """A row for each description. Files: Debian's `Translation-<locale>`, compressed as they are published."""

    table = "debian"
    url = "https://deb.debian.org/debian/dists/bookworm/main/i18n"
    version = "1"

    def texts(self, file: Path) -> Iterator[tuple[str, tuple[str, str]]]:
        """Checksum, short and long description of each paragraph that has them."""
        for paragraph in _unpacked(file).split("\n\n"):
            key, short, long = "", "", []
            for line in paragraph.split("\n"):
                if line.startswith(_ID):
                    key = line.removeprefix(_ID)
                elif line.startswith("Description-"):
                    short = line.partition(":")[2].strip()
                elif line.startswith(" ") and line.strip() != ".":  # a full stop alone: an empty line
                    long += line.split()
            if key and short and long:
                yield key, (short, " ".join(long))


def _unpacked(file: Path) -> str:
    try:
        return (lzma if file.suffix == ".xz" else bz2).decompress(file.read_bytes()).decode("utf-8")
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
        raise DataError(f"{file}: damaged or incomplete archive ({error}). Fetch the file again.") from error
