"""Which translations are good enough to train on, and why the others are not: bounds, then the figures they bound."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from math import sqrt
from statistics import median
from typing import NamedTuple

import regex
from torch import Tensor
from torchmetrics.functional.text import chrf_score

from mixlingua.data.codeswitch.dictionaries import WORD
from mixlingua.errors import ConfigError, check_whole
from mixlingua.languages import script
from mixlingua.translation.model import Translated
from mixlingua.translation.texts import joined

# Why a text is rejected, in the order of the checks; each is made of what the ones before let pass.
REASONS = ("too_long", "empty", "cut_off", "loop", "copied", "script", "length", "round_trip")


class Verdict(NamedTuple):
    """What became of a text. text: the translation, also where it is rejected; reason: one of REASONS, None where the
    text is accepted; value: the figure that decided, where there is one."""

    text: str
    reason: str | None = None
    value: float | None = None


@dataclass(frozen=True)
class Gate:
    """What translations must keep to; docs/translation.md explains each bound.

    max_repeats: times that the same may stand in a row, unless it does in the source
    max_copied_words: a text of more words may not consist of the source's words
    min_script_share: of its letters, those of names in the source aside, in the language's script
    max_length_deviation: standard deviations from the length that the source lets expect
    min_round_trip: chrF, 0 to 100, of the text translated back, which costs as much again; null: not translated back
    Raises ConfigError for bounds that cannot be.
    """

    max_repeats: int = 3
    max_copied_words: int = 4
    min_script_share: float = 0.5
    max_length_deviation: float = 3.0
    min_round_trip: float | None = None

    def __post_init__(self) -> None:
        for key, least in (("max_repeats", 1), ("max_copied_words", 0)):
            check_whole(f"translation.gate.{key}", getattr(self, key), least)
        if not 0 <= self.min_script_share <= 1:
            raise ConfigError(f"translation.gate.min_script_share={self.min_script_share}: must be a share, 0 to 1.")
        if self.max_length_deviation <= 0:
            raise ConfigError(f"translation.gate.max_length_deviation={self.max_length_deviation}: must be above 0.")
        if self.min_round_trip is not None and not 0 <= self.min_round_trip <= 100:
            raise ConfigError(
                f"translation.gate.min_round_trip={self.min_round_trip}: must be a chrF, 0 to 100, or null."
            )

    def judge(
        self, sources: Mapping[int, str], pieces: Mapping[int, Sequence[tuple[str, Translated | None]]], language: str
    ) -> tuple[dict[int, Verdict], float | None]:
        """A verdict for each text by its position, and the length ratio that the texts were judged by.

        pieces: the source and the translation of each piece of a text, None where the source was too long. The length
        ratio is the median over this language's texts that pass all other checks; None where there are none.
        """
        verdicts = {text: self._judge_alone(sources[text], pieces[text], language) for text in pieces}
        passed = [text for text, verdict in verdicts.items() if verdict.reason is None]
        ratio = length_ratio((sources[text], verdicts[text].text) for text in passed)
        if ratio is not None:
            for text in passed:
                deviation = length_deviation(sources[text], verdicts[text].text, ratio)
                if abs(deviation) > self.max_length_deviation:
                    verdicts[text] = Verdict(verdicts[text].text, "length", deviation)
        return verdicts, ratio

    def _judge_alone(self, source: str, pieces: Sequence[tuple[str, Translated | None]], language: str) -> Verdict:
        """The checks that need no other text."""
        translated = [(piece, translation) for piece, translation in pieces if translation is not None]
        text = joined([translation.text for _, translation in translated], language)
        if len(translated) < len(pieces):
            return Verdict(text, "too_long")
        if not all(translation.text.strip() for _, translation in translated):
            return Verdict(text, "empty")
        if not all(translation.finished for _, translation in translated):
            return Verdict(text, "cut_off")
        for piece, translation in translated:
            repeats = most_repeats(translation.text, self.max_repeats)
            if repeats and repeats > most_repeats(piece, self.max_repeats):
                return Verdict(text, "loop", repeats)
        if (copied := copied_words(text, source)) > self.max_copied_words:
            return Verdict(text, "copied", copied)
        if (share := script_share(text, source, language)) < self.min_script_share:
            return Verdict(text, "script", share)
        return Verdict(text)


def most_repeats(text: str, beyond: int) -> int:
    """How often, at most, a unit of one or more characters stands in a row; 0 where that is `beyond` times or fewer.

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


