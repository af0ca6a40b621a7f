"""Exact scores: those of a plain product, with exact ties for equal passages."""

import torch

from mixlingua.retrieval.search import MAX_BLOCK_SCORES, ExactScorer, blocks


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
