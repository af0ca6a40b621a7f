"""Chromium's data packs (.pak), version 5: numbered texts in one file.

Little-endian: version u32, encoding u8 (1: UTF-8, 2: UTF-16), 3 bytes unused, number of texts u16, number of aliases
u16; then for each text its number u16 and where it begins u32, and one such entry more for where the last one ends;
then for each alias its number u16 and the index u16 of the text that it shares.
Source: the comment in tools/grit/grit/format/data_pack.py of Chromium.
"""

import struct
from itertools import pairwise
from pathlib import Path

from mixlingua.errors import DataError
from mixlingua.files import open_binary

_HEADER = struct.Struct("<IBxxxHH")
_TEXT = struct.Struct("<HI")
_ALIAS = struct.Struct("<HH")
_ENCODINGS = {1: "utf-8", 2: "utf-16-le"}
_COMPRESSED = (b"\x1f\x8b", b"\x1e\x9b")  # gzip, Brotli: whole pages, not messages


def read_datapack(path: Path) -> dict[int, str]:
    """Number -> text, without compressed pages. Raises DataError for a missing file, and one that is no data pack."""
    with open_binary(path) as file:
        content = file.read()
    try:
        version, encoding, num_texts, num_aliases = _HEADER.unpack_from(content)
        if version != 5:
            raise DataError(f"{path}: version {version} of the data pack format; version 5 can be read.")
        entries = [_TEXT.unpack_from(content, _HEADER.size + _TEXT.size * index) for index in range(num_texts + 1)]
        if entries[-1][1] > len(content):
            raise DataError(f"{path}: {len(content)} bytes; its texts end at {entries[-1][1]}. Fetch the file again.")
        parts = [(number, content[start:end]) for (number, start), (_, end) in pairwise(entries)]
        first = _HEADER.size + _TEXT.size * (num_texts + 1)
        for index in range(num_aliases):
            number, shared = _ALIAS.unpack_from(content, first + _ALIAS.size * index)
            parts.append((number, parts[shared][1]))
        codec = _ENCODINGS[encoding]
        return {number: part.decode(codec) for number, part in parts if not part.startswith(_COMPRESSED)}
    except (struct.error, KeyError, IndexError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a data pack of texts, or damaged ({error}). Fetch the file again.") from error
