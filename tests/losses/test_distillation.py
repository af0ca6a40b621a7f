"""What is learned from a teacher: distances and rankings worked out by hand, and rows without a pivot side."""

import math

import pytest
import torch

from mixlingua.errors import ConfigError
from mixlingua.losses.base import TotalLoss
from mixlingua.losses.distillation import Distillation, Queue, Relational, Retention

X, Y = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])


def test_squared_distance_by_hand(step):
    """Queries: equal and opposite-axis (distance 2); passages: both equal to the teacher's."""
    queries, passages = torch.stack([X, X]), torch.stack([Y, X])
    views = {"pivot_queries": torch.stack([X, Y]), "pivot_passages": passages.clone()}
    found = {
        side: Distillation(sides=side)(step(queries, passages, **views)).item() for side in ("query", "passage", "both")
    }
    assert found == pytest.approx({"query": 1.0, "passage": 0.0, "both": 0.5})


def test_rows_without_a_pivot_side_do_not_count(step):
    queries, passages = torch.stack([X, X]), torch.stack([X, X])
    views = {"pivot_queries": (torch.stack([X, Y]), torch.tensor([False, True]))}
    assert Distillation(sides="query")(step(queries, passages, **views)).item() == pytest.approx(2.0)
    nothing = {"pivot_queries": (torch.stack([X, Y]), torch.tensor([False, False]))}
    assert Distillation(sides="query")(step(queries, passages, **nothing)).item() == 0.0


def test_retention_holds_a_text_to_its_own_vector_and_distillation_to_its_pivots(step):
    queries, passages = torch.stack([X, X]), torch.stack([Y, X])
    own = {"teacher_queries": torch.stack([X, Y]), "teacher_passages": torch.stack([Y, Y])}
    pivot = {"pivot_queries": torch.stack([Y, Y]), "pivot_passages": torch.stack([Y, X])}
    made = step(queries, passages, **own, **pivot)
    assert Retention(sides="query")(made).item() == pytest.approx(1.0)
    assert Retention(sides="both")(made).item() == pytest.approx(1.0)
    assert Distillation(sides="both")(made).item() == pytest.approx(1.0)
    assert Distillation(sides="query")(made).item() == pytest.approx(2.0)
    assert Retention(sides="both").views == {"teacher_queries": 1, "teacher_passages": 1}


def test_both_together_have_their_least_between_the_two_targets(step, vectors):
    """|v - a|^2 + 3 |v - b|^2 is least on the sphere where v is along a + 3 b."""
    own, pivot = vectors(3, 0), vectors(3, 1)

    def total(queries):
        made = step(queries, vectors(3, 2), teacher_queries=own, pivot_queries=pivot)
        return Retention(sides="query")(made) + 3 * Distillation(sides="query")(made)

    best = torch.nn.functional.normalize(own + 3 * pivot, dim=1)
    rest = best.detach().requires_grad_()
    total(rest).backward()
    tangential = rest.grad - (rest.grad * best).sum(1, keepdim=True) * best
    torch.testing.assert_close(tangential, torch.zeros_like(best), rtol=0, atol=1e-6)
    assert all(total(best) < total(other) for other in (own, pivot, vectors(3, 5)))


def test_hard_negatives_have_no_teacher(step):
    queries, passages = torch.stack([X]), torch.stack([X, Y])
    views = {"pivot_queries": torch.stack([X]), "pivot_passages": torch.stack([X])}
    assert Distillation(sides="passage")(step(queries, passages, **views)).item() == 0.0
    assert Relational(temperature=0.1, teacher_temperature=0.1)(
        step(queries, passages, **views)
    ).item() == pytest.approx(0.0)


