"""Which layers are frozen and which are drawn anew."""

import pytest
import torch

from mixlingua.errors import ModelError
from mixlingua.model.local_weights import tiny_folder


def test_frozen_layers_are_the_lowest_ones(pretrained):
    trained = {n for n, p in pretrained(freeze_layers=1).load(seed=0).named_parameters() if p.requires_grad}
    assert not any("embeddings" in name or "layer.0." in name for name in trained)
    assert any("layer.1." in name for name in trained)
    with pytest.raises(ModelError, match=r"model\.freeze_layers=99: tiny has \d+ layers"):
        pretrained(freeze_layers=99).load(seed=0)


def test_reinitialized_layers_are_the_highest_ones_by_seed(pretrained):
    start = {"name_or_path": str(tiny_folder(3)), "pooling": "mean"}  # which the seed does not decide
    usual, drawn, again, other = (
        dict(pretrained(**start, reinitialize_layers=count).load(seed=seed).transformer.named_parameters())
        for count, seed in ((0, 3), (1, 3), (1, 3), (1, 4))
    )
    changed = {name for name in usual if not torch.equal(usual[name], drawn[name])}
    assert changed and all("layer.1." in name for name in changed)
    assert changed >= {name for name in usual if "layer.1." in name and "dense.weight" in name}
    assert all(torch.equal(drawn[name], again[name]) for name in usual)
    assert {name for name in usual if not torch.equal(drawn[name], other[name])} == changed
    with pytest.raises(ModelError, match=r"model\.reinitialize_layers=99: tiny has \d+ layers"):
        pretrained(reinitialize_layers=99).load(seed=0)
