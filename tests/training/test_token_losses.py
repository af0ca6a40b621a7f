"""A loss of token vectors in a training step: it gets what it asks for, and nothing is computed that none asks for."""

from dataclasses import replace

import pytest
import torch
from torch.utils.data import DataLoader

from mixlingua.data.batches import View, ViewTexts
from mixlingua.errors import ConfigError
from mixlingua.losses.base import TotalLoss
from mixlingua.losses.transport import Transport
from mixlingua.model.layers import Dense
from mixlingua.training.module import RetrieverModule, Teacher

WORDS = ["alpha", "river bank", "stone", "cloud"]


@pytest.fixture
def taught(module):
    """The module with loss=transport alone, and its teacher: itself before training."""
    module.loss = TotalLoss({"transport": Transport()})
    module.teacher = Teacher.copy_of(module.encoder)
    return module


@pytest.fixture
def batch(make_batch, module):
    """Words in capitals, which the teacher reads as they are."""
    tokenizer, present = module.encoder.tokenizer, torch.ones(len(WORDS), dtype=torch.bool)
    capitals = [word.upper() for word in WORDS]
    views = {
        View.PIVOT_QUERIES: ViewTexts(tokenizer.queries(WORDS), present),
        View.PIVOT_PASSAGES: ViewTexts(tokenizer.passages(WORDS), present),
    }
    return replace(make_batch(0, capitals, capitals, ["one", "two", "three", "four"]), views=views)


def loss_of(module, batch) -> float:
    with torch.no_grad():
        return module.batch_loss(batch)[0].item()


def test_padding_special_tokens_and_prefixes_change_nothing(taught, batch, make_batch):
    """The mean over texts is that of each text alone, which has no padding, and whatever stands at its other tokens."""
    whole = loss_of(taught, batch)
    tokenizer, alone = taught.encoder.tokenizer, []
    for word in WORDS:
        views = {
            View.PIVOT_QUERIES: ViewTexts(tokenizer.queries([word]), torch.tensor([True])),
            View.PIVOT_PASSAGES: ViewTexts(tokenizer.passages([word]), torch.tensor([True])),
        }
        alone.append(loss_of(taught, replace(make_batch(0, [word.upper()], [word.upper()]), views=views)))
    assert whole == pytest.approx(sum(alone) / len(WORDS), abs=1e-5)
    assert taught.encoder.tokenizer.content(batch.queries, "query").sum().item() == sum(map(len, WORDS))


def test_training_moves_the_tokens_to_the_teachers(taught, batch, trainer):
    before = loss_of(taught, batch)
    trainer(max_steps=12).fit(taught, DataLoader([batch] * 12, batch_size=None))
    assert loss_of(taught, batch) < before / 2


def test_chunks_give_the_same_loss_and_gradient(taught, batch):
    values, gradients = [], []
    for size in (None, 3):
        taught.encoder.chunk_size = size
        taught.zero_grad()
        loss, _ = taught.batch_loss(batch)
        loss.backward()
        values.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for p in taught.encoder.parameters() if p.grad is not None]))
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-6, rtol=1e-3)


def test_layers_that_such_a_loss_would_never_train_are_refused(taught, infonce):
    """DistributedDataParallel would fail on them at the second step."""
    taught.encoder.append(Dense(32, 8, bias=True, activation=torch.nn.Tanh()))
    transport = taught.loss.losses["transport"]
    with pytest.raises(ConfigError, match=r"loss=\[transport\]: .* such as loss=\[infonce,transport\]"):
        RetrieverModule(taught.encoder, TotalLoss({"transport": transport}), taught.optimizer, taught.teacher)
    losses = {"infonce": infonce(), "transport": transport}
    RetrieverModule(taught.encoder, TotalLoss(losses), taught.optimizer, taught.teacher)


def test_no_token_vectors_without_a_loss_that_asks_for_them(module, batch, monkeypatch):
    monkeypatch.setattr(type(module.encoder), "with_tokens", None)
    assert loss_of(module, replace(batch, views={})) > 0
