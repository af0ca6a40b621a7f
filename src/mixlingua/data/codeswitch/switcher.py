"""Code-switching: words of training texts replaced through bilingual dictionaries, with a probability.

Source: Litschko, Artemova and Plank 2023, "Boosting Zero-shot Cross-lingual Retrieval by Training on Artificially
Code-Switched Data", Findings of ACL, arXiv 2305.05295 (its BL-CS and ML-CS; the lexicons are the caller's here).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixlingua.data.codeswitch.dictionaries import (
    WHERE_FROM,
    WORD,
    Dictionary,
    dictionary_files,
    in_case_of,
    is_spaced,
    looked_up,
    read_dictionary,
    read_files,
)
from mixlingua.data.rows import Side
from mixlingua.errors import ConfigError, DataError, suggest
from mixlingua.files import content_hash
from mixlingua.languages import check_language

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


VARIANTS = ("bilingual", "multilingual")
_ALL_LISTED = 12  # pairs; an error lists no more than so many


class Codeswitch:
    """What to replace: the choices `codeswitch_bilingual` and `codeswitch_multilingual` of the group `augmentation`.

    path: a folder of dictionaries (`dictionary_files`). variant: "bilingual", a text's words go into one other
    language, drawn for the text; "multilingual", each word goes into a language of its own. probability: that a word is
    to be replaced. languages: those whose texts are changed. query_targets, passage_targets: the languages that words
    of queries and of passages (hard negatives too) go into; an empty list leaves that side as it is.
    """

    def __init__(
        self,
        path: str | Path,
        variant: str,
        probability: float,
        languages: Sequence[str],
        query_targets: Sequence[str],
        passage_targets: Sequence[str],
    ) -> None:
        """Raises ConfigError for values that cannot work, DataError where a side has no dictionary at all."""
        if variant not in VARIANTS:
            near = suggest(str(variant), VARIANTS)
            raise ConfigError(f"augmentation.variant={variant}: it is one of {', '.join(VARIANTS)}.{near}")
        if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
            raise ConfigError(f"augmentation.probability={probability}: a probability is within [0, 1].")
        self.path, self.variant, self.probability = Path(path), variant, float(probability)
        self.languages = _checked(languages, "languages")
        self.targets = {
            "query": _checked(query_targets, "query_targets"),
            "passage": _checked(passage_targets, "passage_targets"),
        }
        if not any(self.targets.values()):
            raise ConfigError(
                "augmentation.query_targets and augmentation.passage_targets are both empty, so that no word would be "
                "replaced; name languages, or choose augmentation=none."
            )
        self._files = dictionary_files(self.path)
        for side, targets in self.targets.items():
            if targets and not list(self._pairs(targets)):
                raise DataError(self._no_dictionary(side))

    def load(self, seed: int) -> CodeSwitcher:
        """Read the dictionaries that are needed. Raises DataError with file and line."""
        pairs = sorted({pair for targets in self.targets.values() for pair in self._pairs(targets)})
        dictionaries = {pair: read_dictionary(self._files[pair], pair[0]) for pair in pairs}
        return CodeSwitcher(
            dictionaries,
            self.targets,
            variant=self.variant,
            probability=self.probability,
            seed=seed,
            fingerprints={"-".join(pair): content_hash(*read_files(self._files[pair]))[:16] for pair in pairs},
            notes=list(self._notes(dictionaries)),
        )

    def _pairs(self, targets: Sequence[str]) -> Iterator[tuple[str, str]]:
        """The pairs of languages that there is a dictionary for, among those asked for."""
        sources = [language for language in self.languages if is_spaced(language)]
        yield from (pair for source in sources for target in targets if (pair := (source, target)) in self._files)

    def _notes(self, dictionaries: Mapping[tuple[str, str], Dictionary]) -> Iterator[str]:
        wanted = sorted({target for targets in self.targets.values() for target in targets})
        for source in self.languages:
            if not is_spaced(source):
                yield f"{source}: written without spaces between words; its texts are left as they are"
                continue
            sizes = {target: len(dictionaries[source, target]) for target in wanted if (source, target) in dictionaries}
            lacking = [target for target in wanted if target != source and target not in sizes]
            listed = ", ".join(f"{target} ({size:,} words)" for target, size in sizes.items())
            into = f"into {listed}" if sizes else "its texts are left as they are"
            yield f"{source}: {into}" + (f"; no dictionary into {' '.join(lacking)}" if lacking else "")

    def _no_dictionary(self, side: str) -> str:
        listed = ["-".join(pair) for pair in self._files]
        more = f" and {len(listed) - _ALL_LISTED} more" if len(listed) > _ALL_LISTED else ""
        unspaced = [language for language in self.languages if not is_spaced(language)]
        return (
            f"{self.path}: has {' '.join(listed[:_ALL_LISTED])}{more}, and none from a language of augmentation."
            f"languages ({' '.join(self.languages)}) into one of augmentation.{side}_targets "
            f"({' '.join(self.targets[side])}). "
            + (f"Texts in {' '.join(unspaced)} cannot be cut into words here. " if unspaced else "")
            + f"A file is used in its own direction only. {WHERE_FROM}."
        )


def _checked(languages: Sequence[str], key: str) -> tuple[str, ...]:
    return tuple(sorted({check_language(language, f"augmentation.{key}") for language in languages}))
