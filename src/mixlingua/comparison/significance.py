"""Is a difference between two systems more than chance? Paired tests over questions (docs/significance.md).

The unit is the question with all its translations: parallel queries ask for the same answers and fail together, so that
they count as one observation (a cluster), never as eleven. C questions, G cells (a cell is a metric of one query
language against one pool), S averages of cells. A value is nan where its question is not asked in the cell.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from mixlingua.evaluation.metrics import Floats

_ROWS = 500  # resamples drawn at once: what keeps the memory small, whatever their number
_ROUNDING = 1e-9  # of the sum of absolute values: what two ways of adding the same numbers may differ by


@dataclass(frozen=True)
class Design:
    """What all compared systems share. asked: (C, G) bool, each cell has a question; averages: (S, G), rows sum to 1.

    Average s of values is sum over cells g of averages[s, g] times the mean over the questions asked in g.
    """

    asked: NDArray[np.bool_]
    averages: Floats

    def shares(self, values: Floats) -> Floats:
        """(C, G) values -> (C, S): what each question adds to each average, so that columns sum to the averages."""
        return self._filled(values) / self.asked.sum(axis=0) @ self.averages.T

    def estimates(self, values: Floats) -> Floats:
        """(C, G) values -> (S,) averages."""
        return self.shares(values).sum(axis=0)

    def questions(self) -> NDArray[np.bool_]:
        """(C, S): whether a question is asked in any cell of an average."""
        return self.asked.astype(np.float64) @ (self.averages > 0).T.astype(np.float64) > 0

    def _filled(self, values: Floats) -> Floats:
        return np.where(self.asked, values, 0.0)

    def bootstrap(self, systems: Sequence[Floats], *, resamples: int, seed: int) -> Floats:
        """L systems' (C, G) values -> (L, resamples, S): averages over questions drawn anew with replacement.

        A draw is the same for all systems and cells: a question comes with all its translations, and the difference
        of two systems' draws is a draw of their difference. A cell's mean is over its questions in the draw; a cell
        that has none is left out of the averages of that draw (nan where nothing is left).
        """
        rng = np.random.default_rng(seed)
        num_questions, num_cells = self.asked.shape
        values = np.concatenate([self._filled(system) for system in systems], axis=1)
        asked = self.asked.astype(np.float64)
        draws = np.empty((len(systems), resamples, len(self.averages)))
        for rows in _parts(resamples):
            times = _times_drawn(rng, rows.stop - rows.start, num_questions)
            weights = times @ asked
            sums = (times @ values).reshape(len(times), len(systems), num_cells)
            means = sums / np.maximum(weights, 1)[:, None]
            present = (weights > 0) @ self.averages.T
            with np.errstate(invalid="ignore"):
                draws[:, rows] = np.moveaxis(means @ self.averages.T / present[:, None], 1, 0)
        return draws


def percentile_interval(draws: Floats, confidence: float) -> Floats:
    """(..., resamples, S) draws -> (..., S, 2): lower and upper end of the percentile interval."""
    tail = (1 - confidence) / 2
    return np.moveaxis(np.nanquantile(draws, [tail, 1 - tail], axis=-2), 0, -1)


def sign_flip_p_values(shares: Floats, *, resamples: int, seed: int) -> Floats:
    """Two-sided p-values (S,) of paired differences that add up: shares (C, S), as `Design.shares` of a difference.

    Null hypothesis: the two systems are exchangeable within each question, so that each share might as well have the
    other sign. All 2^C sign patterns are enumerated where that is no more than `resamples`; otherwise the observed
    pattern and `resamples` random ones count, and no p-value is below 1 / (resamples + 1).
    """
    num_questions = len(shares)
    limit = np.abs(shares.sum(axis=0)) - _ROUNDING * np.abs(shares).sum(axis=0)
    exact = num_questions < 63 and 2**num_questions <= resamples
    rng = np.random.default_rng(seed)
    hits = np.zeros(shares.shape[1])
    for rows in _parts(2**num_questions if exact else resamples):
        if exact:
            bits = np.arange(rows.start, rows.stop)[:, None] >> np.arange(num_questions) & 1
        else:
            bits = rng.integers(0, 2, (rows.stop - rows.start, num_questions), dtype=np.int8)
        hits += (np.abs((1.0 - 2.0 * bits) @ shares) >= limit).sum(axis=0)
    return hits / 2**num_questions if exact else (hits + 1) / (resamples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that may be compared with the significance level as if there were one test (Holm 1979).

    The i-th smallest of m is multiplied by m - i + 1, is at least the one before it and at most 1.
    """
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def effect_sizes(design: Design, differences: Floats) -> Floats:
    """Cohen's d of paired differences, (C, G) -> (S,): mean over standard deviation of the questions' shares.

    Over the questions that an average asks; nan where there is one question or no variation.
    """
    shares, asked = design.shares(differences), design.questions()
    number = asked.sum(axis=0)
    mean = shares.sum(axis=0) / number
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.sqrt((asked * (shares - mean) ** 2).sum(axis=0) / (number - 1))
        return np.where(deviation > _ROUNDING * np.abs(mean), mean / deviation, np.nan)


def t_interval(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Student's interval for the mean of independent values, such as one average by seed; None for a single value."""
    if len(values) < 2:
        return None
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return _around(float(np.mean(values)), error, len(values) - 1, confidence)


def welch_interval(ours: Sequence[float], theirs: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Welch's interval for the difference of two means of independent values; None where a side has only one value."""
    if min(len(ours), len(theirs)) < 2:
        return None
    squares = np.array([np.var(side, ddof=1) / len(side) for side in (ours, theirs)])
    freedom = np.array([len(ours) - 1, len(theirs) - 1])
    total = squares.sum()
    degrees = total**2 / (squares**2 / freedom).sum() if total > 0 else freedom.sum()
    return _around(float(np.mean(ours) - np.mean(theirs)), np.sqrt(total), degrees, confidence)


def _around(center: float, error: float, degrees: float, confidence: float) -> tuple[float, float]:
    half = float(stdtrit(degrees, (1 + confidence) / 2) * error)
    return center - half, center + half


def _times_drawn(rng: np.random.Generator, num_draws: int, num_questions: int) -> Floats:
    """(num_draws, C): how often each question is in each draw of C with replacement."""
    drawn = rng.integers(0, num_questions, (num_draws, num_questions))
    drawn += num_questions * np.arange(num_draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)


def _parts(number: int) -> Iterator[slice]:
    return (slice(start, min(start + _ROWS, number)) for start in range(0, number, _ROWS))
