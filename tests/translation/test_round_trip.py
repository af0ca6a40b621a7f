"""chrF: worked out by hand, and what holds for every text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlingua.translation.gate import chrf


def test_chrf_is_worked_out():
    """Of 6 letters, 5 pairs and 4 triples, 3, 2 and 1 are equal, and nothing longer."""
    assert chrf("abcdef", "abcxyz") == pytest.approx(100 * (3 / 6 + 2 / 5 + 1 / 4) / 6, abs=1e-4)


def test_recall_counts_double():
    """All n n-grams of an order of "abcdef" are in "abcdefg", which has n + 1. F = 5 PR / (4P + R) of each order."""
    recalls = [count / (count + 1) for count in range(6, 0, -1)]
    longer = sum(5 * recall / (4 + recall) for recall in recalls) / 6
    shorter = sum(5 * precision / (4 * precision + 1) for precision in recalls) / 6
    assert chrf("abcdef", "abcdefg") == pytest.approx(100 * longer, abs=1e-4)
    assert chrf("abcdefg", "abcdef") == pytest.approx(100 * shorter, abs=1e-4)


@given(st.text("abc ", min_size=12))
def test_a_text_is_all_of_itself_and_nothing_of_another(text):
    if len("".join(text.split())) >= 6:
        assert chrf(text, f" {text}  ") == pytest.approx(100, abs=1e-3)
        assert chrf(text, "xyz xyz") == 0
    assert chrf("", text) == chrf(text, "") == 0
