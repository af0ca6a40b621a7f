"""InfoNCE: against values worked out by hand, and the invariants that its masks, weights and directions must keep."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from mixlingua.errors import ConfigError
from mixlingua.losses.base import share_a_key
from mixlingua.losses.infonce import above_positive, harder, info_nce

PAIRS = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.6, 0.8]])


def test_value_by_hand():
    queries, passages = PAIRS
    # Scores over a temperature of 0.5: query 0: 2, 1.2; query 1: 0, 1.6.
    expected = (math.log(1 + math.exp(1.2 - 2)) + math.log(1 + math.exp(0 - 1.6))) / 2
    loss = info_nce(queries, passages, torch.tensor([0, 1]), torch.zeros(2, 2, dtype=torch.bool), scale=2.0)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_ignored_passages_are_no_negatives_but_the_positive_stays(vectors):
    queries, passages = vectors(3, 0), vectors(3, 1)
    positives = torch.arange(3)
    ignored = torch.eye(3, dtype=torch.bool)  # asks to ignore the positives themselves
    ignored[0, 2] = True
    loss = info_nce(queries, passages, positives, ignored, 10.0)
    scores = queries @ passages.T * 10
    expected = [-scores[0, 0] + scores[0, :2].logsumexp(0)] + [-scores[i, i] + scores[i].logsumexp(0) for i in (1, 2)]
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), abs=1e-9)


def test_a_duplicate_passage_changes_nothing_when_its_key_is_shared(vectors, step, infonce):
    queries, passages = vectors(4, 0), vectors(4, 1)
    keys = torch.arange(4)[:, None]
    with_copy = torch.cat([passages, passages[:1]])
    masked = infonce()(step(queries[:1], with_copy, passage_keys=torch.cat([keys, keys[:1]])))
    counted = infonce()(step(queries[:1], with_copy, passage_keys=torch.cat([keys, keys[:1] + 9])))
    assert masked.item() == pytest.approx(infonce()(step(queries[:1], passages)).item(), abs=1e-12)
    assert counted > masked


def test_symmetric_is_the_mean_of_both_directions(vectors, step, infonce):
    queries, passages = vectors(4, 0), vectors(4, 1)
    there, back = infonce()(step(queries, passages)), infonce()(step(passages, queries))
    both = infonce(symmetric=True)(step(queries, passages))
    assert both.item() == pytest.approx(((there + back) / 2).item(), abs=1e-9)


def test_any_shared_key_counts_whatever_its_place():
    left = torch.tensor([[1, 2], [3, 4]])
    right = torch.tensor([[2, 9], [5, 6], [7, 3]])
    assert share_a_key(left, right).tolist() == [[True, False, False], [False, False, True]]


def test_learned_temperature_has_a_gradient_and_a_fixed_one_has_none(vectors, step, infonce):
    learned = infonce(learn_temperature=True)
    learned(step(vectors(3, 0), vectors(3, 1))).backward()
    assert learned.log_scale.grad.abs() > 0
    assert not infonce().log_scale.requires_grad
    assert learned.temperature == pytest.approx(0.1)


def test_a_learned_temperature_stays_at_a_hundredth_or_above(infonce):
    loss = infonce(learn_temperature=True)
    with torch.no_grad():
        loss.log_scale.fill_(math.log(1000))
    assert loss.temperature == pytest.approx(0.01)
    assert infonce(temperature=0.001).temperature == pytest.approx(0.001)
    with pytest.raises(ConfigError, match=r"model\.temperature=0\.005: .* 0\.01 or above"):
        infonce(temperature=0.005, learn_temperature=True)


def test_a_learned_temperature_at_its_bound_can_rise_again(vectors, step, infonce):
    loss = infonce(temperature=0.01, learn_temperature=True)
    queries = vectors(3, 0)
    loss(step(queries, queries.roll(1, 0))).backward()  # a batch that is all wrong
    assert loss.log_scale.grad > 0
    torch.optim.SGD(loss.parameters(), lr=1e-3).step()
    assert loss.temperature > 0.01


def test_in_both_directions_a_passage_that_also_answers_is_left_out_and_no_other(step, infonce):
    """Query 0 is answered by passage 1 as well, so query 0 is no negative of passage 1; query 1 is one of passage 0."""
    queries, passages = PAIRS
    made = step(queries, passages, keys=torch.tensor([[0, 1], [1, 1]]), passage_keys=torch.tensor([[0, 0], [1, 1]]))
    # At a temperature of 1: query 1 scores 0 with passage 0 and .8 with its own; passage 0 scores 0 with query 1.
    there = (0 + math.log(1 + math.exp(0 - 0.8))) / 2
    back = (math.log(1 + math.exp(0 - 1.0)) + 0) / 2
    loss = infonce(temperature=1.0, symmetric=True)(made)
    assert loss.item() == pytest.approx((there + back) / 2, abs=1e-6)


def test_margins_hold_in_both_directions(step, infonce):
    """Query 1 is query 0 but a little: both margins leave it out for passage 0 as they leave passage 0 out for it."""
    queries = normalize(torch.tensor([[1.0, 0.1], [1.0, 0.0]]), dim=-1)
    passages = normalize(torch.tensor([[1.0, 0.0], [0.8, 0.6]]), dim=-1)
    views = {"pivot_queries": queries, "pivot_passages": passages}
    swapped = {"pivot_queries": passages, "pivot_passages": queries}
    for options in ({"own_margin": 0.0}, {"teacher_margin": 0.0}):
        there = infonce(**options)(step(queries, passages, **views))
        back = infonce(**options)(step(passages, queries, **swapped))
        both = infonce(symmetric=True, **options)(step(queries, passages, **views))
        assert both.item() == pytest.approx(((there + back) / 2).item(), abs=1e-6)
        assert both < infonce(symmetric=True)(step(queries, passages)) - 0.01


def test_hard_negatives_by_hand():
    """Weights 3 exp(b s) / sum exp(b s): with b = 1 and scores 0, ln 2 and ln 3 they are 1/2, 1 and 3/2."""
    scores = torch.tensor([[5.0, 0.0, math.log(2), math.log(3), -math.inf]])
    found = harder(scores, torch.tensor([0]), beta=1.0)
    expected = [5.0, math.log(0.5), math.log(2), math.log(3) + math.log(1.5), -math.inf]
    assert found[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_hardness_raises_the_loss_and_leaves_equal_negatives_alone(vectors, step, infonce):
    queries, passages = vectors(6, 0), vectors(6, 1)
    plain, hard, harder_still = (infonce(hardness=beta)(step(queries, passages)) for beta in (0.0, 0.5, 1.0))
    assert plain < hard < harder_still
    alone = step(vectors(2, 0), vectors(2, 1))  # one negative each: nothing to weigh
    assert infonce(hardness=1.0)(alone).item() == pytest.approx(infonce()(alone).item(), abs=1e-12)


def test_hardness_is_the_formula_whatever_the_number_of_negatives(vectors):
    """-log e^p / (e^p + Σ w_j e^{s_j}) with w_j = n exp(β s_j) / Σ exp(β s_k), over a query's own n negatives."""
    queries, passages, beta, scale = vectors(4, 0), vectors(6, 1), 0.7, 3.0
    ignored = torch.zeros(4, 6, dtype=torch.bool)
    ignored[0, 1:3] = ignored[1, 4] = ignored[3, [0, 1, 2, 4]] = True
    losses = []
    for query, row in enumerate((queries @ passages.T * scale).tolist()):
        others = [score for place, score in enumerate(row) if place != query and not ignored[query, place]]
        share = len(others) / sum(math.exp(beta * score) for score in others)
        weighed = sum(share * math.exp(beta * score) * math.exp(score) for score in others)
        losses.append(math.log(1 + weighed / math.exp(row[query])))
    found = info_nce(queries, passages, torch.arange(4), ignored, scale, hardness=beta)
    assert found.item() == pytest.approx(sum(losses) / 4, rel=1e-6)


