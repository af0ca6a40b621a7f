"""Passage transforms: each step against its formula, what it must not change, and one step after another."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from mixlingua.errors import ConfigError, DataError
from mixlingua.retrieval.passage_transforms import HubCorrection, Joining, PassageTransforms

LANGUAGES = ["de", "en", "de", "th", "en", "th", "th", "de", "en", "en"]


def unit_rows(count, dim, seed=0):
    return normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def joined_by_hand(passages, languages, temperature):
    """x + Σ_l exp((cos(x, n_l) - 1) / temperature) n_l, one passage and one language at a time."""
    rows = []
    for language, vector in zip(languages, passages.double(), strict=True):
        total = vector.clone()
        for other_language in set(languages) - {language}:
            others = passages.double()[[name == other_language for name in languages]]
            nearest = others[(others @ vector).argmax()]
            total += math.exp((float(nearest @ vector) - 1) / temperature) * nearest
        rows.append(total / total.norm())
    return torch.stack(rows).float()


@pytest.mark.parametrize("temperature", [0.05, 0.5, 10.0])
@pytest.mark.parametrize("languages", [LANGUAGES, ["de", "en"] * 5])
def test_joining_is_its_formula(temperature, languages):
    passages = unit_rows(10, 5)
    expected = joined_by_hand(passages, languages, temperature)
    torch.testing.assert_close(Joining(temperature)(passages, languages), expected, atol=1e-6, rtol=0)
    assert torch.equal(Joining(temperature)(passages, ["hi"] * 10), passages), "one language stays as it is"


def test_a_passage_without_a_near_one_is_hardly_moved_by_joining():
    near, far = unit_rows(1, 384), unit_rows(1, 384, seed=1)
    joined = Joining(0.05)(torch.cat([near, far, near]), ["de", "de", "en"])
    assert joined[1] @ far[0] > 1 - 1e-6
    torch.testing.assert_close(joined[0], near[0])


def test_translations_are_joined_and_the_order_of_passages_does_not_matter():
    meaning, languages = unit_rows(20, 32), unit_rows(3, 32, seed=1)
    passages = normalize(meaning[:, None] + 0.5 * languages, dim=2).flatten(0, 1)  # three languages of each meaning
    names = ["de", "en", "th"] * 20
    joined = Joining(0.5)(passages, names)
    before, after = ((v.view(20, 3, 32) @ v.view(20, 3, 32).mT).mean() for v in (passages, joined))
    assert after > before + 0.02
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    shuffled = Joining(0.5)(passages[order], [names[position] for position in order])
    torch.testing.assert_close(shuffled, joined[order])


def test_equal_passages_stay_equal_to_the_bit_when_joined():
    passages = unit_rows(700, 384)
    passages[650] = passages[3]
    joined = Joining(0.2)(passages, ["de" if row % 7 == 3 or row == 650 else "en" for row in range(700)])
    assert torch.equal(joined[650], joined[3])


def scores(correction, queries, passages, languages):
    return correction.queries(queries) @ correction(passages, languages).T


def scores_by_hand(queries, passages, languages, weight, neighbours):
    """q·x - weight · h(x), one passage at a time."""
    columns = []
    for position, vector in enumerate(passages.double()):
        same = [name == languages[position] and row != position for row, name in enumerate(languages)]
        mean_cosine = (passages.double()[same] @ vector).topk(neighbours).values.mean()
        columns.append(queries.double() @ vector - weight * mean_cosine)
    return torch.stack(columns, dim=1).float()


@pytest.mark.parametrize(("weight", "neighbours"), [(0.25, 2), (1.0, 1)])
def test_hub_correction_is_its_formula(weight, neighbours):
    queries, passages = unit_rows(4, 5, seed=1), unit_rows(10, 5)
    corrected = scores(HubCorrection(weight, neighbours), queries, passages, LANGUAGES)
    expected = scores_by_hand(queries, passages, LANGUAGES, weight, neighbours)
    torch.testing.assert_close(corrected, expected, atol=1e-6, rtol=0)


def test_a_hub_falls_behind_the_answer():
    """The hub lies between six passages and is nearest to a question that one of them, off to its side, answers."""
    crowd = normalize(torch.eye(8)[:6] + 0.35, dim=1)
    hub, lonely = normalize(crowd.sum(dim=0), dim=0), torch.eye(8)[7]
    passages = torch.stack([*crowd, hub, lonely])
    question = normalize(hub + 0.2 * torch.eye(8)[2], dim=0)[None]
    assert (question @ passages.T).argmax() == 6
    assert scores(HubCorrection(0.5, 6), question, passages, ["de"] * 8).argmax() == 2


def test_translations_do_not_make_a_hub():
    """A language's scores are what they are without the other languages, however near their passages lie."""
    queries, german = unit_rows(3, 16, seed=1), unit_rows(6, 16)
    correction = HubCorrection(0.25, 3)
    alone = scores(correction, queries, german, ["de"] * 6)
    with_others = scores(correction, queries, german.repeat(4, 1), ["de"] * 6 + ["en"] * 6 + ["th"] * 12)
    torch.testing.assert_close(with_others[:, :6], alone)


