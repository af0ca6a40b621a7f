"""Scores without hubs: against the formula, and what must not change."""

import pytest
import torch
from torch.nn.functional import normalize

from mixlingua.errors import ConfigError, DataError
from mixlingua.retrieval.passage_transforms import HubCorrection

LANGUAGES = ["de", "en", "de", "th", "en", "th", "th", "de", "en", "en"]


def unit_rows(count, dim, seed=0):
    return normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def scores(correction, queries, passages, languages):
    return correction.queries(queries) @ correction(passages, languages).T


def by_hand(queries, passages, languages, weight, neighbours):
    """q·x - weight · h(x), one passage at a time."""
    columns = []
    for place, (own, vector) in enumerate(zip(languages, passages.double(), strict=True)):
        others = [
            float(vector @ other)
            for number, (name, other) in enumerate(zip(languages, passages.double(), strict=True))
            if name == own and number != place
        ]
        crowding = sum(sorted(others)[-neighbours:]) / neighbours
        columns.append(queries.double() @ vector - weight * crowding)
    return torch.stack(columns, dim=1).float()


@pytest.mark.parametrize(("weight", "neighbours"), [(0.25, 2), (1.0, 1)])
def test_it_is_the_formula(weight, neighbours):
    queries, passages = unit_rows(4, 5, seed=1), unit_rows(10, 5)
    found = scores(HubCorrection(weight, neighbours), queries, passages, LANGUAGES)
    torch.testing.assert_close(found, by_hand(queries, passages, LANGUAGES, weight, neighbours), atol=1e-6, rtol=0)


def test_a_hub_falls_behind_the_answer():
    """The hub lies between six passages and is nearest to a question that one of them, off to its side, answers."""
    crowd = normalize(torch.eye(8)[:6] + 0.35, dim=1)
    hub, lonely = normalize(crowd.sum(dim=0), dim=0), torch.eye(8)[7]
    passages = torch.stack([*crowd, hub, lonely])
    question = normalize(hub + 0.2 * torch.eye(8)[2], dim=0)[None]
    assert (question @ passages.T).argmax() == 6
    assert scores(HubCorrection(0.5, 6), question, passages, ["de"] * 8).argmax() == 2


def test_translations_are_no_crowd():
    """A language's scores are what they are without the other languages, however near their passages lie."""
    queries, german = unit_rows(3, 16, seed=1), unit_rows(6, 16)
    correction = HubCorrection(0.25, 3)
    alone = scores(correction, queries, german, ["de"] * 6)
    both = scores(correction, queries, german.repeat(4, 1), ["de"] * 6 + ["en"] * 6 + ["th"] * 12)
    torch.testing.assert_close(both[:, :6], alone)


def test_equal_passages_stay_equal_and_their_order_does_not_matter():
    passages, languages = unit_rows(40, 24).repeat(2, 1), ["de", "en"] * 40
    correction = HubCorrection(0.25, 5)
    found = correction(passages, languages)
    assert torch.equal(found[:40], found[40:])
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    again = correction(passages[order], [languages[place] for place in order])
    assert torch.equal(again, found[order])


def test_a_large_pool_is_searched_in_blocks():
    passages = unit_rows(4500, 8)
    found = HubCorrection(1.0, 3)(passages, ["hi"] * 4500)[:, -1]
    cosines = passages @ passages.T
    cosines.fill_diagonal_(-1)
    torch.testing.assert_close(-found, cosines.topk(3, dim=1).values.mean(dim=1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("weight", "neighbours", "message"),
    [
        (0.0, 5, r"hub_correction.weight=0.0: must be above 0"),
        (float("nan"), 5, r"hub_correction.weight=nan"),
        (0.25, 0, r"hub_correction.neighbours=0: must be a whole number of at least 1"),
        (0.25, 2.5, r"hub_correction.neighbours=2.5"),
        (0.25, True, r"hub_correction.neighbours=True"),
    ],
)
def test_settings_that_are_none_are_refused(weight, neighbours, message):
    with pytest.raises(ConfigError, match=message):
        HubCorrection(weight, neighbours)


def test_a_language_with_too_few_passages_is_named():
    with pytest.raises(DataError, match=r"neighbours=3: .* too few are in de \(3\), th \(3\). Set it to 2, or"):
        HubCorrection(0.25, 3)(unit_rows(10, 5), LANGUAGES)
    with pytest.raises(DataError, match="10 passages, but the languages of 2"):
        HubCorrection(0.25, 3)(unit_rows(10, 5), ["de", "en"])
