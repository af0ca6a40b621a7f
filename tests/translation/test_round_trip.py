"""chrF: worked out by hand, and as torchmetrics computes it where the definitions agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text import chrf_score

from mixlingua.translation.gate import chrf


def test_chrf_is_worked_out():
    """Of 6 letters, 5 pairs and 4 triples, 3, 2 and 1 are equal, and nothing longer."""
    assert chrf("abcdef", "abcxyz") == pytest.approx(100 * (3 / 6 + 2 / 5 + 1 / 4) / 6)


def test_recall_counts_double_and_orders_that_a_text_lacks_do_not_count():
    """ "abc" has three orders: precision 1; recall (3/4 + 2/3 + 1/2) / 3 = 0.638889; F = 5 PR / (4P + R)."""
    assert chrf("abc", "abcd") == pytest.approx(68.8623, abs=1e-4)
    assert chrf("abcd", "abc") == pytest.approx(100 * 5 * 0.638889 / (4 * 0.638889 + 1), abs=1e-4)


LETTERS = st.text("abc", min_size=12, max_size=12)


@given(LETTERS, LETTERS)
def test_texts_of_one_length_score_as_elsewhere(text, reference):
    """There precision is recall at every order, so that it does not matter what is averaged."""
    expected = chrf_score([text], [[reference]], n_word_order=0)
    assert chrf(text, reference) == pytest.approx(100 * float(expected), abs=1e-3)


def test_ends():
    assert chrf("the same", "the  same") == pytest.approx(100)
    assert chrf("Who?", "Who?") == pytest.approx(100)
    assert chrf("abc", "xyz") == chrf("", "gone") == chrf("gone", "") == 0
