"""Which of the passages that rank first for a query are no negatives, and why."""

import numpy as np
from numpy.typing import NDArray

from mixlingua.retrieval.mining_pool import Pool

FILTERS = ("own", "related", "margin")  # in the order in which they are asked; a passage counts for the first
KEPT = len(FILTERS)


def filtered(
    pool: Pool, row: int, candidates: NDArray[np.int64], scores: NDArray[np.float64], positives: NDArray[np.float64],
    margin: float | None,
) -> NDArray[np.int64]:  # fmt: skip
    """(T,) for each candidate of one of a row's queries, the position in FILTERS of what takes it out, or KEPT.

    candidates: (T,) positions in the pool; scores: theirs. positives: (L,) scores of the row's passage in each of the
    pool's languages. margin: how far below them a negative must score; None: anything goes.

    own: the candidate is the row's passage, in whatever language. related: one of the rows that have the candidate as
    their passage shares a key with the row: its passage_id, text that both contain, or the text of a passage in any
    training language. margin: it scores less than `margin` below the row's passage in the candidate's language, or
    above it (TopK-MarginPos of Moreira et al. 2024, arXiv 2407.15831, language by language).
    """
    counts = pool.starts[candidates + 1] - pool.starts[candidates]
    ends = np.cumsum(counts)
    members = pool.members[np.repeat(pool.starts[candidates] - ends + counts, counts) + np.arange(ends[-1])]
    keys = pool.source.keys
    own = np.logical_or.reduceat(members == row, ends - counts)
    shared = (keys[members][:, :, None] == keys[row]).any(axis=(1, 2))
    related = np.logical_or.reduceat(shared, ends - counts)
    near = np.zeros(len(candidates), bool)
    if margin is not None:
        near = positives[pool.columns[candidates]] - scores < margin
    reasons: NDArray[np.int64] = np.select([own, related, near], range(KEPT), KEPT)
    return reasons
