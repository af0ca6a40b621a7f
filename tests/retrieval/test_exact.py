"""Scores without rounding: the same whatever is multiplied together, and equal for equal passages."""

from fractions import Fraction

import pytest
import torch

from mixlingua.retrieval import search as exact
from mixlingua.retrieval.search import count_below, exact_scores, on_grid


def unit_vectors(count, dim=384, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return on_grid(torch.nn.functional.normalize(torch.randn(count, dim, generator=generator), dim=1))


def test_the_grid_moves_unit_vectors_by_less_than_their_own_rounding():
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(100, 384), dim=1)
    moved = (on_grid(vectors) - vectors).abs().max().item()
    assert 0 < moved <= 2**-25
    assert torch.equal(on_grid(on_grid(vectors)), on_grid(vectors))
    large = torch.tensor([-3.0, 0.5, 2.0**20 + 0.125])
    assert torch.equal(on_grid(large), large)


def test_scores_equal_rational_arithmetic():
    queries, passages = unit_vectors(3, seed=1), unit_vectors(3, seed=2)
    for query, passage, score in zip(queries, passages, exact_scores(queries, passages).tolist(), strict=True):
        terms = (Fraction(a) * Fraction(b) for a, b in zip(query.tolist(), passage.tolist(), strict=True))
        assert Fraction(score) == sum(terms)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (1024, 4096)])
def test_products_of_any_shape_give_the_bits_of_single_products(monkeypatch, shape):
    """A threshold is a passage's own score: were a product to round, that passage would count as below it."""
    monkeypatch.setattr(exact, "MAX_BLOCK", shape)
    queries, passages = unit_vectors(11, seed=1), unit_vectors(60, seed=2)
    passages = torch.cat([passages, passages.flip(0)])  # each twice, in other columns
    single = torch.stack([exact_scores(queries, row.expand(11, -1)) for row in passages], dim=1)
    below = count_below(queries, passages, single)
    expected = (single[:, None, :] < single[:, :, None]).sum(dim=2)
    assert torch.equal(below, expected)
    alone = [count_below(queries, passages, threshold[:, None]) for threshold in single.T]
    assert torch.equal(torch.cat(alone, dim=1), expected)
    assert (below.sort(dim=1).values[:, ::2] == below.sort(dim=1).values[:, 1::2]).all(), "twins tie"


def test_nothing_is_below_what_was_not_found():
    thresholds = torch.tensor([[-torch.inf, 2.0]], dtype=torch.float64)
    assert count_below(unit_vectors(1), unit_vectors(9), thresholds).tolist() == [[0, 9]]
