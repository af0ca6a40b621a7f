"""A linear probe on pairs of vectors: what a logistic regression can read from them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mixlingua.data.keys import unit_interval
from mixlingua.errors import DataError

INVERSE_STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C: the smaller, the stronger the penalty
HELD_OUT = 0.2  # expected share of the groups on which the penalty is chosen
_MAX_ITERATIONS = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Probe:
    """A fitted probe. inverse_strength: the chosen C; held_out_accuracy: what it was chosen for."""

    model: Pipeline
    inverse_strength: float
    held_out_accuracy: float

    def __call__(self, features: NDArray[np.float32]) -> list[str]:
        """(N, F) features -> N labels."""
        return [str(label) for label in self.model.predict(features)]


def pair_features(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) and (N, D) vectors of N pairs -> (N, 4 D): u, v, |u - v| and u * v.

    Source: Conneau et al. 2017, "Supervised learning of universal sentence representations", section 3.1.
    """
    return np.concatenate([left, right, np.abs(left - right), left * right], axis=1)


def fit_probe(features: NDArray[np.float32], labels: Sequence[str], groups: Sequence[str]) -> Probe:
    """Fit on (N, F) standardised features, with the penalty that is best on the held-out groups, then on all rows.

    groups: rows of one group, such as pairs with one premise, are held out together; the names decide which. Of equally
    good penalties the strongest. Nothing is random. Raises DataError where there is nothing to hold out or to learn.
    """
    answers = np.asarray(labels)
    held_out = np.array([unit_interval(group) < HELD_OUT for group in groups], dtype=np.bool_)
    if held_out.all() or not held_out.any() or len(set(answers[~held_out])) < 2:
        raise DataError(
            f"a probe needs rows of two labels or more to fit and some to hold out; {len(answers)} rows in "
            f"{len(set(groups))} groups are too few. Use more training pairs."
        )
    best, most = INVERSE_STRENGTHS[0], -1.0
    for inverse_strength in INVERSE_STRENGTHS:
        model = _fitted(features[~held_out], answers[~held_out], inverse_strength)
        accuracy = float(model.score(features[held_out], answers[held_out]))
        log.info("probe: C=%g gives %.4f on %d held-out rows", inverse_strength, accuracy, held_out.sum())
        if accuracy > most:
            best, most = inverse_strength, accuracy
    return Probe(_fitted(features, answers, best), best, most)


def _fitted(features: NDArray[np.float32], labels: NDArray[np.str_], inverse_strength: float) -> Pipeline:
    regression = LogisticRegression(C=inverse_strength, max_iter=_MAX_ITERATIONS)
    return make_pipeline(StandardScaler(), regression).fit(features, labels)
