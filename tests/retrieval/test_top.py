"""The best passages of a pool: as sorting all scores gives them, whatever the pool is cut into."""

import pytest
import torch

from mixlingua.retrieval import search as module
from mixlingua.retrieval.search import top


@pytest.mark.parametrize("cut", [1, 3, 40])
@pytest.mark.parametrize("block", [(1, 2), (1024, 4096)])
@pytest.mark.parametrize("count", [1, 7, 40, 99])
def test_it_is_a_stable_sort_of_all_scores(monkeypatch, cut, block, count):
    """Components of 0 to 2 quarters: most scores occur several times, also at the end of what is taken."""
    monkeypatch.setattr(module, "MAX_BLOCK", block)
    generator = torch.Generator().manual_seed(0)
    queries, passages = (torch.randint(0, 3, (n, 2), generator=generator) / 4 for n in (5, 40))
    expected = (queries.double() @ passages.double().T).sort(dim=1, descending=True, stable=True)
    scores, positions = top(queries, passages.split(cut), count)
    assert torch.equal(scores, expected.values[:, :count])
    assert torch.equal(positions, expected.indices[:, :count])
