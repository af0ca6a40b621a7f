"""Which sides of a row a loss holds against the teacher's reading, of its pivot side or of its own text."""

from typing import Literal

from mixlingua.data.protocols import Side
from mixlingua.data.views import OWN_PASSAGES, OWN_QUERIES, PIVOT_PASSAGES, PIVOT_QUERIES
from mixlingua.errors import ConfigError, suggest

Sides = Literal["query", "passage", "both"]
_CHOICES: dict[str, tuple[Side, ...]] = {"query": ("query",), "passage": ("passage",), "both": ("query", "passage")}
PIVOT: dict[Side, str] = {"query": PIVOT_QUERIES, "passage": PIVOT_PASSAGES}
OWN: dict[Side, str] = {"query": OWN_QUERIES, "passage": OWN_PASSAGES}


def chosen_sides(loss: str, sides: Sides) -> tuple[Side, ...]:
    """The sides that `loss.NAME.sides` asks for. Raises ConfigError where it is none of query, passage and both."""
    if sides not in _CHOICES:
        raise ConfigError(f"loss.{loss}.sides={sides}: one of {', '.join(_CHOICES)}.{suggest(sides, _CHOICES)}")
    return _CHOICES[sides]
