"""Code-switching: words of training texts replaced through bilingual dictionaries, with a probability.

Source: Litschko, Artemova and Plank 2023, "Boosting Zero-shot Cross-lingual Retrieval by Training on Artificially
Code-Switched Data", Findings of ACL, arXiv 2305.05295 (its BL-CS and ML-CS; the lexicons are the caller's here).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mixlingua.data.readers.dictionaries import (
    WHERE_FROM,
    Dictionary,
    dictionary_files,
    read_dictionary,
    read_files,
)
from mixlingua.data.switcher import CodeSwitcher
from mixlingua.data.words import is_spaced
from mixlingua.errors import ConfigError, DataError, suggest
from mixlingua.files import content_hash
from mixlingua.languages import check_language

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
