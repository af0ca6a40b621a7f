"""The errors that a user can cause, and the near-miss hint that each of them may carry."""

import difflib
from collections.abc import Iterable


class MixlinguaError(ValueError):
    """Something the user can put right: the message says what, the value, where it came from and what to do."""


class ConfigError(MixlinguaError):
    """A configuration key, choice or value that cannot work."""


class DataError(MixlinguaError):
    """A data file or store that is missing, malformed or too small; the message names file and line."""


class ModelError(MixlinguaError):
    """Weights or a tokenizer that cannot be found, read or trusted."""


class CheckpointError(MixlinguaError):
    """A checkpoint that cannot be read, or that belongs to another run set-up."""


class TrainingError(MixlinguaError):
    """Training that cannot go on, such as a loss that is no longer finite."""


class StorageError(MixlinguaError):
    """A file that cannot be written for want of space."""


def suggest(name: str, choices: Iterable[str]) -> str:
    """A sentence naming the nearest of choices, with a leading space, or an empty string where none is near."""
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""
