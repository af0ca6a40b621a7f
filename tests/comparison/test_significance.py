"""Paired tests over questions: against enumeration, other implementations, formulas and simulation."""

import itertools

import numpy as np
import pytest
from scipy import stats

from mixlingua.comparison.significance import (
    Design,
    effect_sizes,
    holm,
    percentile_interval,
    sign_flip_p_values,
    t_interval,
    welch_interval,
)

ONE_CELL = np.ones((1, 1))


def one_cell(num_questions):
    return Design(np.ones((num_questions, 1), bool), ONE_CELL)


@pytest.fixture
def uneven():
    """Seven questions in three cells, as in MLQA-R: 7, 4 and 3 of them are asked; the mean of all, and of two."""
    asked = np.array(
        [[1, 1, 1], [1, 1, 0], [1, 0, 1], [1, 0, 0], [1, 1, 1], [1, 1, 0], [1, 0, 0]],
        dtype=bool,
    )
    return Design(asked, np.array([[1, 1, 1], [0, 1.5, 1.5]]) / 3)


@pytest.fixture
def values(uneven):
    ours, theirs = np.random.default_rng(0).random((2, *uneven.asked.shape))
    return np.where(uneven.asked, ours, np.nan), np.where(uneven.asked, theirs, np.nan)


def macro(values, cells):
    """The metric as it is defined: mean over cells of the mean over the cell's questions."""
    return np.mean([np.mean([v for v in values[:, cell] if not np.isnan(v)]) for cell in cells])


def test_averages_are_macro_averages(uneven, values):
    assert uneven.estimates(values[0]) == pytest.approx([macro(values[0], [0, 1, 2]), macro(values[0], [1, 2])])


def test_p_values_are_those_of_swapping_the_systems_question_by_question(uneven, values):
    """All 2^7 ways to swap two systems' values of whole questions, with the metric computed anew each time."""
    ours, theirs = values
    expected = []
    for cells in ([0, 1, 2], [1, 2]):
        observed, extreme = abs(macro(ours, cells) - macro(theirs, cells)), 0
        for swapped in itertools.product([False, True], repeat=len(ours)):
            swap = np.array(swapped)[:, None]
            difference = macro(np.where(swap, theirs, ours), cells) - macro(np.where(swap, ours, theirs), cells)
            extreme += abs(difference) >= observed - 1e-12
        expected.append(extreme / 2**7)
    p_values = sign_flip_p_values(uneven.shares(ours - theirs), resamples=128, seed=0)
    assert p_values == pytest.approx(expected)
    assert 0 < min(expected) < max(expected) < 1


def test_random_signs_agree_with_enumeration_and_with_scipy(uneven, values):
    shares = uneven.shares(values[0] - values[1])
    exact = sign_flip_p_values(shares, resamples=128, seed=0)
    sampled = sign_flip_p_values(shares, resamples=127, seed=0)  # too few to enumerate
    assert sampled == pytest.approx(exact, abs=0.12)
    assert (sampled * 128) == pytest.approx(np.round(sampled * 128))  # (hits + 1) / (resamples + 1)
    theirs = stats.permutation_test((shares[:, 0],), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert exact[0] == pytest.approx(theirs.pvalue)


def test_p_values_are_uniform_where_there_is_no_difference():
    shares = np.random.default_rng(1).standard_t(3, (25, 4000))
    p_values = sign_flip_p_values(shares, resamples=399, seed=0)
    for level in (0.01, 0.05, 0.25, 0.5, 0.9):
        share = (p_values <= level).mean()
        assert share == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 4000)), level


def test_equal_systems_differ_by_chance_only():
    assert sign_flip_p_values(np.zeros((30, 2)), resamples=100, seed=0).tolist() == [1, 1]
    cancelling = np.array([[0.1], [0.2], [-0.3]])  # sums to 2.8e-17
    assert sign_flip_p_values(cancelling, resamples=8, seed=0).tolist() == [1]


def test_translations_are_no_further_evidence():
    """One chance per question, copied to eleven languages: taken as eleven questions, chance looks like proof."""
    rng = np.random.default_rng(2)
    cells, trials = 11, 300
    design = Design(np.ones((30, cells), bool), np.full((1, cells), 1 / cells))
    by_question = rng.normal(size=(trials, 30, 1)) + 0.2 * rng.normal(size=(trials, 30, cells))
    clustered = np.concatenate([design.shares(change) for change in by_question], axis=1)
    naive = by_question.reshape(trials, -1).T
    rejected = (sign_flip_p_values(clustered, resamples=199, seed=0) <= 0.05).mean()
    rejected_naively = (sign_flip_p_values(naive, resamples=199, seed=0) <= 0.05).mean()
    assert 0.01 < rejected < 0.1
    assert rejected_naively > 0.4


