"""What the rest of the package needs of a translation model."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Translated(NamedTuple):
    """A translation. finished: whether the model ended it, or was cut off at the largest length."""

    text: str
    finished: bool


class Translator(Protocol):
    """Translates texts between languages by our codes, the same texts always in the same way.

    max_tokens: the longest text that it takes. identity: what decides its translations, by name; what was translated by
    one with another identity is not mixed with what this one translates.
    """

    max_tokens: int
    identity: Mapping[str, object]

    def lengths(self, texts: Sequence[str], language: str) -> list[int]:
        """Tokens of each text as a source, special tokens included."""

    def translate(
        self, texts: Sequence[str], source: str, target: str, *, num_beams: int, max_new_tokens: int
    ) -> list[Translated]:
        """The texts, one batch, in the target language, none of more than max_new_tokens."""
