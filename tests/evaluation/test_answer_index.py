"""Which passages contain an answer: tokens worked out by hand in several scripts, and every look-up by brute force."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlingua.evaluation.engines.answers import AnswerIndex, tokens


def decomposed(*words):
    return tuple(unicodedata.normalize("NFD", word) for word in words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Beyoncé's “Halo” (2008)", decomposed("beyoncé", "'", "s", "“", "halo", "”", "(", "2008", ")")),
        ("Beyonce\u0301", decomposed("beyoncé")),
        ("St. Louis, U.S.", ("st", ".", "louis", ",", "u", ".", "s", ".")),
        ("1,000 km² / 3½ in", ("1", ",", "000", "km²", "/", "3½", "in")),
        ("２ 2", ("２", "2")),  # canonical, not compatibility decomposition
        ("rock-\n'n'\t roll", ("rock", "-", "'", "n", "'", "roll")),
        ("co\u00adop zero\u200bwidth", ("co", "op", "zero", "width")),  # format characters divide
        ("snake_case £5 😀", ("snake", "_", "case", "£", "5", "😀")),
        ("Ёлка и Йод", decomposed("ёлка", "и", "йод")),
        ("İstanbul", ("i\u0307stanbul",)),
        ("مُحَمَّد القاهرة", ("مُحَمَّد", "القاهرة")),  # vowel signs are marks
        ("हिन्दी में", ("हिन्दी", "में")),
        ("กรุงเทพมหานคร ปี 2475", decomposed("กรุงเทพมหานคร", "ปี", "2475")),
        ("東京都、日本", ("東京都", "、", "日本")),
        ("서울", ("\u1109\u1165\u110b\u116e\u11af",)),
        (" \n\u00a0\u3000", ()),
    ],
)
def test_tokens(text, expected):
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("answer", "text", "contained"),
    [
        ("art", "A party of artists.", False),
        ("art", "Art!", True),
        ("New York", "in new\nYORK city", True),
        ("New York", "New, York", False),
        ("2", "2,000 of 32", True),  # a token of its own, between the comma and the end
        ("2", "in 2012", False),
        ("1,000", "1,000,000", True),
        ("1,000", "11,000", False),
        ("Dr. No", "dr.No", True),
        ("Pokémon", "Poke\u0301mon", True),
        ("Pokémon", "Pokemon", False),
        ("東京", "東京都", False),  # no blanks, no boundary
        ("Москва", "МОСКВА.", True),
        ("the end", "the the end", True),
        ("a b c", "a b", False),
        ("", "anything", False),
        (" ", "", False),
    ],
)
def test_containing(answer, text, contained):
    index = AnswerIndex([[answer]])
    assert bool(index.found_in(text)) == contained
    assert [(question, rows.tolist()) for question, rows in index.answered(["zzz", text, text])] == (
        [(0, [1, 2])] if contained else []
    )


WORDS = st.lists(st.sampled_from(["a", "B", "b", "a.", "ab", "é", "-"]), max_size=5).map(" ".join)


@given(st.lists(st.lists(WORDS, max_size=3), max_size=4), st.lists(WORDS, max_size=6))
def test_equal_to_comparing_every_answer_at_every_place(answers, texts):
    def contains(text, answer):
        text, answer = tokens(text), tokens(answer)
        return answer != () and any(text[at : at + len(answer)] == answer for at in range(len(text)))

    expected = {
        question: [row for row, text in enumerate(texts) if any(contains(text, answer) for answer in own)]
        for question, own in enumerate(answers)
    }
    found = [(question, rows.tolist()) for question, rows in AnswerIndex(answers).answered(texts)]
    assert found == [(question, rows) for question, rows in expected.items() if rows]
