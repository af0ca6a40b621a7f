"""What was translated so far: a file that grows by a line for each batch, and survives a process that dies."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixlingua.errors import CheckpointError, DataError
from mixlingua.files import storage_error
from mixlingua.translation.translator import Translated


class Journal:
    """Translations by the position of their source, kept in a file of JSON lines.

    The first line holds the settings that decided them; each other line is a batch: `{"pieces", "texts", "finished"}`.
    A line is on the disk before the next batch begins. What a killed process left unfinished at the end is cut off.
    """

    def __init__(self, file: Path, settings: Mapping[str, object]) -> None:
        """Open or begin the journal. Raises CheckpointError naming each setting that differs, DataError for a damaged
        line."""
        self.file = file
        self.translated: dict[int, Translated] = {}
        lines = _whole_lines(file)
        if not lines:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._append(dict(settings))
            return
        entries = [_parse(line, f"{file}:{number}") for number, line in enumerate(lines, start=1)]
        self._check(entries[0], json.loads(json.dumps(dict(settings))))
        for number, entry in enumerate(entries[1:], start=2):
            try:
                batch = zip(entry["pieces"], entry["texts"], entry["finished"], strict=True)
                self.translated.update({piece: Translated(text, finished) for piece, text, finished in batch})
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{file}:{number}: not a batch of translations ({error!r}). {_REMEDY}") from error

    def add(self, pieces: Sequence[int], translated: Sequence[Translated]) -> None:
        """Keep a batch. Raises StorageError where the disk is full."""
        texts, finished = zip(*translated, strict=True)
        self._append({"pieces": list(pieces), "texts": texts, "finished": finished})
        self.translated.update(zip(pieces, translated, strict=True))

    def _append(self, entry: Mapping[str, object]) -> None:
        try:
            with self.file.open("ab") as file:
                file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if full := storage_error(self.file, error):
                raise full from error
            raise

    def _check(self, saved: Mapping[str, Any], current: Mapping[str, Any]) -> None:
        differences = [
            f"{name} was {saved.get(name)!r}, is {current.get(name)!r}"
            for name in dict.fromkeys([*saved, *current])
            if saved.get(name) != current.get(name)
        ]
        if differences:
            raise CheckpointError(
                f"{self.file}: what is there was translated otherwise: {'; '.join(differences)}. Restore these "
                "settings, or translate anew in another hydra.run.dir."
            )


_REMEDY = "Delete the line, whose texts are then translated again."


def _whole_lines(file: Path) -> list[bytes]:
    """The lines of a file; a last one without its ending, which a killed process left, is cut off on the disk."""
    if not file.exists():
        return []
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(file, whole)
    return content[:whole].splitlines()


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: damaged ({error}). {_REMEDY}") from error
    if not isinstance(entry, dict):
        raise DataError(f"{where}: damaged (no object). {_REMEDY}")
    return entry
