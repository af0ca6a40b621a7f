"""alpha as a function of the step: against numbers worked out by hand, and as a share of the batches."""

from functools import partial

import numpy as np
import pytest
from scipy.stats import binom
from tests.sampling.conftest import make_plan

from mixlingua.errors import ConfigError
from mixlingua.sampling.strategies import Hybrid, Scheduled

DOWN = {"schedule": "linear", "alpha_start": 1.0, "alpha_end": 0.0, "switch_at": 0.5, "max_steps": 5}


def scheduled(**changes):
    return Scheduled(**{**DOWN, "batches_per_step": 1, **changes})


plan_of = partial(make_plan, batch_size=4)


@pytest.mark.parametrize(
    ("changes", "alphas"),
    [
        ({}, [1, 0.75, 0.5, 0.25, 0, 0, 0]),
        ({"alpha_start": 0.2, "alpha_end": 0.6}, [0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6]),
        ({"schedule": "cosine"}, [1, 0.5 + 8**-0.5, 0.5, 0.5 - 8**-0.5, 0, 0, 0]),  # cos(pi/4) is 2^-0.5
        ({"schedule": "two_phase", "switch_at": 0.4, "alpha_start": 0.3}, [0.3, 0.3, 0, 0, 0, 0, 0]),
        ({"batches_per_step": 3, "max_steps": 2}, [1, 1, 1, 0, 0, 0, 0]),
        ({"max_steps": 1}, [1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_alphas_worked_out_by_hand(changes, alphas):
    assert scheduled(**changes).alphas(np.arange(7)) == pytest.approx(alphas)


@pytest.mark.parametrize(
    ("schedule", "batches_per_step", "passed"),
    [
        ("linear", 1, lambda progress: progress),
        ("cosine", 2, lambda progress: np.sin(np.pi * progress / 2) ** 2),
        ("two_phase", 1, lambda progress: progress >= 0.3),
    ],
)
def test_alpha_is_the_share_of_monolingual_steps_in_every_window(make_source, schedule, batches_per_step, passed):
    """The number is a sum of unequal coin tosses, which spreads less than that of equal ones with the same mean."""
    strategy = scheduled(
        schedule=schedule,
        alpha_start=0.9,
        alpha_end=0.2,
        switch_at=0.3,
        max_steps=2000 // batches_per_step,
        batches_per_step=batches_per_step,
    )
    plan = plan_of([make_source(500)], strategy, seed=7)
    monolingual = np.array([plan.batch(step).kind == "monolingual" for step in range(2400)])
    for start in range(0, 2400, 200):
        window = np.arange(start, start + 200)
        progress = np.minimum(window // batches_per_step, strategy.max_steps - 1) / (strategy.max_steps - 1)
        alpha = 0.9 - 0.7 * np.mean(passed(progress))
        low, high = binom.interval(1 - 1e-5, 200, alpha)
        assert low <= monolingual[start : start + 200].sum() <= high


@pytest.mark.parametrize("step", [0, 1, 3999, 4095])
def test_alpha_is_the_share_of_the_uniform_numbers_of_a_step(step):
    strategy = scheduled(max_steps=4000)
    monolingual = strategy.draw(np.linspace(0, 1, 10_001)[:-1], np.full(10_000, step)) == 0
    assert np.mean(monolingual) == pytest.approx(strategy.alphas(np.array([step]))[0], abs=1e-4)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "two_phase"])
def test_without_a_difference_the_batches_are_those_of_hybrid(make_source, schedule):
    source = make_source(300)
    same = plan_of([source], scheduled(schedule=schedule, alpha_start=0.3, alpha_end=0.3, max_steps=200))
    hybrid = plan_of([source], Hybrid(alpha=0.3))
    for step in range(300):
        one, other = same.batch(step), hybrid.batch(step)
        assert (one.kind, one.rows.tolist(), one.query_languages) == (
            other.kind,
            other.rows.tolist(),
            other.query_languages,
        )


@pytest.mark.parametrize(("ends", "kind"), [((0.0, 0.0), "crosslingual"), ((1.0, 1.0), "monolingual")])
def test_a_kind_that_never_comes_needs_no_source(make_source, ends, kind):
    strategy = scheduled(alpha_start=ends[0], alpha_end=ends[1])
    assert strategy.kinds == (kind,)
    assert {plan_of([make_source(100)], strategy).batch(step).kind for step in range(50)} == {kind}
    with pytest.raises(ConfigError, match="sampler=scheduled: crosslingual batches need"):
        plan_of([make_source(100)], scheduled(), languages=["de"])


def test_the_number_of_steps_is_part_of_the_description(make_source):
    described = [plan_of([make_source(100)], scheduled(max_steps=steps)).describe() for steps in (40, 60)]
    assert [one.pop("sampler.max_steps") for one in described] == [40, 60]
    assert described[0] == described[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "liner"}, r"sampler\.schedule=liner: it is one of linear, cosine, two_phase\..*'linear'\?"),
        ({"schedule": "constant"}, r"sampler\.schedule: a constant alpha is sampler=hybrid"),
        ({"alpha_start": 1.5}, r"sampler\.alpha_start: 1\.5 lies outside \[0, 1\]"),
        ({"alpha_end": "low"}, r"sampler\.alpha_end: 'low' lies outside \[0, 1\]"),
        ({"switch_at": 1}, r"sampler\.switch_at: 1 lies outside \(0, 1\)"),
        ({"max_steps": -1}, r"sampler\.max_steps=-1: a whole number of 1 or more"),
        ({"batches_per_step": 1.5}, r"sampler\.batches_per_step=1\.5: a whole number"),
    ],
)
def test_values_that_cannot_be_meant(change, message):
    with pytest.raises(ConfigError, match=message):
        scheduled(**change)


@pytest.mark.parametrize(("schedule", "told"), [("two_phase", True), ("linear", False), ("cosine", False)])
def test_the_switch_is_described_where_there_is_one(schedule, told):
    """So that resuming refuses another switch, and not one that is never used."""
    assert ("switch_at" in scheduled(schedule=schedule).values()) == told
