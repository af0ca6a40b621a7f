"""Whether a text is written in its language's script, and whether it is the source once more."""

import unicodedata
from functools import cache

import regex

from mixlingua.data.words import WORD
from mixlingua.languages import script

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
