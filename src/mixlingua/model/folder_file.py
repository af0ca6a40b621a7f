"""The files of a model folder: JSON of which every setting is honoured or refused by name, and weights."""

import json
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mixlingua.errors import ModelError

T = TypeVar("T")
_KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", str: "a text", dict: "an object"}


class SettingsFile:
    """The settings of a JSON file, or of an object in it. Each is taken once; `close` refuses what nobody took."""

    def __init__(self, file: Path, content: Any = None, *, optional: bool = False) -> None:
        """content: the object, where it was read before. optional: a file that is not there has no settings.

        Raises ModelError where the file is not there, or is no JSON object.
        """
        self.file = file
        self.there = content is not None or not optional or file.exists()
        rest = read_json(file) if self.there and content is None else content or {}
        if not isinstance(rest, dict):
            raise ModelError(f"{file}: a JSON object is needed, not {short(rest)}. Copy the folder again.")
        self._rest = dict(rest)

    def take(self, key: str, kind: type[T], default: T) -> T:
        """A setting's value; the default where it is absent or null. Raises ModelError for a value of another kind."""
        value = self._rest.pop(key, None)
        if value is None:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ModelError(f"{self.file}: {key} is {short(value)}; {_KINDS[kind]} is needed.")
        return value

    def take_object(self, key: str) -> "SettingsFile":
        """The settings of an object in the file; none where it is absent."""
        return SettingsFile(self.file, self.take(key, dict, {}))

    def has(self, key: str) -> bool:
        """Whether a setting is there that nobody has taken."""
        return self._rest.get(key) is not None

    def ignore(self, *keys: str) -> None:
        """Settings that change no vector."""
        for key in keys:
            self._rest.pop(key, None)

    def only(self, key: str, *values: object) -> None:
        """Raises ModelError unless the setting is absent, null or one of the values."""
        value = self._rest.pop(key, None)
        if value is not None and value not in values:
            raise self.refusal(key, value, f"mixlingua has only {' or '.join(map(short, values))}.")

    def close(self) -> None:
        """Raises ModelError for a setting that nobody took, unless it is empty or false."""
        for key, value in self._rest.items():
            if value not in (None, False, "", [], {}):
                raise self.refusal(key, value, "mixlingua does not know it.")

    def refusal(self, key: str, value: object, reason: str) -> ModelError:
        """The error for a setting that is not followed."""
        return ModelError(
            f"{self.file}: {key}={short(value)}: {reason} The vectors would not be those that the folder describes. "
            "Use a model without it, or remove it from a copy of the folder if it makes no difference there."
        )


def read_json(file: Path) -> Any:
    """Raises ModelError where the file is not there, cannot be read or is not JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{file}: not found; the model folder is incomplete. Copy or download it again.") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file}: not valid JSON ({error}). Copy or download the model folder again.") from None
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror}).") from None


def short(value: object) -> str:
    """A value as JSON, for messages."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def read_weights(folder: Path) -> dict[str, Tensor]:
    """A module's tensors. Raises ModelError for a pickle, and for a file that cannot be read."""
    file = folder / "model.safetensors"
    if not file.exists():
        raise ModelError(
            f"{file}: not found; pickled weights (pytorch_model.bin) are never loaded. Convert the module once with "
            "safetensors.torch.save_file."
        )
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file}: cannot be read ({error}). Copy the model folder again.") from error
