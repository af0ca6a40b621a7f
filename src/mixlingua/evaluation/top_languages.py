"""Which languages the first passages of a ranking are in."""

import numpy as np
import torch
from numpy.typing import NDArray

from mixlingua.evaluation.metrics import Floats


def top_language_shares(
    scores: NDArray[np.float32],
    columns: NDArray[np.int64],
    grades: Floats,
    passage_languages: NDArray[np.int64],
    k: int,
) -> Floats:
    """(Q, L) share of each language among the first k passages returned; rows sum to 1, nan where none was returned.

    scores, columns, grades: as `relevant_ranks` takes them, but no NaN. passage_languages: (P,), from 0 to L - 1.
    Where passages that tie are more than the places left, the less relevant enter first, as in the ranks; those of one
    grade share the places equally, so that no language gains by its place in the pool.
    """
    num_queries, pool_size = scores.shape
    num_languages = int(passage_languages.max()) + 1
    best, found = torch.from_numpy(scores).topk(min(k + 1, pool_size))
    values, languages = best.numpy(), passage_languages[found.numpy()]
    contested = np.zeros(num_queries, bool)
    if pool_size > k:
        contested = (values[:, k - 1] == values[:, k]) & (values[:, k] > -np.inf)
    counts = np.zeros((num_queries, num_languages))
    for place in range(min(k, pool_size)):
        certain = np.where(contested, values[:, place] > values[:, -1], values[:, place] > -np.inf)
        counts[np.arange(num_queries), languages[:, place]] += certain
    for row in np.flatnonzero(contested):
        tied = np.flatnonzero(scores[row] == values[row, -1])
        grade_of = np.zeros(pool_size)
        grade_of[columns[row, columns[row] >= 0]] = grades[row, columns[row] >= 0]
        tied_grades = grade_of[tied]
        places = k - int(counts[row].sum())
        for grade in np.unique(tied_grades):
            equals = tied[tied_grades == grade]
            taken = min(places, len(equals))
            counts[row] += np.bincount(passage_languages[equals], minlength=num_languages) * (taken / len(equals))
            places -= taken
    returned = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, returned, out=np.full_like(counts, np.nan), where=returned > 0)
