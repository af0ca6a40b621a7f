"""Words of a text: where they are, how they are looked up, and how a replacement takes over their case."""

import unicodedata

import regex

from mixlingua.languages import script

# Runs of letters with their marks, joiners and digits. An apostrophe between letters belongs to the word, as in
# Unicode's word boundaries (UAX #29). Without marks and joiners, words of Hindi or Persian would be cut apart.
WORD = regex.compile(r"\p{N}*\p{L}[\p{L}\p{M}\p{N}\u200c\u200d]*(?:['’]\p{L}[\p{L}\p{M}\p{N}\u200c\u200d]*)*")
_UNSPACED = {"Hani", "Hans", "Hant", "Jpan", "Hira", "Kana", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"}
_DOTTED_I = ("tr", "az")  # languages in which I is the capital of ı, and İ that of i


def is_spaced(language: str) -> bool:
    """Whether a language puts spaces between words (some, between syllables), so that WORD finds them."""
    return script(language) not in _UNSPACED


def looked_up(word: str, language: str) -> str:
    """The form of a word under which a dictionary of its language holds it: lower case, composed (NFC)."""
    word = unicodedata.normalize("NFC", word)
    if language in _DOTTED_I:
        word = word.replace("I", "ı").replace("İ", "i")
    return word.lower().replace("i̇", "i").replace("’", "'")


def in_case_of(word: str, replacement: str, language: str) -> str:
    """The replacement, a word of `language`, in the case of the word: all capitals, a capital first, or as it is."""
    if len(word) > 1 and word.isupper():
        return (replacement.replace("i", "İ") if language in _DOTTED_I else replacement).upper()
    if word[0].isupper():
        first = "İ" if replacement[0] == "i" and language in _DOTTED_I else replacement[0].title()
        return first + replacement[1:]
    return replacement
