"""InfoNCE: against values worked out by hand, and the invariants that its masks and directions must keep."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from mixlingua.errors import ConfigError
from mixlingua.model.losses import InfoNCE, info_nce, share_a_key


def vectors(rows: int, seed: int) -> torch.Tensor:
    return normalize(torch.randn(rows, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def loss_of(queries, passages, keys, *, symmetric=False, temperature=0.1, passage_keys=None) -> torch.Tensor:
    rows = torch.arange(len(queries))
    return InfoNCE(temperature, learn_temperature=False, symmetric=symmetric)(
        queries, queries, passages, rows, rows, keys, keys, keys if passage_keys is None else passage_keys
    )


def test_value_by_hand():
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    passages = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    # Scores over a temperature of 0.5: query 0: 2, 1.2; query 1: 0, 1.6.
    expected = (math.log(1 + math.exp(1.2 - 2)) + math.log(1 + math.exp(0 - 1.6))) / 2
    loss = info_nce(queries, passages, torch.tensor([0, 1]), torch.zeros(2, 2, dtype=torch.bool), scale=2.0)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_ignored_passages_are_no_negatives_but_the_positive_stays():
    queries, passages = vectors(3, 0), vectors(3, 1)
    positives = torch.arange(3)
    ignored = torch.eye(3, dtype=torch.bool)  # asks to ignore the positives themselves
    ignored[0, 2] = True
    loss = info_nce(queries, passages, positives, ignored, 10.0)
    scores = queries @ passages.T * 10
    expected = [-scores[0, 0] + scores[0, :2].logsumexp(0)] + [-scores[i, i] + scores[i].logsumexp(0) for i in (1, 2)]
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), abs=1e-9)


def test_a_duplicate_passage_changes_nothing_when_its_key_is_shared():
    queries, passages = vectors(4, 0), vectors(4, 1)
    keys = torch.arange(4)[:, None]
    with_copy = torch.cat([passages, passages[:1]])
    masked = loss_of(queries[:1], with_copy, keys[:1], passage_keys=torch.cat([keys, keys[:1]]))
    counted = loss_of(queries[:1], with_copy, keys[:1], passage_keys=torch.cat([keys, keys[:1] + 9]))
    assert masked.item() == pytest.approx(loss_of(queries[:1], passages, keys[:1], passage_keys=keys).item(), abs=1e-12)
    assert counted > masked


def test_symmetric_is_the_mean_of_both_directions():
    queries, passages, keys = vectors(4, 0), vectors(4, 1), torch.arange(4)[:, None]
    there, back = loss_of(queries, passages, keys), loss_of(passages, queries, keys)
    assert loss_of(queries, passages, keys, symmetric=True).item() == pytest.approx(
        ((there + back) / 2).item(), abs=1e-9
    )


def test_any_shared_key_counts_whatever_its_place():
    left = torch.tensor([[1, 2], [3, 4]])
    right = torch.tensor([[2, 9], [5, 6], [7, 3]])
    assert share_a_key(left, right).tolist() == [[True, False, False], [False, False, True]]


def test_learned_temperature_has_a_gradient_and_a_fixed_one_has_none():
    learned = InfoNCE(0.1, learn_temperature=True, symmetric=False)
    rows, keys = torch.arange(3), torch.arange(3)[:, None]
    learned(*(vectors(3, s).float() for s in (0, 0, 1)), rows, rows, keys, keys, keys).backward()
    assert learned.log_scale.grad.abs() > 0
    assert not InfoNCE(0.1, learn_temperature=False, symmetric=False).log_scale.requires_grad
    assert learned.temperature == pytest.approx(0.1)


def test_a_learned_temperature_stays_at_a_hundredth_or_above():
    loss = InfoNCE(0.1, learn_temperature=True, symmetric=False)
    with torch.no_grad():
        loss.log_scale.fill_(math.log(1000))
    assert loss.temperature == pytest.approx(0.01)
    assert InfoNCE(0.001, learn_temperature=False, symmetric=False).temperature == pytest.approx(0.001)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(ConfigError, match=r"model\.temperature="):
        InfoNCE(temperature, learn_temperature=False, symmetric=False)
