"""The steps of passage transforms: each by itself, and one after another."""

import pytest
import torch
from torch.nn.functional import normalize

from mixlingua.errors import ConfigError
from mixlingua.retrieval.passage_transforms import HubCorrection, Joining, PassageTransforms

LANGUAGES = ["de", "en"] * 5


def unit_rows(count, dim, seed=0):
    return normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


PASSAGES, CONTEXTS, QUERIES = unit_rows(10, 6), unit_rows(10, 6, seed=1), unit_rows(3, 6, seed=2)
JOINING, CORRECTION = Joining(0.5), HubCorrection(0.25, 2)


def test_by_default_nothing_is_done():
    assert PassageTransforms().passages(PASSAGES, CONTEXTS, LANGUAGES) is PASSAGES
    assert PassageTransforms().queries(QUERIES) is QUERIES
    assert PassageTransforms().note == ""


def test_a_passage_leans_towards_its_context_as_far_as_the_weight_says():
    found = PassageTransforms(context_weight=0.5).passages(PASSAGES, CONTEXTS, LANGUAGES)
    for row, passage, context in zip(found, PASSAGES, CONTEXTS, strict=True):
        total = passage + context / 2
        torch.testing.assert_close(row, total / total.norm())
    same = PassageTransforms(context_weight=0.5).passages(PASSAGES, PASSAGES, LANGUAGES)
    torch.testing.assert_close(same, PASSAGES)  # a paragraph of one sentence says nothing more


def test_the_steps_follow_one_another():
    mixed = PassageTransforms(context_weight=0.2).passages(PASSAGES, CONTEXTS, LANGUAGES)
    transforms = PassageTransforms(0.2, JOINING, CORRECTION)
    searched = transforms.passages(PASSAGES, CONTEXTS, LANGUAGES)
    assert torch.equal(searched, CORRECTION(JOINING(mixed, LANGUAGES), LANGUAGES))
    assert torch.equal(transforms.queries(QUERIES), CORRECTION.queries(QUERIES))


def test_each_step_is_said():
    note = PassageTransforms(0.2, JOINING, CORRECTION).note
    assert note.split(". ") == [
        "Each passage has 0.2 of its paragraph's vector added",
        "Each passage is joined with its nearest ones in other languages, before it is searched",
        "Each passage's score is lowered by how near its nearest ones in its language are.",
    ]


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ConfigError, match=f"context_weight={weight}: must be 0"):
        PassageTransforms(context_weight=weight)
