"""Which words a text has, and in what case they are looked up and replaced."""

import pytest

from mixlingua.data.codeswitch.dictionaries import WORD, in_case_of, is_spaced, looked_up


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The dog's well-known “bark” (19th c., 1990).", ["The", "dog's", "well", "known", "bark", "19th", "c"]),
        ("L’eau, c'est 'rien'!", ["L’eau", "c'est", "rien"]),
        ("हिन्दी में क्या है?", ["हिन्दी", "में", "क्या", "है"]),  # vowel signs and virama are marks, not letters
        ("ما هي عاصمةُ مصر؟", ["ما", "هي", "عاصمةُ", "مصر"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # a zero-width non-joiner inside a Persian word
        ("Где Ёлка?", ["Где", "Ёлка"]),
        ("Vie\u0323\u0302t", ["Vie\u0323\u0302t"]),  # decomposed
        ("snake_case @name 3.14", ["snake", "case", "name"]),
        ("", []),
    ],
)
def test_words_of_several_scripts(text: str, words: list[str]) -> None:
    assert WORD.findall(text) == words


@pytest.mark.parametrize(
    ("word", "language", "form"),
    [
        ("Hund", "de", "hund"),
        ("Vie\u0323\u0302t", "vi", "việt"),
        ("ISPARTA", "tr", "ısparta"),
        ("İstanbul", "tr", "istanbul"),
        ("ISTANBUL", "en", "istanbul"),
        ("İstanbul", "en", "istanbul"),  # Python alone leaves a dot behind
        ("ΟΔΟΣ", "el", "οδος"[:-1] + "ς"),
        ("Don’t", "en", "don't"),
    ],
)
def test_the_form_that_is_looked_up(word: str, language: str, form: str) -> None:
    assert looked_up(word, language) == form


@pytest.mark.parametrize(
    ("word", "replacement", "language", "result"),
    [
        ("dog", "Hund", "de", "Hund"),
        ("Dog", "köpek", "tr", "Köpek"),
        ("DOG", "köpek", "tr", "KÖPEK"),
        ("Is", "ile", "tr", "İle"),
        ("IS", "ile ısı", "tr", "İLE ISI"),
        ("Is", "ile", "de", "Ile"),
        ("I", "ich", "de", "Ich"),  # one capital is a capital first
        ("McCoy", "hund", "de", "Hund"),
        ("iPhone", "telefon", "de", "telefon"),
        ("Dog", "कुत्ता", "hi", "कुत्ता"),
        ("DOG", "狗", "zh", "狗"),
        ("कुत्ता", "dog", "en", "dog"),
    ],
)
def test_a_replacement_takes_over_the_case(word: str, replacement: str, language: str, result: str) -> None:
    assert in_case_of(word, replacement, language) == result


def test_which_languages_have_spaces_between_words() -> None:
    unspaced = ["zh", "zh-Hant", "ja", "th", "lo", "km", "my", "bo"]
    assert [code for code in [*unspaced, "ko", "vi", "hi", "ar", "en", "hi-Latn"] if not is_spaced(code)] == unspaced
