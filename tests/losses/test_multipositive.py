"""Several right passages: values by hand, what is left out, and that one positive is plain InfoNCE."""

import math

import pytest
import torch

from mixlingua.errors import ConfigError
from mixlingua.losses.infonce import MultiPositive

X, Y = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])


def test_value_by_hand(step):
    """At a temperature of 1 each query scores 1 with its own passage, 0 with its variant, 0 and 1 with the others."""
    made = step(torch.stack([X, Y]), torch.stack([X, Y]), variant_passages=torch.stack([Y, X]))
    negatives = math.exp(0) + math.exp(1)  # the other row's passage and its variant
    expected = (math.log(1 + negatives / math.e) + math.log(1 + negatives)) / 2
    assert MultiPositive(temperature=1.0, variants=1)(made).item() == pytest.approx(expected, abs=1e-6)


def test_without_any_variant_it_is_infonce(step, vectors, infonce):
    queries, passages = vectors(4, 0), vectors(4, 1)
    absent = vectors(4, 2), torch.zeros(4, dtype=torch.bool)
    made = step(queries, passages, variant_passages=absent)
    assert MultiPositive(temperature=0.1, variants=1)(made).item() == pytest.approx(infonce()(made).item(), abs=1e-9)


def test_a_rows_variants_are_never_its_negatives_and_absent_ones_nobodys(step, vectors):
    queries, passages, further = vectors(3, 0), vectors(3, 1), vectors(6, 2)
    present = torch.tensor([True, True, False, False, True, False])
    loss = MultiPositive(temperature=0.1, variants=2)
    made = step(queries, passages, variant_passages=(further, present))
    columns = torch.cat([passages, further])
    scores = queries @ columns.T / 0.1
    rows = torch.tensor([0, 1, 2, 0, 0, 1, 1, 2, 2])
    there = torch.cat([torch.ones(3, dtype=torch.bool), present])
    expected = []
    for row in range(3):
        negatives = scores[row][(rows != row) & there].exp().sum()
        own = scores[row][(rows == row) & there]
        expected.append(torch.log(1 + negatives / own.exp()).mean())
    assert loss(made).item() == pytest.approx(torch.stack(expected).mean().item(), abs=1e-9)


def test_a_passage_that_also_answers_is_left_out_in_all_its_languages_and_no_other(step):
    """Query 0 is answered by passage 1 too, so nothing is left to rank its own against; query 1 has passage 0."""
    keys, passage_keys = torch.tensor([[0, 1], [1, 1]]), torch.tensor([[0, 0], [1, 1]])
    made = step(torch.stack([X, Y]), torch.stack([X, Y]), keys, passage_keys, variant_passages=torch.stack([Y, X]))
    negatives = math.exp(0) + math.exp(1)  # passage 0 and its variant, before query 1
    of_query_1 = (math.log(1 + negatives / math.e) + math.log(1 + negatives)) / 2
    assert MultiPositive(temperature=1.0, variants=1)(made).item() == pytest.approx(of_query_1 / 2, abs=1e-6)


def test_gradients_are_finite_for_a_single_row(step, vectors):
    queries = vectors(1, 0).requires_grad_()
    loss = MultiPositive(temperature=0.1, variants=1)(step(queries, vectors(1, 1), variant_passages=vectors(1, 2)))
    loss.backward()
    assert loss.item() == 0.0 and torch.isfinite(queries.grad).all()


@pytest.mark.parametrize(("change", "key"), [({"temperature": 0.0}, "temperature"), ({"variants": 0}, "variants")])
def test_values_that_make_no_sense(change, key):
    with pytest.raises(ConfigError, match=rf"loss\.multipositive\.{key}="):
        MultiPositive(**({"weight": 1.0, "temperature": 0.1, "variants": 1} | change))
