"""Which translations are good enough to train on, and why the others are not."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from math import sqrt
from statistics import mean, median
from typing import NamedTuple

import regex

from mixlingua.data.codeswitch.dictionaries import WORD
from mixlingua.errors import ConfigError
from mixlingua.languages import script
from mixlingua.translation.model import Translated
from mixlingua.translation.texts import joined

# Variance of a translation's length for each character of its source (Gale and Church 1993, section 3.2).
VARIANCE = 6.8


def length_ratio(pairs: Iterable[tuple[str, str]]) -> float | None:
    """Median over (source, translation) of the translation's characters for each of the source's; None for no pair."""
    ratios = [len(translation) / len(source) for source, translation in pairs]
    return median(ratios) if ratios else None


def length_deviation(source: str, translation: str, ratio: float) -> float:
    """Standard deviations by which a translation is longer (shorter: below 0) than expected: 2 (√(t/r) - √s) / √6.8.

    s, t: characters of source and translation; r: the usual t/s of the two languages, so that t/r is a length in
    characters of the source language, whatever the scripts. Source: Gale and Church 1993, "A program for aligning
    sentences in bilingual corpora": a translation of s characters has a length of variance 6.8 s around its mean. The
    square root makes that variance the same at every length, so that one bound serves for questions and for passages.
    """
    return 2 * (sqrt(len(translation) / ratio) - sqrt(len(source))) / sqrt(VARIANCE)


def most_repeats(text: str, beyond: int) -> int:
    """How often a unit of one or more characters stands in a row, at most, where that is more than `beyond` times; else
    0.

    Units without a letter (rows of dots, of digits) do not count; case and the width of spaces do not matter.
    """
    text = " ".join(text.casefold().split()) + " "
    longest_unit = len(text) // (beyond + 1)
    if not longest_unit:
        return 0
    counts = (
        len(match[0]) // len(match[1])
        for match in _loop(longest_unit, beyond).finditer(text)
        if any(character.isalpha() for character in match[1])
    )
    return max(counts, default=0)


@lru_cache(maxsize=4096)
def _loop(longest_unit: int, beyond: int) -> re.Pattern[str]:
    return re.compile(rf"(.{{1,{longest_unit}}}?)\1{{{beyond},}}")


# Unicode's scripts of the ISO 15924 codes that stand for several.
_MEMBERS = {
    "Hans": ("Hani",), "Hant": ("Hani",), "Jpan": ("Hani", "Hira", "Kana"), "Kore": ("Hang", "Hani"),
}  # fmt: skip
_LETTERS = regex.compile(r"\p{L}+")


def script_share(text: str, source: str, language: str) -> float:
    """Share of the letters that are in the language's script, from 0 to 1.

    Letters of other scripts do not count in words that the source has: names are often kept (DNA, Beyoncé). 1 where
    nothing counts, and where the language's script is unknown.
    """
    code = script(language)
    if code is None:
        return 1.0
    own, foreign = _patterns(code)
    text, source = unicodedata.normalize("NFC", text), unicodedata.normalize("NFC", source)
    kept = set(_LETTERS.findall(source.casefold()))
    num_own = len(own.findall(text))
    num_foreign = sum(len(run) for run in foreign.findall(text) if run.casefold() not in kept)
    return num_own / (num_own + num_foreign) if num_own + num_foreign else 1.0


def copied_words(text: str, source: str) -> int:
    """The number of words of a text where the source has every one of them; else 0."""
    words = [word.casefold() for word in WORD.findall(text)]
    return len(words) if set(words) <= {word.casefold() for word in WORD.findall(source)} else 0


@cache
def _patterns(code: str) -> tuple[regex.Pattern[str], regex.Pattern[str]]:
    """Single letters of a script, and runs of letters of others; letters that all scripts share are neither."""
    members = "".join(rf"\p{{Script={member}}}" for member in _MEMBERS.get(code, (code,)))
    shared = r"\p{Script=Zyyy}\p{Script=Zinh}"
    return regex.compile(rf"(?=\p{{L}})[{members}]"), regex.compile(rf"(?:(?=\p{{L}})[^{members}{shared}])+")


_ORDERS = range(1, 7)
_BETA = 2  # recall counts that many times as much as precision


def chrf(text: str, reference: str) -> float:
    """chrF of a text against its reference, from 0 to 100: F-score of character n-grams of 1 to 6, without spaces.

    Precision and recall are averaged over the orders of which both texts have n-grams; 0 where there are none.
    Source: Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation", eq. 1, with beta 2. As written
    there, not as an average of the F-scores of each order.
    """
    precisions, recalls = [], []
    for order in _ORDERS:
        found, expected = _ngrams(text, order), _ngrams(reference, order)
        if found and expected:
            matching = (found & expected).total()
            precisions.append(matching / found.total())
            recalls.append(matching / expected.total())
    if not any(precisions):
        return 0.0
    precision, recall = mean(precisions), mean(recalls)
    return 100 * (1 + _BETA**2) * precision * recall / (_BETA**2 * precision + recall)


def _ngrams(text: str, order: int) -> Counter[str]:
    text = "".join(text.split())
    return Counter(text[start : start + order] for start in range(len(text) - order + 1))


# Why a text is rejected, in the order in which it is asked; each is asked of what the ones before let pass.
REASONS = ("too_long", "empty", "cut_off", "loop", "copied", "script", "length", "round_trip")


class Verdict(NamedTuple):
    """text: the translation, also of a rejected text; reason: one of REASONS, None where it is accepted; value: the
    figure that decided, where there is one."""

    text: str
    reason: str | None = None
    value: float | None = None


@dataclass(frozen=True)
class Gate:
    """What translations must keep to; docs/translation.md explains each bound. Raises ConfigError for bounds that
    cannot be.

    max_repeats: times that a unit may stand in a row, where the source has no longer row; max_copied_words: a text of
    more words must not consist of the source's; min_script_share: of letters in the language's script;
    max_length_deviation: in standard deviations (`length_deviation`); min_round_trip: chrF of the text translated back,
    None: not translated back.
    """

    max_repeats: int
    max_copied_words: int
    min_script_share: float
    max_length_deviation: float
    min_round_trip: float | None

    def __post_init__(self) -> None:
        for key, least in (("max_repeats", 1), ("max_copied_words", 0)):
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"translation.gate.{key}={value}: a whole number of {least} or more is needed.")
        if not 0 <= self.min_script_share <= 1:
            raise ConfigError(f"translation.gate.min_script_share={self.min_script_share}: a share is within [0, 1].")
        if self.max_length_deviation <= 0:
            raise ConfigError(
                f"translation.gate.max_length_deviation={self.max_length_deviation}: more than 0 standard deviations."
            )
        if self.min_round_trip is not None and not 0 <= self.min_round_trip <= 100:
            raise ConfigError(f"translation.gate.min_round_trip={self.min_round_trip}: chrF is within [0, 100].")

    def judge(
        self, sources: Mapping[int, str], pieces: Mapping[int, Sequence[tuple[str, Translated | None]]], language: str
    ) -> tuple[dict[int, Verdict], float | None]:
        """A verdict for each text by its position, and the length ratio that they were judged by.

        pieces: the source and the translation of each piece of a text, None where the source was too long. The length
        ratio is the median of this language's texts that everything before lets pass; None where there are none.
        """
        verdicts = {position: self._alone(sources[position], pieces[position], language) for position in pieces}
        passed = [position for position, verdict in verdicts.items() if verdict.reason is None]
        ratio = length_ratio((sources[position], verdicts[position].text) for position in passed)
        if ratio is not None:
            for position in passed:
                deviation = length_deviation(sources[position], verdicts[position].text, ratio)
                if abs(deviation) > self.max_length_deviation:
                    verdicts[position] = Verdict(verdicts[position].text, "length", deviation)
        return verdicts, ratio

    def _alone(self, source: str, pieces: Sequence[tuple[str, Translated | None]], language: str) -> Verdict:
        """What can be said of a text without the others."""
        found = [translated for _, translated in pieces if translated is not None]
        text = joined([translated.text for translated in found], language)
        if len(found) < len(pieces):
            return Verdict(text, "too_long")
        if not all(translated.text.strip() for translated in found):
            return Verdict(text, "empty")
        if not all(translated.finished for translated in found):
            return Verdict(text, "cut_off")
        for part, translated in zip((part for part, _ in pieces), found, strict=True):
            repeats = most_repeats(translated.text, self.max_repeats)
            if repeats and repeats > most_repeats(part, self.max_repeats):
                return Verdict(text, "loop", repeats)
        if (copied := copied_words(text, source)) > self.max_copied_words:
            return Verdict(text, "copied", copied)
        if (share := script_share(text, source, language)) < self.min_script_share:
            return Verdict(text, "script", share)
        return Verdict(text)
