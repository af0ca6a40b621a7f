"""Language variants of a query: equal rankings cost nothing, others their divergence in both directions."""

import math

import pytest
import torch

from mixlingua.errors import ConfigError
from mixlingua.losses.distillation import LanguageVariants

X, Y = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])


def test_value_by_hand(step):
    """The query ranks the two passages 3:1, its variant 1:3, at a temperature of 1 / ln 3."""
    queries, passages = torch.stack([X, Y]), torch.stack([X, Y])
    views = {"variant_queries": (torch.stack([Y, Y]), torch.tensor([True, True]))}
    loss = LanguageVariants(temperature=1 / math.log(3))(step(queries, passages, **views)).item()
    divergence = 0.75 * math.log(3) - 0.25 * math.log(3)  # either way
    assert loss == pytest.approx(divergence / 2, abs=1e-6)  # of two rows, one differs


def test_the_same_text_costs_nothing_and_absent_rows_do_not_count(step, vectors):
    queries, passages = vectors(4, 0), vectors(4, 1)
    same = step(queries, passages, variant_queries=queries.clone())
    assert LanguageVariants(temperature=0.1)(same).item() == pytest.approx(0.0, abs=1e-12)
    half = step(queries, passages, variant_queries=(vectors(4, 2), torch.tensor([True, False, False, False])))
    alone = step(queries, passages, variant_queries=(vectors(4, 2), torch.tensor([True] * 4)))
    assert LanguageVariants(temperature=0.1)(half).item() != pytest.approx(
        LanguageVariants(temperature=0.1)(alone).item()
    )


def test_duplicates_of_the_querys_passage_are_no_part_of_the_distributions(step, vectors):
    queries, passages, variants = vectors(3, 0), vectors(3, 1), vectors(3, 2)
    keys = torch.arange(3)[:, None]
    with_copy = step(queries, torch.cat([passages, passages[:1]]), passage_keys=torch.cat([keys, keys[:1]]),
                     variant_queries=(variants, torch.tensor([True, False, False])))  # fmt: skip
    without = step(queries, passages, variant_queries=(variants, torch.tensor([True, False, False])))
    loss = LanguageVariants(temperature=0.1)
    assert loss(with_copy).item() == pytest.approx(loss(without).item(), abs=1e-9)


def test_both_languages_have_a_gradient_that_is_finite(step, vectors):
    queries, variants = vectors(3, 0).requires_grad_(), vectors(3, 2).requires_grad_()
    keys = torch.tensor([[0], [0], [1]])  # two rows of one passage: some columns are masked
    LanguageVariants(temperature=0.02)(step(queries, vectors(3, 1), keys, keys, variant_queries=variants)).backward()
    for tensor in (queries, variants):
        assert torch.isfinite(tensor.grad).all() and tensor.grad.abs().sum() > 0


def test_temperature_must_be_positive():
    with pytest.raises(ConfigError, match=r"loss\.variants\.temperature=0"):
        LanguageVariants(temperature=0.0)
