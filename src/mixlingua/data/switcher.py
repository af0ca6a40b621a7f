"""The replacement of words, as a pure function of the text and its place in the training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixlingua.data.protocols import Side
from mixlingua.data.readers.dictionaries import Dictionary
from mixlingua.data.words import WORD, in_case_of, looked_up

_RULES = 1  # raise it when the same seed comes to give other texts: checkpoints of older rules are then refused
_PURPOSE = 1 << 32  # of these draws; those of a batch plan (sampling/draws.py) have small numbers


class CodeSwitcher:
    """Replaces words by translations: the augmentation that `Codeswitch` describes, with its dictionaries in memory.

    Each word of a text is chosen with the same probability. A chosen word goes into the language that was drawn for the
    text (bilingual) or for the word (multilingual), uniformly from those that have a dictionary from the text's
    language, and becomes one of its translations there, drawn uniformly too; where that dictionary lacks it, it stays.
    Everything between words stays, and so does a text whose language has no dictionary.
    """

    def __init__(
        self,
        dictionaries: Mapping[tuple[str, str], Dictionary],
        targets: Mapping[str, Sequence[str]],
        *,
        variant: str,
        probability: float,
        seed: int,
        fingerprints: Mapping[str, str],
        notes: Sequence[str],
    ) -> None:
        """dictionaries: by (source, target); targets: "query" and "passage" -> languages; notes: what a user should
        know of what is there and what is missing; seed: in [0, 2^64)."""
        self.notes = list(notes)
        self.name = f"codeswitch_{variant}"
        self._per_word = variant == "multilingual"
        self._probability = probability
        self._seed = seed
        self._targets = {side: sorted(languages) for side, languages in targets.items()}
        self._fingerprints = dict(fingerprints)
        self._dictionaries: dict[tuple[str, str], list[tuple[str, Dictionary]]] = {}
        for side, languages in self._targets.items():
            for source, target in sorted(dictionaries):
                if target in languages:
                    held = self._dictionaries.setdefault((side, source), [])
                    held.append((target, dictionaries[source, target]))

    def __call__(self, text: str, language: str, side: Side, place: tuple[int, int, int]) -> str:
        """The text with words replaced. place: batch, row of its source, and 0 or the number of the hard negative."""
        choices = self._dictionaries.get((side, language))
        if choices is None:
            return text
        words = list(WORD.finditer(text))
        of_text, of_words = self._draws(side, place, len(words))
        pieces, end = [], 0
        for word, (chance, of_word, which) in zip(words, of_words.tolist(), strict=True):
            if chance >= self._probability:
                continue
            target, dictionary = choices[int((of_word if self._per_word else of_text) * len(choices))]
            if translations := dictionary.get(looked_up(word[0], language)):
                translation = translations[int(which * len(translations))]
                pieces += [text[end : word.start()], in_case_of(word[0], translation, target)]
                end = word.end()
        return "".join([*pieces, text[end:]])

    def describe(self) -> dict[str, Any]:
        """Everything that decides the texts, but for the seed, as plain values."""
        return {
            "name": self.name,
            "rules": _RULES,
            "probability": self._probability,
            **{f"{side}_targets": languages for side, languages in self._targets.items()},
            "dictionaries": self._fingerprints,
        }

    def _draws(self, side: str, place: tuple[int, int, int], count: int) -> tuple[float, NDArray[np.float64]]:
        """A uniform number in [0, 1) for the text, and (count, 3) for its words; the same words are always the first.

        Philox, a counter-based generator (see sampling/draws.py): nothing is stored between texts.
        """
        batch, row, number = place
        generator = np.random.Philox(
            key=np.array([self._seed, _PURPOSE], dtype=np.uint64),
            counter=np.array([0, batch, row, 0 if side == "query" else 1 + number], dtype=np.uint64),
        )
        words = np.asarray(generator.random_raw(1 + 3 * count), dtype=np.uint64) >> np.uint64(11)
        uniforms = words.astype(np.float64) * 2.0**-53
        return float(uniforms[0]), uniforms[1:].reshape(count, 3)