def test_corrected_passages_stay_equal_and_their_order_does_not_matter():
    passages, languages = unit_rows(40, 24).repeat(2, 1), ["de", "en"] * 40
    correction = HubCorrection(0.25, 5)
    corrected = correction(passages, languages)
    assert torch.equal(corrected[:40], corrected[40:])
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    again = correction(passages[order], [languages[position] for position in order])
    assert torch.equal(again, corrected[order])


def test_a_large_pool_is_corrected_in_blocks():
    passages = unit_rows(4500, 8)
    last_column = HubCorrection(1.0, 3)(passages, ["hi"] * 4500)[:, -1]
    cosines = (passages @ passages.T).fill_diagonal_(-1)
    torch.testing.assert_close(-last_column, cosines.topk(3, dim=1).values.mean(dim=1), atol=1e-5, rtol=0)


PASSAGES, CONTEXTS, QUERIES = unit_rows(10, 6), unit_rows(10, 6, seed=1), unit_rows(3, 6, seed=2)
JOINING, CORRECTION = Joining(0.5), HubCorrection(0.25, 2)


def test_by_default_nothing_is_done():
    assert PassageTransforms().passages(PASSAGES, CONTEXTS, LANGUAGES) is PASSAGES
    assert PassageTransforms().queries(QUERIES) is QUERIES
    assert PassageTransforms().note == ""


def test_a_passage_leans_towards_its_context_as_far_as_the_weight_says():
    transformed = PassageTransforms(context_weight=0.5).passages(PASSAGES, CONTEXTS, LANGUAGES)
    for row, passage, context in zip(transformed, PASSAGES, CONTEXTS, strict=True):
        total = passage + context / 2
        torch.testing.assert_close(row, total / total.norm())
    same = PassageTransforms(context_weight=0.5).passages(PASSAGES, PASSAGES, LANGUAGES)
    torch.testing.assert_close(same, PASSAGES)  # a paragraph of one sentence says nothing more


def test_the_steps_follow_one_another_and_each_is_said():
    with_context = PassageTransforms(context_weight=0.2).passages(PASSAGES, CONTEXTS, LANGUAGES)
    transforms = PassageTransforms(0.2, JOINING, CORRECTION)
    searched = transforms.passages(PASSAGES, CONTEXTS, LANGUAGES)
    assert torch.equal(searched, CORRECTION(JOINING(with_context, LANGUAGES), LANGUAGES))
    assert torch.equal(transforms.queries(QUERIES), CORRECTION.queries(QUERIES))
    for words in ("has 0.2 of its paragraph", "joined with its nearest", "score is lowered"):
        assert words in transforms.note


@pytest.mark.parametrize(
    ("step", "given"),
    [
        (Joining, {"temperature": 0.0}), (Joining, {"temperature": -1.0}), (Joining, {"temperature": math.inf}),
        (Joining, {"temperature": math.nan}), (HubCorrection, {"weight": 0.0}), (HubCorrection, {"weight": math.nan}),
        (HubCorrection, {"neighbours": 0}), (HubCorrection, {"neighbours": 2.5}), (HubCorrection, {"neighbours": True}),
        (PassageTransforms, {"context_weight": -0.1}), (PassageTransforms, {"context_weight": math.nan}),
    ],
)  # fmt: skip
def test_values_that_cannot_work_are_refused(step, given):
    ((key, value),) = given.items()
    with pytest.raises(ConfigError, match=rf"{key}={value}: (must be|a whole number)"):
        step(**given)


def test_every_passage_needs_a_language_and_every_language_enough_passages():
    for step in (JOINING, CORRECTION):
        with pytest.raises(DataError, match="10 passages, but the languages of 2"):
            step(PASSAGES, ["de", "en"])
    with pytest.raises(DataError, match=r"neighbours=3: .* too few are in de \(3\), th \(3\). Set it to 2, or"):
        HubCorrection(0.25, 3)(PASSAGES, LANGUAGES)
