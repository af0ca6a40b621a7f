"""Scores of relevant passages, and how many passages of each corpus score less: all that a rank is made of.

A rank adds up over the parts of a pool, so that a pool is ranked whole and exactly without ever being held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixlingua.model import distributed
from mixlingua.retrieval.exact import count_below, exact_scores
from mixlingua.retrieval.shards import VectorShards

if TYPE_CHECKING:
    from mixlingua.evaluation.corpus_task import CorpusTask


@dataclass(frozen=True)
class Relevant:
    """The relevant passages in some corpora of the Q queries that have any there, up to R each.

    languages: those of the corpora. query_languages: (Q,), and query_ids. rows: (Q,) positions among all queries that
    count. corpora: (Q, R) positions in `languages`, -1 in unused places. positions: (Q, R) in the corpus, -1 also where
    the corpus does not have the passage. grades: (Q, R), 0 in unused places.
    """

    languages: tuple[str, ...]
    query_languages: NDArray[np.str_]
    query_ids: Sequence[str]
    rows: NDArray[np.int64]
    corpora: NDArray[np.int64]
    positions: NDArray[np.int64]
    grades: NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """scores: (Q, R) float64, -inf where there is no passage. below: (corpora, Q, R), passages that score less."""

    scores: NDArray[np.float64]
    below: NDArray[np.int64]


def relevant_in(task: CorpusTask, languages: Sequence[str]) -> Relevant:
    """What the task's qrels call relevant in the corpora of some languages."""
    entries: list[list[tuple[int, int, int]]] = []
    keys: list[tuple[str, str, int]] = []
    row = 0
    for query_language, queries in task.asked.items():
        for query in queries:
            own = [
                (corpus, task.censuses[language].positions.get(passage, -1), grade)
                for corpus, language in enumerate(languages)
                for passage, grade in _grades(task, query_language, language, query).items()
                if grade > 0
            ]
            if own:
                entries.append(own)
                keys.append((query_language, query, row))
            row += 1
    table = np.full((len(entries), max(map(len, entries), default=0), 3), -1, np.int64)
    for index, own in enumerate(entries):
        table[index, : len(own)] = own
    return Relevant(
        languages=tuple(languages),
        query_languages=np.array([key[0] for key in keys]),
        query_ids=[key[1] for key in keys],
        rows=np.array([key[2] for key in keys], np.int64),
        corpora=table[:, :, 0],
        positions=table[:, :, 1],
        grades=np.maximum(table[:, :, 2], 0).astype(np.float64),
    )


def search(queries: Tensor, relevant: Relevant, shards: Sequence[VectorShards]) -> Found:
    """Find `relevant` in the corpora that are stored in `shards`; queries: (Q, D) float32 on the grid.

    Every rank must call this. Rank 0 searches, since it has the files; the ranks meet after each shard, so that none
    waits for longer than a shard takes.
    """
    scores = distributed.on_first_rank(partial(_scores, queries, relevant, shards))
    below = np.zeros((len(shards), *scores.shape), np.int64)
    for index, part in enumerate(shards):
        for shard in range(part.num_shards):
            distributed.on_first_rank(partial(_count, queries, scores, part, shard, below[index]))
    return distributed.on_first_rank(lambda: Found(scores, below))


def _grades(task: CorpusTask, query_language: str, language: str, query: str) -> Mapping[str, int]:
    return task.qrels.get((query_language, language), {}).get(query, {})


def _scores(queries: Tensor, relevant: Relevant, shards: Sequence[VectorShards]) -> NDArray[np.float64]:
    scores = np.full(relevant.positions.shape, -np.inf)
    for index, part in enumerate(shards):
        places = (relevant.corpora == index) & (relevant.positions >= 0)
        if places.any():
            rows = np.nonzero(places)[0]
            scores[places] = exact_scores(queries[rows], part.at(relevant.positions[places])).numpy()
    return scores


def _count(
    queries: Tensor, scores: NDArray[np.float64], shards: VectorShards, shard: int, below: NDArray[np.int64]
) -> None:
    below += count_below(queries, shards.vectors(shard), torch.from_numpy(scores)).numpy()
