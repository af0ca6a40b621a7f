"""Code-switching: words of training texts replaced through bilingual dictionaries, with a probability.

`Codeswitch` is the configuration, which knows the files; it loads a `CodeSwitcher`, which changes texts.
Source: Litschko, Artemova and Plank 2023, "Boosting Zero-shot Cross-lingual Retrieval by Training on Artificially
Code-Switched Data", Findings of ACL, arXiv 2305.05295 (its BL-CS and ML-CS; the lexicons are the caller's here).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

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
from mixlingua.errors import ConfigError, DataError, check_choice
from mixlingua.files import content_hash
from mixlingua.languages import check_language
from mixlingua.sampling.random import Purpose, uniforms

Variant = Literal["bilingual", "multilingual"]

_RULES = 1  # raise it when the same seed comes to give other texts: checkpoints of older rules are then refused
_PAIRS_TO_NAME = 12  # in an error


class Codeswitch:
    """What to replace: the choices `codeswitch_bilingual` and `codeswitch_multilingual` of the group `augmentation`.

    path: a folder of dictionaries en-de.txt, ... (`dictionary_files`); docs/codeswitch.md says where to get them
    languages: whose texts are changed; each needs its own dictionaries
    query_targets: languages that words of queries are put into; []: queries stay as they are
    passage_targets: the same for passages, hard negatives too
    variant: bilingual (a text's words go into one language, drawn for the text) or multilingual (each into its own)
    probability: that a word is replaced, where the dictionary has it
    """

    def __init__(
        self,
        path: str | Path,
        languages: Sequence[str],
        query_targets: Sequence[str],
        passage_targets: Sequence[str],
        *,
        variant: Variant = "bilingual",
        probability: float = 0.5,
    ) -> None:
        """Raises ConfigError for values that cannot work, DataError where a side has no dictionary at all."""
        check_choice("augmentation.variant", variant, get_args(Variant))
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

    def load(self, seed: int) -> "CodeSwitcher":
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
        more = f" and {len(listed) - _PAIRS_TO_NAME} more" if len(listed) > _PAIRS_TO_NAME else ""
        unspaced = [language for language in self.languages if not is_spaced(language)]
        return (
            f"{self.path}: has {' '.join(listed[:_PAIRS_TO_NAME])}{more}, and none from a language of augmentation."
            f"languages ({' '.join(self.languages)}) into one of augmentation.{side}_targets "
            f"({' '.join(self.targets[side])}). "
            + (f"Texts in {' '.join(unspaced)} cannot be cut into words here. " if unspaced else "")
            + f"A file is used in its own direction only. {WHERE_FROM}."
        )


def _checked(languages: Sequence[str], key: str) -> tuple[str, ...]:
    return tuple(sorted({check_language(language, f"augmentation.{key}") for language in languages}))


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
        """dictionaries: by (source, target); targets: "query" and "passage" -> languages; seed: in [0, 2^64).

        notes: which dictionaries are there and which are missing, for the user.
        """
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
                    self._dictionaries.setdefault((side, source), []).append((target, dictionaries[source, target]))

    def __call__(self, text: str, language: str, side: Side, place: tuple[int, int, int]) -> str:
        """The text with words replaced. place: batch, row of its source, and 0 or the number of the hard negative."""
        choices = self._dictionaries.get((side, language))
        if choices is None:
            return text
        words = list(WORD.finditer(text))
        batch, row, number = place
        stream = (batch, row, 0 if side == "query" else 1 + number)
        # One number for the text, then three for each word; the same words are always the first.
        for_text, *for_words = uniforms(self._seed, Purpose.CODE_SWITCHING, stream, 1, 1 + 3 * len(words))[0].tolist()
        pieces, end = [], 0
        for word, chance, for_word, which in zip(words, for_words[::3], for_words[1::3], for_words[2::3], strict=True):
            if chance >= self._probability:
                continue
            target, dictionary = choices[int((for_word if self._per_word else for_text) * len(choices))]
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