def test_a_teacher_of_another_size_is_refused_by_distance_and_not_by_ranking(step, vectors):
    views = {"pivot_queries": vectors(3, 2, dim=8), "pivot_passages": vectors(3, 3, dim=8)}
    made = step(vectors(3, 0), vectors(3, 1), **views)
    with pytest.raises(ConfigError, match="teacher's vectors have 8 components, the model's 5"):
        Distillation(sides="both")(made)
    with pytest.raises(ConfigError, match="loss=queue: the teacher's vectors have 8 components, the model's 5"):
        Queue()(made)
    assert Relational(temperature=0.1, teacher_temperature=0.1)(made) > 0


def test_relational_by_hand(step):
    """One query over two passages: the model gives 1/2 each, the teacher 3/4 and 1/4."""
    diagonal = torch.tensor([math.sqrt(0.5), math.sqrt(0.5)])
    queries, passages = torch.stack([diagonal, Y]), torch.stack([X, Y])
    asked = torch.stack([X, Y])
    every = torch.stack([X, torch.tensor([1 - math.log(3), math.sqrt(1 - (1 - math.log(3)) ** 2)])])
    present = torch.tensor([True, False])
    views = {"pivot_queries": (asked, present), "pivot_passages": every}
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert Relational(temperature=0.05, teacher_temperature=1.0)(
        step(queries, passages, **views)
    ).item() == pytest.approx(expected, abs=1e-6)


def test_relational_is_zero_for_the_teacher_itself_and_leaves_out_absent_passages(step, vectors):
    queries, passages = vectors(4, 0), vectors(4, 1)
    views = {"pivot_queries": queries, "pivot_passages": passages}
    assert Relational(temperature=0.1, teacher_temperature=0.1)(
        step(queries, passages, **views)
    ).item() == pytest.approx(0.0, abs=1e-12)
    present = torch.tensor([True, True, True, False])
    other = {"pivot_queries": (queries, present), "pivot_passages": (passages.flip(0), present)}
    moved = torch.cat([passages[:3], vectors(1, 9)])  # where the absent row's passage lies changes nothing
    values = [
        Relational(temperature=0.1, teacher_temperature=0.1)(step(queries, own, **other)).item()
        for own in (passages, moved)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-12) and values[0] > 0


def test_relational_over_some_passages_is_that_without_the_others(step, vectors):
    queries, passages, asked, every = (vectors(4, seed) for seed in range(4))
    present = torch.tensor([True, True, True, False])
    views = {"pivot_queries": asked, "pivot_passages": (every, present)}
    found = Relational(temperature=0.5, teacher_temperature=0.3)(step(queries, passages, **views))
    log_p = (queries @ passages[:3].T / 0.5).log_softmax(1)
    q = (asked @ every[:3].T / 0.3).softmax(1)
    torch.testing.assert_close(found, (q * (q.log() - log_p)).sum(1).mean())


def pairs(step, vectors, seed, rows=4, present=None):
    """A step of one process with the teacher's vectors of both sides."""
    present = torch.ones(rows, dtype=torch.bool) if present is None else torch.tensor(present)
    queries, passages, asked, answering = (vectors(rows, seed + place) for place in range(4))
    return step(queries, passages, pivot_queries=(asked, present), pivot_passages=(answering, present))


def divergence(vectors, taught, candidates, temperature):
    """KL divergence from the teacher's softmax over the candidates to the model's, the mean over rows."""
    log_p = (vectors @ candidates.T / temperature).log_softmax(1)
    q = (taught @ candidates.T / temperature).softmax(1)
    return (q * (q.log() - log_p)).sum(1).mean()


def test_a_text_ranks_the_teachers_vectors_of_the_other_side_of_this_batch_and_of_those_before(step, vectors):
    first, second, third = (pairs(step, vectors, seed) for seed in (0, 10, 20))
    loss = Queue(size=6, temperature=0.3)

    def taught(side, *made):
        return torch.cat([one.views[f"pivot_{side}"].vectors for one in made])

    def expected(now, passages, queries):
        asked, answering = now.views["pivot_queries"].vectors, now.views["pivot_passages"].vectors
        of_queries = divergence(now.queries, asked, passages, 0.3)
        return (of_queries + divergence(now.passages, answering, queries, 0.3)) / 2

    torch.testing.assert_close(loss(first), expected(first, taught("passages", first), taught("queries", first)))
    both = [taught(side, first, second) for side in ("passages", "queries")]
    torch.testing.assert_close(loss(second), expected(second, *both))
    latest = [taught(side, first, second, third)[2:] for side in ("passages", "queries")]  # six, and the batch's four
    torch.testing.assert_close(loss(third), expected(third, *latest))


