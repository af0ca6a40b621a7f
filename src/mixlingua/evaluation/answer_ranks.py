"""The rank of the first passage that answers a question: all that success at k needs.

A short answer may stand in hundreds of thousands of passages, so these are neither listed nor kept. One pass over the
shards judges their texts and finds each query's best score of an answering passage; a second counts how many passages
score less. What is kept is three numbers a query, and after each shard they are on disk: a search that was stopped
goes on with the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixlingua.errors import DataError
from mixlingua.evaluation.answers import AnswerIndex
from mixlingua.evaluation.metrics import Floats
from mixlingua.files import atomic_write
from mixlingua.model import distributed
from mixlingua.retrieval.exact import count_below
from mixlingua.retrieval.shards import VectorShards

if TYPE_CHECKING:
    from mixlingua.evaluation.answer_task import AnswerTask

Judged = Iterable[tuple[int, NDArray[np.int64]]]  # a question, and the rows of a shard that answer it

logger = logging.getLogger(__name__)


@dataclass
class FirstAnswers:
    """The best passages that answer N questions, each in L languages, as far as shards have been searched.

    scores: (N, L) float64, -inf where no passage answers. tied: (N, L), the answering passages with that score.
    below: (N, L), all passages that score less.
    """

    scores: Floats
    tied: NDArray[np.int64]
    below: NDArray[np.int64]

    def ranks(self, num_passages: int) -> Floats:
        """(N, L): 1 + passages above the first answering one + others that score the same; inf where there is none."""
        return np.where(self.tied > 0, num_passages - self.below - self.tied + 1.0, np.inf)


def find_first_answers(task: AnswerTask, queries: Tensor, shards: VectorShards, path: Path) -> FirstAnswers:
    """Search the corpus of a task. queries: (N, L, D) float32 on the grid. path: where the state of the search is kept.

    Every rank must call this. Rank 0 searches; the ranks meet after each shard, so that none waits for longer than a
    shard takes. Raises DataError where the corpus is no longer what was encoded, StorageError where the disk is full.
    """
    found, done = distributed.on_first_rank(lambda: _load(path, queries))
    judged = _judged(task, shards, after=done)

    def search(step: int) -> None:
        judging, shard = step < shards.num_shards, step % shards.num_shards
        if judging:
            _raise_best(found, queries, shards.vectors(shard), next(judged))
        else:
            _count(found, queries, shards.vectors(shard))
        _save(path, found, step + 1)
        _report(task.name, found, judging, shard + 1, shards.num_shards)

    for step in range(done, 2 * shards.num_shards):
        distributed.on_first_rank(partial(search, step))
    return distributed.on_first_rank(lambda: found)


def _raise_best(found: FirstAnswers, queries: Tensor, vectors: Tensor, judged: Judged) -> None:
    """Take in the answering passages of one shard. No rounding: all is on the grid (`mixlingua.retrieval.exact`)."""
    for question, rows in judged:
        scores = vectors[torch.from_numpy(rows)].double() @ queries[question].double().T
        highest = scores.max(dim=0).values
        tied = (scores == highest).sum(dim=0).numpy()
        best, known = highest.numpy(), found.scores[question]
        found.tied[question] = np.where(best < known, 0, tied) + np.where(best > known, 0, found.tied[question])
        found.scores[question] = np.maximum(best, known)


def _count(found: FirstAnswers, queries: Tensor, vectors: Tensor) -> None:
    below = count_below(queries.flatten(0, 1), vectors, torch.from_numpy(found.scores).reshape(-1, 1))
    found.below += below.numpy().reshape(found.below.shape)


def _judged(task: AnswerTask, shards: VectorShards, after: int) -> Iterator[Judged]:
    """Which passages of each shard, but for the first `after`, answer which questions."""
    index = AnswerIndex(list(task.answers.values()))
    passages = task.judged.passages()
    for shard in range(shards.num_shards):
        batch = list(islice(passages, len(shards.positions(shard))))
        if shard < after:
            continue
        if [passage.id for passage in batch] != shards.ids(shard):
            raise DataError(f"{task.where}: changed while it was read. Evaluate again once nothing writes to it.")
        yield index.answered(passage.text for passage in batch)


def _report(name: str, found: FirstAnswers, judging: bool, done: int, num_shards: int) -> None:
    if done * 10 // num_shards > (done - 1) * 10 // num_shards:
        logger.info("task %s: %d of %d shards %s", name, done, num_shards, "judged" if judging else "searched")
    if judging and done == num_shards:
        answered = int((found.tied > 0).any(axis=1).sum())
        logger.info("task %s: the corpus answers %s of %s questions", name, f"{answered:,}", f"{len(found.tied):,}")


def _load(path: Path, queries: Tensor) -> tuple[FirstAnswers, int]:
    """What was found, and how many steps were taken: one for each shard judged, then one for each searched."""
    if path.exists():
        with np.load(path, allow_pickle=False) as arrays:
            return FirstAnswers(arrays["scores"], arrays["tied"], arrays["below"]), int(arrays["done"])
    shape = queries.shape[:2]
    return FirstAnswers(np.full(shape, -np.inf), np.zeros(shape, np.int64), np.zeros(shape, np.int64)), 0


def _save(path: Path, found: FirstAnswers, done: int) -> None:
    with atomic_write(path) as partial_file:
        np.savez(partial_file, scores=found.scores, tied=found.tied, below=found.below, done=done)
