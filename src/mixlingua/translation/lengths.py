"""Whether a translation is as long as its source lets expect."""

from collections.abc import Iterable
from math import sqrt
from statistics import median

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