def test_a_query_without_negatives_stays_finite_under_hardness(vectors, step, infonce):
    alone = step(vectors(1, 0).requires_grad_(), vectors(1, 1))
    loss = infonce(hardness=1.0)(alone)
    loss.backward()
    assert loss.item() == 0 and torch.isfinite(alone.queries.grad).all()


def test_what_scores_far_above_the_positive_is_no_negative():
    scores = torch.tensor([[0.5, 0.59, 0.61], [0.9, 0.1, 0.2]])
    assert above_positive(scores, torch.tensor([0, 2]), margin=0.1).tolist() == [
        [False, False, True],
        [True, False, False],
    ]


def test_own_margin_drops_such_negatives_from_the_loss(step, infonce):
    queries = torch.tensor([[1.0, 0.0, 0.0]])
    own, nearer, other = (
        normalize(torch.tensor(v), dim=-1) for v in ([0.6, 0.8, 0.0], [1.0, 0.0, 0.1], [0.0, 0.0, 1.0])
    )
    with_it, without = step(queries, torch.stack([own, nearer, other])), step(queries, torch.stack([own, other]))
    assert infonce(own_margin=0.1)(with_it).item() == pytest.approx(infonce()(without).item(), abs=1e-6)
    assert infonce()(with_it) > infonce(own_margin=0.1)(with_it)


