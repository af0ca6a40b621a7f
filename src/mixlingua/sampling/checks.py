"""Values of the configuration that cannot be meant."""

from math import isfinite
from typing import TypeGuard

from mixlingua.errors import ConfigError, suggest


def check_alpha(key: str, value: object) -> None:
    """Raise ConfigError unless it is a probability."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ConfigError(
            f"{key}: {value!r} lies outside [0, 1]; it is the probability that a step is monolingual "
            "(0: all cross-lingual, 1: all monolingual)."
        )


def check_exponent(key: str, value: object, *, of: str) -> None:
    """Raise ConfigError unless it is a finite number >= 0."""
    if not is_number(value) or not (isfinite(value) and value >= 0):
        raise ConfigError(
            f"{key}: {value!r} is no number >= 0; use 1 for {of} in proportion to their size, 0 for all alike."
        )


def check_choice(key: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ConfigError unless it is one of the choices."""
    if value not in choices:
        raise ConfigError(f"{key}: {value!r} is none of {', '.join(choices)}.{suggest(str(value), choices)}")


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
