"""A translator that needs no weights: letters are replaced, and some words make it fail as models do."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from mixlingua.translation.model import Translated

LATIN = "abcdefghijklmnopqrstuvwxyz"
ALPHABETS = {"en": LATIN, "de": LATIN[1:] + LATIN[0], "ru": "абвгдежзийклмнопрстуфхцчшщ", "fr": LATIN[2:] + LATIN[:2]}


class LetterTranslator:
    """A text's letters in the alphabet of the target language; a token a word, and two special ones.

    called: (target, text) of every text that it was asked for. pause: seconds that a batch takes. Words that fail:
    NOTHING (nothing comes back), STUCK (a loop), UNENDING (cut off), SAME (the source comes back), WRONG (Thai), GONE
    (all but one word is left out), OTHER (a text of the same length with another meaning).
    """

    def __init__(self, max_tokens: int = 40, pause: float = 0.0, weights: str = "letters") -> None:
        self.max_tokens = max_tokens
        self.identity = {"weights": weights, "precision": "float32"}
        self.pause = pause
        self.called: list[tuple[str, str]] = []

    def lengths(self, texts: Sequence[str], language: str) -> list[int]:
        return [len(text.split()) + 2 for text in texts]

    def translate(
        self, texts: Sequence[str], source: str, target: str, *, num_beams: int, max_new_tokens: int
    ) -> list[Translated]:
        time.sleep(self.pause)
        self.called += [(target, text) for text in texts]
        return [self._translated(text, source, target) for text in texts]

    def _translated(self, text: str, source: str, target: str) -> Translated:
        letters = str.maketrans(ALPHABETS[source], ALPHABETS[target])
        plain = text.lower().translate(letters)
        if "NOTHING" in text:
            return Translated(" ", True)
        if "STUCK" in text:
            return Translated("xyz " * len(text.split()), True)
        if "SAME" in text:
            return Translated(text, True)
        if "WRONG" in text:
            return Translated("".join(chr(0x0E01 + place % 40) for place in range(len(text))), True)
        if "GONE" in text:
            return Translated(plain.split()[0], True)
        if "OTHER" in text:
            other = ALPHABETS[target][11:] + ALPHABETS[target][:11]
            return Translated(plain.translate(str.maketrans(ALPHABETS[target], other)), True)
        return Translated(plain, "UNENDING" not in text)


@dataclass(frozen=True)
class LetterModel:
    """The same as a choice of the group `translator`. loaded: every translator that was."""

    name_or_path: str
    revision: str | None
    licence: str | None

    def load(self, languages: Sequence[str], *, device: object, precision: str) -> LetterTranslator:
        LOADED.append(LetterTranslator())
        return LOADED[-1]


LOADED: list[LetterTranslator] = []
