"""The captions file of Crossmodal-3600: one JSON object an image, plain or in the zip archive it is published as."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mixlingua.errors import DataError

NAME = "captions.jsonl"


@dataclass(frozen=True)
class Captions:
    """texts: language -> image -> its captions in that language, each once, in the file's order; an image without a
    caption is not there. digest: SHA-256 of the file, unpacked."""

    texts: Mapping[str, Mapping[str, list[str]]]
    num_images: int
    digest: str


def read_captions(path: Path, codes: Mapping[str, str]) -> Captions:
    """Read the captions in some languages: codes is language -> what the file calls it.

    Every line is {"image/key": KEY, CODE: {"caption": [TEXT, ...], ...}, ...}; other fields are ignored.
    Raises DataError naming file and line for what is not of this form, an image that comes twice, or a damaged archive.
    """
    texts: dict[str, dict[str, list[str]]] = {language: {} for language in codes}
    images: set[str] = set()
    digest = hashlib.sha256()
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            digest.update(line)
            where = f"{path}:{number}"
            image, entry = _image(line, where)
            if image in images:
                raise DataError(f"{where}: image '{image}' comes twice. Fetch the file again.")
            images.add(image)
            for language, code in codes.items():
                captions = _captions(entry.get(code), f"{where}: {code} of image '{image}'")
                if captions:
                    texts[language][image] = captions
    return Captions(texts, len(images), digest.hexdigest())


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix != ".zip":
        with path.open("rb") as file:
            yield file
        return
    try:
        with zipfile.ZipFile(path) as archive, archive.open(NAME) as file:
            yield file
    except KeyError as error:
        raise DataError(f"{path}: holds no {NAME}. Is it the archive of captions?") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: damaged or incomplete archive ({error}). Fetch the file again.") from error


def _image(line: bytes, where: str) -> tuple[str, dict[str, Any]]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: malformed JSON ({error}). Fetch the file again.") from error
    image = entry.get("image/key") if isinstance(entry, dict) else None
    if not isinstance(image, str) or not image:
        raise DataError(f'{where}: no "image/key"; not the format of Crossmodal-3600.')
    return image, entry


def _captions(part: Any, where: str) -> list[str]:
    if part is None:
        return []
    captions = part.get("caption") if isinstance(part, dict) else None
    if not isinstance(captions, list) or not all(isinstance(text, str) for text in captions):
        raise DataError(f'{where}: "caption" is no list of texts; not the format of Crossmodal-3600.')
    return list(dict.fromkeys(text.strip() for text in captions if text.strip()))
