"""The linear probe: it learns what is linear in its features, finds nothing in noise, and never peeks."""

import numpy as np
import pytest

from mixlingua.errors import DataError
from mixlingua.evaluation.engines.probe import INVERSE_STRENGTHS, fit_probe, pair_features

LABELS = ("same", "opposite", "other")


def toy(count: int, seed: int, dim: int = 8) -> tuple[np.ndarray, list[str]]:
    """Unit vectors and their partners: equal, opposite or unrelated. What tells them apart is the sign of u * v."""
    rng = np.random.default_rng(seed)
    left, free = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in rng.normal(size=(2, count, dim)))
    labels = rng.choice(LABELS, count).tolist()
    right = np.stack([{"same": u, "opposite": -u, "other": v}[y] for u, v, y in zip(left, free, labels, strict=True)])
    return pair_features(left.astype(np.float32), right.astype(np.float32)), labels


def test_features_of_a_pair() -> None:
    features = pair_features(np.array([[1, -2]], np.float32), np.array([[3, 0.5]], np.float32))
    assert features.tolist() == [[1, -2, 3, 0.5, 2, 2.5, 3, -1]]
    assert features.dtype == np.float32


def test_it_learns_what_is_separable_and_finds_chance_in_shuffled_labels() -> None:
    features, labels = toy(900, seed=0)
    unseen, truth = toy(600, seed=1)
    groups = [str(number) for number in range(900)]

    def accuracy(labels: list[str]) -> float:
        return float(np.mean(np.equal(fit_probe(features, labels, groups)(unseen), truth)))

    assert accuracy(labels) > 0.93
    shuffled = np.random.default_rng(2).permutation(labels).tolist()
    assert 0.23 < accuracy(shuffled) < 0.43, "one third, at about five standard errors"


def test_of_equally_good_penalties_the_strongest_is_taken() -> None:
    easy = np.array([[-1.0], [1.0]] * 40, np.float32)
    certain = fit_probe(easy, ["a", "b"] * 40, [str(number) for number in range(80)])
    assert certain.held_out_accuracy == 1.0
    assert certain.inverse_strength < max(INVERSE_STRENGTHS), "which separates the two as well"


def test_rows_of_a_group_are_held_out_together() -> None:
    """A feature that names the group predicts its label in the rows it was fitted on, and nothing in other groups."""
    groups = [f"group {number}" for number in range(200) for _ in range(3)]
    labels = np.random.default_rng(0).choice(["a", "b"], 200).repeat(3).tolist()
    probe = fit_probe(np.eye(200, dtype=np.float32).repeat(3, axis=0), labels, groups)
    assert probe.held_out_accuracy < 0.75


def test_equal_arguments_give_equal_probes() -> None:
    features, labels = toy(300, seed=0)
    groups = [str(number // 3) for number in range(300)]
    first, second = (fit_probe(features, labels, groups) for _ in range(2))
    assert first.inverse_strength == second.inverse_strength
    assert np.array_equal(first.model[-1].coef_, second.model[-1].coef_)


@pytest.mark.parametrize(("labels", "groups"), [(["a"] * 30, map(str, range(30))), (["a", "b"] * 15, ["one"] * 30)])
def test_too_little_to_learn_is_said(labels: list[str], groups: object) -> None:
    with pytest.raises(DataError, match=r"30 rows in (30|1) groups are too few"):
        fit_probe(np.ones((30, 2), np.float32), labels, list(groups))  # type: ignore[call-overload]
