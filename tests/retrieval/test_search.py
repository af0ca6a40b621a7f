"""Exact search: the same bits whatever is multiplied together, equal passages tie, and what the pool is cut into."""

from fractions import Fraction

import pytest
import torch

from mixlingua.retrieval import search
from mixlingua.retrieval.search import MAX_BLOCK_SCORES, ExactScorer, blocks, count_below, exact_scores, on_grid, top


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
    monkeypatch.setattr(search, "MAX_BLOCK", shape)
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


@pytest.mark.parametrize("cut", [1, 3, 40])
@pytest.mark.parametrize("block", [(1, 2), (1024, 4096)])
@pytest.mark.parametrize("count", [1, 7, 40, 99])
def test_the_top_is_a_stable_sort_of_all_scores(monkeypatch, cut, block, count):
    """Components of 0 to 2 quarters: most scores occur several times, also at the end of what is taken."""
    monkeypatch.setattr(search, "MAX_BLOCK", block)
    generator = torch.Generator().manual_seed(0)
    queries, passages = (torch.randint(0, 3, (n, 2), generator=generator) / 4 for n in (5, 40))
    expected = (queries.double() @ passages.double().T).sort(dim=1, descending=True, stable=True)
    scores, positions = top(queries, passages.split(cut), count)
    assert torch.equal(scores, expected.values[:, :count])
    assert torch.equal(positions, expected.indices[:, :count])


def test_scores_are_inner_products():
    torch.manual_seed(0)
    queries, passages = torch.randn(7, 24), torch.randn(50, 24)
    torch.testing.assert_close(ExactScorer(passages)(queries), queries @ passages.T)


def test_equal_passages_score_exactly_alike_in_the_right_columns():
    torch.manual_seed(0)
    distinct = torch.randn(40, 384)
    rows = torch.randint(0, 40, (1003,))
    queries = torch.randn(5, 384)
    scores = ExactScorer(distinct[rows])(queries)
    for row in range(40):
        copies = scores[:, rows == row]
        assert (copies == copies[:, :1]).all()
    torch.testing.assert_close(scores, queries @ distinct[rows].T)


def test_blocks_cover_the_queries_in_order_within_the_memory_bound():
    for num_queries, num_passages in [(0, 10), (10, 1), (13_090, 13_214), (3, 10 * MAX_BLOCK_SCORES)]:
        parts = list(blocks(num_queries, num_passages))
        assert [row for part in parts for row in range(part.start, part.stop)] == list(range(num_queries))
        assert all((p.stop - p.start) * num_passages <= MAX_BLOCK_SCORES or p.stop - p.start == 1 for p in parts)