def test_the_teacher_decides_what_is_relevant(step, infonce, vectors):
    """On the pivot side passage 1 answers query 0 better than its own; nothing else is changed."""
    queries, passages = vectors(3, 0), vectors(3, 1)
    asked = torch.eye(3, dtype=torch.float64)
    found = normalize(torch.tensor([[0.5, 0.0, 1.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64), dim=-1)
    # Teacher's scores of query 0: .447, .625, 0; of 1: 0, .781, 0; of 2: .894, 0, 1.
    scores = queries @ passages.T / 0.1
    scores[0, 1] = -math.inf
    expected = (scores.logsumexp(1) - scores.diagonal()).mean().item()
    views = {"pivot_queries": asked, "pivot_passages": found}
    assert infonce(teacher_margin=0.0)(step(queries, passages, **views)).item() == pytest.approx(expected, abs=1e-9)
    # With more than the difference as margin, or without query 0 or passage 1 on the pivot side, nothing is masked.
    plain = infonce()(step(queries, passages)).item()
    assert infonce(teacher_margin=0.2)(step(queries, passages, **views)).item() == pytest.approx(plain, abs=1e-12)
    for view, row in (("pivot_queries", 0), ("pivot_passages", 0), ("pivot_passages", 1)):
        present = torch.arange(3) != row
        absent = step(queries, passages, **(views | {view: (views[view], present)}))
        assert infonce(teacher_margin=0.0)(absent).item() == pytest.approx(plain, abs=1e-12)


def test_matryoshka_is_the_mean_over_leading_components(vectors, step, infonce):
    queries, passages = vectors(4, 0), vectors(4, 1)
    cut = infonce()(step(*(normalize(v[:, :2], dim=-1) for v in (queries, passages))))
    whole = infonce()(step(queries, passages))
    both = infonce(dims=[5, 2])(step(queries, passages))
    assert both.item() == pytest.approx(((whole + cut) / 2).item(), abs=1e-9)
    with pytest.raises(ConfigError, match=r"dims=\[6\]: the model's vectors have 5"):
        infonce(dims=[6])(step(queries, passages))


@given(st.integers(0, 2**31), st.permutations(range(5)))
def test_the_order_of_pairs_does_not_matter(infonce, seed, order):
    generator = torch.Generator().manual_seed(seed)
    queries, passages = (normalize(torch.randn(5, 4, generator=generator, dtype=torch.float64), dim=-1) for _ in "qp")
    none, positives = torch.zeros(5, 5, dtype=torch.bool), torch.arange(5)
    values = [
        info_nce(queries[rows], passages[rows], positives, none, 20.0, hardness=0.3).item()
        for rows in (positives, torch.tensor(order))
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.0}, r"model\.temperature=0"),
        ({"temperature": math.nan}, r"model\.temperature=nan"),
        ({"hardness": -1.0}, r"loss\.infonce\.hardness=-1"),
        ({"own_margin": 3.0}, r"loss\.infonce\.own_margin=3"),
        ({"teacher_margin": math.nan}, r"loss\.infonce\.teacher_margin=nan"),
        ({"dims": []}, r"loss\.infonce\.dims=\[\]"),
        ({"dims": [0]}, r"loss\.infonce\.dims=\[0\]"),
    ],
)
def test_values_that_make_no_sense(infonce, change, message):
    with pytest.raises(ConfigError, match=message):
        infonce(**change)