def test_a_queue_is_zero_for_the_teacher_itself(step, vectors):
    loss = Queue(size=100, temperature=0.1)
    for seed in range(3):
        texts = {"queries": vectors(4, seed), "passages": vectors(4, seed + 10)}
        made = step(*texts.values(), **{f"pivot_{side}": taught for side, taught in texts.items()})
        assert loss(made).item() == pytest.approx(0.0, abs=1e-12)


def test_a_queue_remembers_no_text_that_is_absent_and_a_validation_knows_no_queue(step, vectors):
    now, later = pairs(step, vectors, 50), pairs(step, vectors, 60)
    loss, other = (Queue(size=6, temperature=0.1) for _ in range(2))
    partly = pairs(step, vectors, 0, present=[True, False, True, False])
    loss(partly)
    kept = [0, 2]
    rows = step(
        partly.queries[kept],
        partly.passages[kept],
        **{view: texts.vectors[kept] for view, texts in partly.views.items()},
    )
    other(rows)
    loss.eval()
    torch.testing.assert_close(loss(later), Queue(temperature=0.1)(later))
    loss.train()
    torch.testing.assert_close(loss(now), other(now))
    assert loss(pairs(step, vectors, 70, present=[False] * 4)).item() == 0.0
    torch.testing.assert_close(loss(later), other(later))  # six texts, whatever rows without any came between
    assert Queue()(pairs(step, vectors, 70, present=[False] * 4)).item() == 0.0


@torch.no_grad()
def test_a_queue_goes_on_after_a_checkpoint_as_without_one(step, vectors, tmp_path):
    loss, resumed = (TotalLoss({"queue": Queue(size=6, temperature=0.1)}) for _ in range(2))
    for seed in range(3):
        loss(pairs(step, vectors, 10 * seed))
    torch.save(loss.remembered(), tmp_path / "state.pt")
    resumed.remember(torch.load(tmp_path / "state.pt", weights_only=True))
    later = pairs(step, vectors, 50)
    fresh = Queue(size=6, temperature=0.1)(later)
    assert resumed(later)[0].item() == loss(later)[0].item() != fresh.item()


def test_gradients_are_finite_with_absent_rows(step, vectors):
    queries, present = vectors(4, 0).requires_grad_(), torch.tensor([True, False, True, False])
    views = {"pivot_queries": (vectors(4, 2), present), "pivot_passages": (vectors(4, 3), present)}
    made = step(queries, vectors(4, 1), **views)
    queue = Queue(temperature=0.02)
    queue(made)
    (Relational(temperature=0.02, teacher_temperature=0.02)(made) + Distillation()(made) + queue(made)).backward()
    assert torch.isfinite(queries.grad).all()
    assert queries.grad.abs().sum(1).gt(0).tolist() == present.tolist()


def test_values_that_make_no_sense():
    with pytest.raises(ConfigError, match=r"sides=passages: it is one of query, .*Did you mean 'passage'"):
        Distillation(sides="passages")
    with pytest.raises(ConfigError, match=r"teacher_temperature=0"):
        Relational(temperature=0.1, teacher_temperature=0.0)
    with pytest.raises(ConfigError, match=r"loss\.queue\.size=0: how many texts are remembered, 1 or more"):
        Queue(size=0)
    with pytest.raises(ConfigError, match=r"loss\.queue\.temperature=0"):
        Queue(temperature=0.0)