def test_interval_of_a_normal_mean():
    sample = np.random.default_rng(3).normal(2, 5, (600, 1))
    draws = one_cell(600).bootstrap([sample], resamples=4000, seed=0)
    low, high = percentile_interval(draws, 0.95)[0, 0]
    error = sample.std() / np.sqrt(600)
    assert (low, high) == pytest.approx((sample.mean() - 1.96 * error, sample.mean() + 1.96 * error), abs=0.1 * error)
    theirs = stats.bootstrap((sample[:, 0],), np.mean, method="percentile", n_resamples=4000, rng=0)
    assert (low, high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.1 * error)


def test_draws_are_of_questions_with_all_their_cells(uneven, values):
    """A draw is some multiset of questions, the same in both systems: the metric of it, computed by hand, is found."""
    draws = uneven.bootstrap(values, resamples=600, seed=5)
    rng, found = np.random.default_rng(5), []
    drawn = [*rng.integers(0, 7, (500, 7)), *rng.integers(0, 7, (100, 7))]
    for rows in drawn:
        for system in range(2):
            resampled = values[system][rows]
            for cells in ([0, 1, 2], [1, 2]):
                present = [cell for cell in cells if not np.isnan(resampled[:, cell]).all()]
                found.append(macro(resampled, present) if present else np.nan)
    assert draws.transpose(1, 0, 2).ravel() == pytest.approx(found, nan_ok=True)
    assert np.isfinite(percentile_interval(draws, 0.95)).all()


def test_the_interval_covers_as_often_as_it_says():
    """Coverage of the mean of an uneven design with question effects, near 95 %."""
    rng, covered, trials = np.random.default_rng(6), 0, 200
    asked = np.ones((80, 3), bool)
    asked[40:, 1] = asked[60:, 2] = False
    design = Design(asked, np.full((1, 3), 1 / 3))
    for trial in range(trials):
        sample = rng.normal(size=(80, 1)) + 0.3 * rng.normal(size=(80, 3))
        low, high = percentile_interval(design.bootstrap([sample], resamples=300, seed=trial), 0.95)[0, 0]
        covered += low <= 0 <= high
    assert 0.89 <= covered / trials <= 0.99


def test_equal_seeds_give_equal_results():
    sample = np.random.default_rng(7).normal(size=(50, 1))
    first, again, other = (one_cell(50).bootstrap([sample], resamples=700, seed=seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_holm_by_hand():
    """Sorted: 0.01 * 4 = 0.04; 0.015 * 3 = 0.045; 0.03 * 2 = 0.06; 0.035 * 1 is below the one before it, so 0.06."""
    assert holm([0.03, 0.01, 0.035, 0.015]) == pytest.approx([0.06, 0.04, 0.06, 0.045])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])
    assert holm([]) == []


def test_effect_size_is_the_mean_over_the_deviation(uneven):
    change = np.array([[1.0], [2.0], [3.0]])
    assert effect_sizes(one_cell(3), change) == pytest.approx([2])
    assert np.isnan(effect_sizes(one_cell(3), np.ones((3, 1)))).all()
    # A question that is not asked is no zero: cell 2 is asked of three questions.
    design = Design(uneven.asked, np.eye(3))
    values = np.where(uneven.asked, np.arange(7.0)[:, None], np.nan)
    assert effect_sizes(design, values)[2] == pytest.approx(np.mean([0, 2, 4]) / np.std([0, 2, 4], ddof=1))


def test_intervals_over_seeds():
    ours, theirs = [0.61, 0.64, 0.62], [0.58, 0.60]
    assert t_interval([0.6], 0.95) is None
    expected = stats.t.interval(0.95, 2, np.mean(ours), stats.sem(ours))
    assert t_interval(ours, 0.95) == pytest.approx(expected)
    assert welch_interval(ours, [0.6], 0.95) is None
    expected = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert welch_interval(ours, theirs, 0.95) == pytest.approx(tuple(expected))
    assert welch_interval([1, 1], [0, 0], 0.95) == (1, 1)
