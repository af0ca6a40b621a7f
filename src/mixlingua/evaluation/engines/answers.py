"""Questions over one corpus of any size, in which a passage is right if it contains an answer."""

from __future__ import annotations

import hashlib
import logging
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
import regex
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixlingua import distributed
from mixlingua.errors import DataError
from mixlingua.evaluation.corpus_tasks import AnswerTask
from mixlingua.evaluation.metrics import SUCCESS, Floats, RelevantRanks, ranks_from_counts
from mixlingua.evaluation.results import PerQueryTable, TaskResult
from mixlingua.files import atomic_write, cache_dir, content_hash
from mixlingua.retrieval.corpus import record
from mixlingua.retrieval.encode import Encode, encode_checked
from mixlingua.retrieval.search import count_below, on_grid
from mixlingua.retrieval.shards import SearchedCorpus, VectorShards, encoded

logger = logging.getLogger(__name__)

Tokens = tuple[str, ...]
Answering = Iterable[tuple[int, NDArray[np.int64]]]  # a question, and the rows of a shard that answer it


def evaluate(task: AnswerTask, encode: Encode) -> TaskResult:
    """Rank the whole corpus for each question in each language; every rank must call this.

    An evaluation that was stopped goes on where it was. Raises what `encoded` and `find_first_answers` raise.
    """
    texts = [of_language[question] for question in task.answers for of_language in task.queries.values()]
    vectors = on_grid(encode_checked(encode, texts, "query", f"task {task.name}"))
    queries = vectors.unflatten(0, (len(task.answers), len(task.queries)))
    key = content_hash(encode.fingerprint, task.revision, str(task.shard_size))
    path = cache_dir() / "vectors" / f"{task.name}-{key[:24]}.npz"
    corpus = SearchedCorpus(task.corpus, task.census, task.where)
    dim = vectors.shape[1]
    with encoded([corpus], encode, dim, shard_size=task.shard_size, keep=task.keep_vectors) as (shards,):
        first = find_first_answers(task, queries, shards, path)
        distributed.on_first_rank(path.unlink)
    return TaskResult(task.name, task.provenance(), _tables(task, first))


@dataclass
class FirstAnswers:
    """The best passages that answer N questions, each in L languages, as far as shards have been searched.

    scores: (N, L) float64, -inf where no passage answers. tied: (N, L), the answering passages with that score.
    below: (N, L), all passages that score less.
    """

    scores: Floats
    tied: NDArray[np.int64]
    below: NDArray[np.int64]

    @classmethod
    def load(cls, path: Path, queries: Tensor) -> tuple[Self, int]:
        """What was found so far, and the steps that were taken: one for each shard judged, then one for each counted.

        queries: (N, L, D), of a search that begins.
        """
        if path.exists():
            with np.load(path, allow_pickle=False) as arrays:
                return cls(arrays["scores"], arrays["tied"], arrays["below"]), int(arrays["done"])
        shape = queries.shape[:2]
        return cls(np.full(shape, -np.inf), np.zeros(shape, np.int64), np.zeros(shape, np.int64)), 0

    def save(self, path: Path, steps: int) -> None:
        """Keep what was found in so many steps. Raises StorageError where the disk is full."""
        with atomic_write(path) as partial_file:
            np.savez(partial_file, scores=self.scores, tied=self.tied, below=self.below, done=steps)

    def judge(self, queries: Tensor, vectors: Tensor, answering: Answering) -> None:
        """Take in the answering passages of one shard. Nothing is rounded: all is on the grid (`retrieval.search`)."""
        for question, rows in answering:
            scores = vectors[torch.from_numpy(rows)].double() @ queries[question].double().T
            highest = scores.max(dim=0).values
            tied = (scores == highest).sum(dim=0).numpy()
            best, known = highest.numpy(), self.scores[question]
            self.tied[question] = np.where(best < known, 0, tied) + np.where(best > known, 0, self.tied[question])
            self.scores[question] = np.maximum(best, known)

    def count(self, queries: Tensor, vectors: Tensor) -> None:
        """Count the passages of one shard that score less, once all shards are judged."""
        below = count_below(queries.flatten(0, 1), vectors, torch.from_numpy(self.scores).reshape(-1, 1))
        self.below += below.numpy().reshape(self.below.shape)

    def ranks(self, columns: Sequence[int], num_passages: int) -> RelevantRanks:
        """Of the first answering passage, for all questions in the languages at `columns`, one after the other.

        Others that answer and score the same rank behind it.
        """
        scores = self.scores[:, columns].T.reshape(-1, 1)
        below = (self.below + self.tied - 1)[:, columns].T.reshape(-1, 1)
        return ranks_from_counts(scores, below, np.ones(scores.shape), num_passages)


