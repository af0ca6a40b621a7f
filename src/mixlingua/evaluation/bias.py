"""Language bias beyond ranks: which languages a ranking of passages in several languages prefers. One value per query.

A metric that has nothing to measure in a query is nan there (`results.PARTIAL`). The bias metrics that need ranks alone
are in `metrics`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from mixlingua.evaluation.metrics import Floats, RelevantRanks, average_precision
from mixlingua.evaluation.results import share_metric


@dataclass(frozen=True, kw_only=True)
class MixedRanks(RelevantRanks):
    """All that language bias depends on, for Q queries in one language.

    top: (Q, L), share of each language among the first 10 passages, nan where none was returned. pool: (L,), share of
    each in the pool. language: position of the queries' language among the L, -1 where it has no passages.
    """

    top: Floats
    pool: Floats
    language: int


def top_language_shares(
    scores: NDArray[np.float32],
    columns: NDArray[np.int64],
    grades: Floats,
    passage_languages: NDArray[np.int64],
    k: int,
) -> Floats:
    """(Q, L) share of each language among the first k passages returned; rows sum to 1, nan where none was returned.

    scores, columns, grades: as `relevant_ranks` takes them, but no NaN. passage_languages: (P,), from 0 to L - 1.
    Where more passages tie than can still enter, the less relevant enter first, as in the ranks; those of one grade
    share what is left equally, so that no language gains by its position in the pool.
    """
    num_queries, pool_size = scores.shape
    num_languages = int(passage_languages.max()) + 1
    best, positions = torch.from_numpy(scores).topk(min(k + 1, pool_size))
    values, languages = best.numpy(), passage_languages[positions.numpy()]
    contested = np.zeros(num_queries, bool)
    if pool_size > k:
        contested = (values[:, k - 1] == values[:, k]) & (values[:, k] > -np.inf)
    counts = np.zeros((num_queries, num_languages))
    for column in range(min(k, pool_size)):
        certain = np.where(contested, values[:, column] > values[:, -1], values[:, column] > -np.inf)
        counts[np.arange(num_queries), languages[:, column]] += certain
    for row in np.flatnonzero(contested):
        tied = np.flatnonzero(scores[row] == values[row, -1])
        grade_of = np.zeros(pool_size)
        grade_of[columns[row, columns[row] >= 0]] = grades[row, columns[row] >= 0]
        tied_grades = grade_of[tied]
        left = k - int(counts[row].sum())
        for grade in np.unique(tied_grades):
            equals = tied[tied_grades == grade]
            taken = min(left, len(equals))
            counts[row] += np.bincount(passage_languages[equals], minlength=num_languages) * (taken / len(equals))
            left -= taken
    returned = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, returned, out=np.full_like(counts, np.nan), where=returned > 0)


def recall_other_at(ranking: RelevantRanks, k: int) -> Floats:
    """Share of the relevant passages in other languages than the query's among the first k; nan where there is none."""
    other = (ranking.grades > 0) & ~_same_language(ranking)
    return _ratio(((ranking.ranks <= k) & other).sum(axis=1), other.sum(axis=1))


def map_drop_without_own(ranking: RelevantRanks) -> Floats:
    """Average precision minus that after the relevant passages in the query's language are taken out of the pool.

    Those behind them move up; ties keep their order. nan where nothing is taken out, or nothing relevant is left.
    """
    same = _same_language(ranking)
    other = (ranking.grades > 0) & ~same
    ranks = ranking.ranks - np.cumsum(same, axis=1)
    precision = np.where(other, np.cumsum(other, axis=1) / np.where(other, ranks, 1.0), 0.0).sum(axis=1)
    without = _ratio(precision, other.sum(axis=1))
    return np.where(same.any(axis=1), average_precision(ranking) - without, np.nan)


def own_language_excess(ranking: MixedRanks) -> Floats:
    """Share of the query's language among the first 10 passages, minus its share of the pool; nan where it has none."""
    if ranking.language < 0:
        return np.full(len(ranking.top), np.nan)
    return ranking.top[:, ranking.language] - ranking.pool[ranking.language]


def language_divergence(ranking: MixedRanks) -> Floats:
    """Total variation distance of the languages of the first 10 passages from those of the pool: the share of the ten
    that would have to be in another language for the two to be equal."""
    return np.abs(ranking.top - ranking.pool).sum(axis=1) / 2


def _same_language(ranking: RelevantRanks) -> NDArray[np.bool_]:
    assert ranking.same_language is not None
    return ranking.same_language


def _share_of(ranking: MixedRanks, language: int) -> Floats:
    return ranking.top[:, language]


def _ratio(numerator: NDArray[np.int64] | Floats, denominator: NDArray[np.int64]) -> Floats:
    return np.divide(numerator, denominator, out=np.full(len(denominator), np.nan), where=denominator > 0)


# What ranks tell. The others need the first passages, which an engine that counts does not have.
PREFERENCE_BY_RANK: dict[str, Callable[[RelevantRanks], Floats]] = {
    "recall_other_at_10": lambda ranking: recall_other_at(ranking, 10),
    "recall_other_at_100": lambda ranking: recall_other_at(ranking, 100),
    "map_drop_without_own": map_drop_without_own,
}
PREFERENCE: dict[str, Callable[[MixedRanks], Floats]] = {
    **PREFERENCE_BY_RANK,
    "own_language_excess_at_10": own_language_excess,
    "language_divergence_at_10": language_divergence,
}


def preference_metrics(languages: Sequence[str]) -> dict[str, Callable[[MixedRanks], Floats]]:
    """All of these, the share of each language among the first 10 passages included."""
    shares = {share_metric(language): partial(_share_of, language=code) for code, language in enumerate(languages)}
    return PREFERENCE | shares