def copied_words(text: str, source: str) -> int:
    """The number of words of a text where the source has every one of them; else 0."""
    words = [word.casefold() for word in WORD.findall(text)]
    return len(words) if set(words) <= {word.casefold() for word in WORD.findall(source)} else 0


def script_share(text: str, source: str, language: str) -> float:
    """Share of the letters that are in the language's script, from 0 to 1.

    Letters of other scripts do not count in words that the source has: names are often kept (DNA, Beyoncé). 1 where
    nothing counts, and where the language's script is unknown.
    """
    code = script(language)
    if code is None:
        return 1.0
    in_script, in_others = _patterns(code)
    text, source = unicodedata.normalize("NFC", text), unicodedata.normalize("NFC", source)
    kept = set(_LETTERS.findall(source.casefold()))
    num_in_script = len(in_script.findall(text))
    num_others = sum(len(run) for run in in_others.findall(text) if run.casefold() not in kept)
    return num_in_script / (num_in_script + num_others) if num_in_script + num_others else 1.0


_LETTERS = regex.compile(r"\p{L}+")
# Unicode's scripts of the ISO 15924 codes that stand for several.
_MEMBERS = {
    "Hans": ("Hani",), "Hant": ("Hani",), "Jpan": ("Hani", "Hira", "Kana"), "Kore": ("Hang", "Hani"),
}  # fmt: skip


@cache
def _patterns(code: str) -> tuple[regex.Pattern[str], regex.Pattern[str]]:
    """Single letters of a script, and runs of letters of others; letters that all scripts share are neither."""
    members = "".join(rf"\p{{Script={member}}}" for member in _MEMBERS.get(code, (code,)))
    shared = r"\p{Script=Zyyy}\p{Script=Zinh}"
    return regex.compile(rf"(?=\p{{L}})[{members}]"), regex.compile(rf"(?:(?=\p{{L}})[^{members}{shared}])+")


def length_ratio(pairs: Iterable[tuple[str, str]]) -> float | None:
    """Median over (source, translation) of the translation's characters for each of the source's; None for no pair."""
    ratios = [len(translation) / len(source) for source, translation in pairs]
    return median(ratios) if ratios else None


VARIANCE = 6.8  # of a translation's length for each character of its source (Gale and Church 1993, section 3.2)


def length_deviation(source: str, translation: str, ratio: float) -> float:
    """Standard deviations by which a translation is longer (shorter: below 0) than expected: 2 (√(t/r) - √s) / √6.8.

    s, t: characters of source and translation; r: the usual t/s of the two languages, so that t/r is a length in
    characters of the source language, whatever the scripts. Source: Gale and Church 1993, "A program for aligning
    sentences in bilingual corpora": a translation of s characters has a length of variance 6.8 s around its mean. The
    square root makes that variance the same at every length, so that one bound serves for questions and for passages.
    """
    return 2 * (sqrt(len(translation) / ratio) - sqrt(len(source))) / sqrt(VARIANCE)


def chrf(text: str, reference: str) -> float:
    """chrF of a text against its reference, from 0 to 100: F-score of character n-grams of 1 to 6, without spaces.

    Recall counts twice as much as precision. Orders that the reference is too short for are left out, so that a text
    equal to it has 100. Source: Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation", with the
    F-score averaged over the orders, as torchmetrics does.
    """
    longest = max(1, min(6, len("".join(reference.split()))))
    score = chrf_score([text], [[reference]], n_char_order=longest, n_word_order=0)
    assert isinstance(score, Tensor)
    return 100 * score.item()
