"""Scores of a teacher: margins and distributions worked out by hand."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cosine_similarity

from mixlingua.errors import ConfigError
from mixlingua.losses.distillation import ScoreDistillation


@pytest.fixture
def scored(vectors, step):
    """Three queries with two hard negatives each, and what a teacher gave them."""
    queries, passages = vectors(3, 0), vectors(9, 1)
    scores = torch.tensor([[3.0, 1.0, 0.5], [2.0, 2.5, -1.0], [5.0, 0.0, 4.0]], dtype=torch.float64)
    return replace(step(queries, passages), scores=scores, all_scores=scores)


def own(step):
    """(3, 3): the cosines of each query with its passage and its negatives, which follow query by query."""
    places = [[0, 3, 4], [1, 5, 6], [2, 7, 8]]
    return torch.stack([cosine_similarity(query[None], step.passages[p]) for query, p in zip(step.queries, places)])  # noqa: B905


def test_margins_are_the_teachers(scored):
    scores = own(scored)
    margins, taught = (rows[:, :1] - rows[:, 1:] for rows in (scores, scored.scores))
    assert ScoreDistillation()(scored).item() == pytest.approx(((margins - taught) ** 2).mean().item())
    assert ScoreDistillation(scale=4.0)(scored).item() == pytest.approx(((4 * margins - taught) ** 2).mean().item())
    perfect = replace(scored, scores=scores + 7.0, all_scores=scores + 7.0)
    assert ScoreDistillation()(perfect).item() == pytest.approx(0, abs=1e-12), "a constant changes nothing"


def test_the_distribution_is_the_teachers(scored):
    loss = ScoreDistillation(target="distribution", temperature=0.1, teacher_temperature=2.0)
    predicted, taught = (own(scored) / 0.1).log_softmax(1), (scored.scores / 2.0).softmax(1)
    expected = torch.nn.functional.kl_div(predicted, taught, reduction="batchmean")
    assert loss(scored).item() == pytest.approx(expected.item())
    perfect = replace(scored, scores=own(scored) * 20, all_scores=own(scored) * 20)
    assert loss(perfect).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("target", ["margin", "distribution"])
def test_rows_without_scores_do_not_count(scored, target):
    loss = ScoreDistillation(target=target)
    lacking = scored.scores.clone()
    lacking[1] = torch.nan
    queries = scored.queries.clone().requires_grad_()
    value = loss(replace(scored, queries=queries, scores=lacking, all_scores=lacking))
    kept = [
        loss(replace(scored, scores=torch.where(mask[:, None], scored.scores, torch.nan), all_scores=lacking)) * 2
        for mask in (torch.tensor([True, False, False]), torch.tensor([False, False, True]))
    ]
    assert value.item() == pytest.approx(sum(kept).item() / 2)
    value.backward()
    assert queries.grad[1].abs().sum() == 0 and queries.grad[0].abs().sum() > 0 and queries.grad.isfinite().all()


def test_what_cannot_work_is_refused(vectors, step):
    with pytest.raises(ConfigError, match=r"loss=score_distillation: the batch has no teacher's scores"):
        ScoreDistillation()(step(vectors(3, 0), vectors(3, 1)))
    with pytest.raises(ConfigError, match=r"loss\.score_distillation\.target=margins.*Did you mean 'margin'"):
        ScoreDistillation(target="margins")
    with pytest.raises(ConfigError, match=r"loss\.score_distillation\.temperature=0"):
        ScoreDistillation(temperature=0)