def find_first_answers(task: AnswerTask, queries: Tensor, shards: VectorShards, path: Path) -> FirstAnswers:
    """Search the corpus of a task. queries: (N, L, D) float32 on the grid. path: where the state of the search is kept.

    Every rank must call this. Rank 0 searches; the ranks meet after each shard, so that none waits for longer than a
    shard takes. Raises StorageError where the disk is full, and DataError where the corpus is no longer what was
    encoded: by ids and texts where answers are looked for in the texts that are encoded, else by ids alone.
    """
    first, done = distributed.on_first_rank(lambda: FirstAnswers.load(path, queries))
    answering = _answering(task, shards, after=done)

    def search(step: int) -> None:
        judging, shard = step < shards.num_shards, step % shards.num_shards
        if judging:
            first.judge(queries, shards.vectors(shard), next(answering))
        else:
            first.count(queries, shards.vectors(shard))
        first.save(path, step + 1)
        _report(task.name, first, judging, shard + 1, shards.num_shards)

    for step in range(done, 2 * shards.num_shards):
        distributed.on_first_rank(partial(search, step))
    return distributed.on_first_rank(lambda: first)


def _answering(task: AnswerTask, shards: VectorShards, after: int) -> Iterator[Answering]:
    """Which passages of each shard, but for the first `after`, answer which questions."""
    index = AnswerIndex(list(task.answers.values()))
    passages, read = task.answer_corpus.passages(), hashlib.sha256()
    encoded_texts = task.answer_corpus == task.corpus
    for shard in range(shards.num_shards):
        batch = list(islice(passages, len(shards.positions(shard))))
        for passage in batch:
            read.update(record(passage))
        if shard < after:
            continue
        other_texts = encoded_texts and read.hexdigest() != shards.read(shard)
        if other_texts or [passage.id for passage in batch] != shards.ids(shard):
            raise DataError(f"{task.where}: changed while it was read. Evaluate again once nothing writes to it.")
        yield index.answered(passage.text for passage in batch)


def _report(name: str, first: FirstAnswers, judging: bool, done: int, num_shards: int) -> None:
    if done * 10 // num_shards > (done - 1) * 10 // num_shards:
        logger.info("task %s: %d of %d shards %s", name, done, num_shards, "judged" if judging else "searched")
    if judging and done == num_shards:
        answered = int((first.tied > 0).any(axis=1).sum())
        logger.info("task %s: the corpus answers %s of %s questions", name, f"{answered:,}", f"{len(first.tied):,}")


def _tables(task: AnswerTask, first: FirstAnswers) -> dict[str, PerQueryTable]:
    """By setting: questions in the language of the corpus are monolingual, the others cross-lingual."""
    settings = {
        "monolingual": [language for language in task.queries if language == task.corpus_language],
        "crosslingual": sorted(language for language in task.queries if language != task.corpus_language),
    }
    return {setting: _table(task, first, languages) for setting, languages in settings.items() if languages}


def _table(task: AnswerTask, first: FirstAnswers, languages: Sequence[str]) -> PerQueryTable:
    columns = [list(task.queries).index(language) for language in languages]
    ranking = first.ranks(columns, task.census.num_passages)
    return PerQueryTable(
        query_ids=[question for _ in languages for question in task.answers],
        query_languages=[language for language in languages for _ in task.answers],
        passage_languages=[task.corpus_language] * len(ranking.ranks),
        values={name: metric(ranking) for name, metric in SUCCESS.items()},
    )


_TOKEN = regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")


def tokens(text: str) -> Tokens:
    """Words (runs of letters, numbers and marks) and other signs one by one, lower-case, in canonical decomposition
    (NFD); blanks and control characters only divide them."""
    return tuple(_TOKEN.findall(unicodedata.normalize("NFD", text).lower()))


class AnswerIndex:
    """Looks up, while passages go by, which of N questions each of them answers.

    Every distinct answer is looked up once, however many questions share it; a token that begins no answer costs one
    look-up.
    """

    def __init__(self, answers: Sequence[Iterable[str]]) -> None:
        """answers: of each question; one without any token, such as "", is in no passage."""
        self.answers = [{words for answer in of_question if (words := tokens(answer))} for of_question in answers]
        self._known = frozenset[Tokens]().union(*self.answers)
        lengths: dict[str, set[int]] = {}
        for answer in self._known:
            lengths.setdefault(answer[0], set()).add(len(answer))
        self._lengths = {first: sorted(of_first) for first, of_first in lengths.items()}

    def found_in(self, text: str) -> set[Tokens]:
        """The answers that a text contains."""
        words = tokens(text)
        return {
            candidate
            for start, word in enumerate(words)
            if word in self._lengths
            for length in self._lengths[word]
            if (candidate := words[start : start + length]) in self._known
        }

    def answered(self, texts: Iterable[str]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Each question that some of the texts answer, and the positions of these texts, both ascending."""
        positions: dict[Tokens, list[int]] = {}  # of the texts that contain an answer
        for position, text in enumerate(texts):
            for answer in self.found_in(text):
                positions.setdefault(answer, []).append(position)
        for question, answers in enumerate(self.answers):
            if answering := [positions[answer] for answer in answers if answer in positions]:
                yield question, np.unique(np.concatenate(answering).astype(np.int64))
