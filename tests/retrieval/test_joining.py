"""Passages joined with their nearest ones in other languages: against the formula, and what must not change."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from mixlingua.errors import ConfigError, DataError
from mixlingua.retrieval.passage_transforms import Joining

LANGUAGES = ["de", "en", "de", "th", "en", "th", "th", "de", "en"]


def unit_rows(count, dim, seed=0):
    return normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def by_hand(passages, languages, temperature):
    """x + Σ_l exp((cos(x, n_l) - 1) / temperature) n_l, one passage and one language at a time."""
    rows = []
    for own, vector in zip(languages, passages.double(), strict=True):
        total = vector.clone()
        for language in set(languages) - {own}:
            others = [other for name, other in zip(languages, passages.double(), strict=True) if name == language]
            cosine, nearest = max(((float(vector @ other), other) for other in others), key=lambda pair: pair[0])
            total += math.exp((cosine - 1) / temperature) * nearest
        rows.append(total / total.norm())
    return torch.stack(rows).float()


@pytest.mark.parametrize("temperature", [0.05, 0.5, 10.0])
def test_it_is_the_formula(temperature):
    passages = unit_rows(9, 5)
    found = Joining(temperature)(passages, LANGUAGES)
    torch.testing.assert_close(found, by_hand(passages, LANGUAGES, temperature), atol=1e-6, rtol=0)


def test_two_languages_are_enough():
    passages, languages = unit_rows(9, 5), ["de", "en", "de"] * 3
    found = Joining(0.5)(passages, languages)
    torch.testing.assert_close(found, by_hand(passages, languages, 0.5), atol=1e-6, rtol=0)
    assert (found - passages).abs().max() > 0.05


def test_passages_of_one_language_stay_as_they_are():
    passages = unit_rows(6, 8)
    assert torch.equal(Joining(0.05)(passages, ["hi"] * 6), passages)


def test_a_passage_without_a_near_one_stays_about_where_it_is():
    near, far = unit_rows(1, 384), unit_rows(1, 384, seed=1)
    found = Joining(0.05)(torch.cat([near, far, near]), ["de", "de", "en"])
    assert found[1] @ far[0] > 1 - 1e-6
    torch.testing.assert_close(found[0], near[0])


def test_translations_come_together_and_the_order_of_passages_does_not_matter():
    meaning, languages = unit_rows(20, 32), unit_rows(3, 32, seed=1)
    passages = normalize(meaning[:, None] + 0.5 * languages, dim=2).flatten(0, 1)  # three languages of each meaning
    names = ["de", "en", "th"] * 20
    found = Joining(0.5)(passages, names)
    before, after = ((v.view(20, 3, 32) @ v.view(20, 3, 32).mT).mean() for v in (passages, found))
    assert after > before + 0.02
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    shuffled = Joining(0.5)(passages[order], [names[place] for place in order])
    torch.testing.assert_close(shuffled, found[order])


def test_equal_passages_stay_equal_to_the_bit():
    passages = unit_rows(700, 384)
    passages[650] = passages[3]
    found = Joining(0.2)(passages, ["de" if row % 7 == 3 or row == 650 else "en" for row in range(700)])
    assert torch.equal(found[650], found[3])


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(ConfigError, match=f"joining.temperature={temperature}: must be above 0"):
        Joining(temperature)


def test_every_passage_needs_a_language():
    with pytest.raises(DataError, match="3 passages, but the languages of 2"):
        Joining(0.05)(unit_rows(3, 4), ["de", "en"])
