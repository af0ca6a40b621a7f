"""Loops: what a translation model writes where it gets stuck, the same words again and again."""

import re
from functools import lru_cache


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
