"""Repeated rows of a list that is read in parts, against a dictionary."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlingua.retrieval import corpus as module
from mixlingua.retrieval.corpus import repeats

NUMBERS = st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1, 7 * 2**60])


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS), max_size=40), part=st.integers(1, 9), together=st.integers(1, 9))
def test_equal_to_a_dictionary(rows, part, together):
    digests = np.array(rows, np.uint64).reshape(-1, 2)
    first: dict[tuple[int, int], int] = {}
    expected = [(place, first[row]) for place, row in enumerate(rows) if first.setdefault(row, place) != place]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_ROWS", together)
        found = repeats(lambda: (digests[at : at + part] for at in range(0, len(rows), part)), len(rows))
    assert [tuple(pair) for pair in found.tolist()] == expected


def test_rows_are_sorted_in_intervals(monkeypatch):
    """What is held at once is an interval's share, not the list."""
    digests = np.random.default_rng(0).integers(0, 2**64, (4000, 2), np.uint64)
    digests[3000] = digests[17]
    sizes = []
    original = np.lexsort
    monkeypatch.setattr(module, "MAX_ROWS", 500)
    monkeypatch.setattr(np, "lexsort", lambda keys: sizes.append(len(keys[0])) or original(keys))
    assert repeats(lambda: iter([digests[:1500], digests[1500:]]), 4000).tolist() == [[3000, 17]]
    assert len(sizes) == 8 and max(sizes) < 700
