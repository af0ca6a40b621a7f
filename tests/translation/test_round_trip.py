"""chrF, worked out by hand and at its ends."""

import pytest

from mixlingua.translation.round_trip import chrf


def test_chrf_is_worked_out():
    """ "abcdef" and "abcxyz": 3 of 6 single characters, 2 of 5 pairs, 1 of 4 triples, nothing longer; precision and
    recall are equal, so that F is their mean over six orders: (1/2 + 2/5 + 1/4) / 6."""
    assert chrf(["abcdef"], ["abcxyz"]) == [pytest.approx(100 * 1.15 / 6, rel=1e-4)]


def test_recall_counts_double():
    longer, shorter = chrf(["abcdefgh", "abcdefg"], ["abcdefg", "abcdefgh"])
    assert longer > shorter


def test_ends():
    assert chrf(["the same text", "quite other"], ["the same text", "zzzz"]) == [pytest.approx(100), 0]
    assert chrf([], []) == []
    assert chrf([""], ["gone"]) == [0]
