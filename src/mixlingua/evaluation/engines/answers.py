"""A benchmark of questions in several languages over one corpus, in which a passage is right if it has an answer."""

import logging
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import regex
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixlingua import distributed
from mixlingua.errors import DataError
from mixlingua.evaluation.corpus_tasks import AnswerTask
from mixlingua.evaluation.metrics import SUCCESS, Floats, RelevantRanks
from mixlingua.evaluation.results import PerQueryTable, TaskResult
from mixlingua.files import atomic_write, cache_dir, content_hash
from mixlingua.retrieval.encode import Encode, check_vectors
from mixlingua.retrieval.search import count_below, on_grid
from mixlingua.retrieval.shards import Part, VectorShards, encoded

_TOKEN = regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")

Tokens = tuple[str, ...]


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
        self.answers = [{found for answer in own if (found := tokens(answer))} for own in answers]
        self._known = frozenset[Tokens]().union(*self.answers)
        lengths: dict[str, set[int]] = {}
        for answer in self._known:
            lengths.setdefault(answer[0], set()).add(len(answer))
        self._lengths = {first: sorted(found) for first, found in lengths.items()}

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
        places: dict[Tokens, list[int]] = {}
        for place, text in enumerate(texts):
            for answer in self.found_in(text):
                places.setdefault(answer, []).append(place)
        for question, own in enumerate(self.answers):
            if found := [places[answer] for answer in own if answer in places]:
                yield question, np.unique(np.concatenate(found).astype(np.int64))


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
    """Take in the answering passages of one shard. No rounding: all is on the grid (`mixlingua.retrieval.search`)."""
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


def evaluate(task: AnswerTask, encode: Encode) -> TaskResult:
    """Rank the whole corpus for each question in each language; every rank must call this.

    An evaluation that was stopped goes on where it was. Raises what `encoded` and `find_first_answers` raise.
    """
    texts = [own[question] for question in task.answers for own in task.queries.values()]
    vectors = on_grid(check_vectors(encode(texts, "query"), len(texts), "query", f"task {task.name}"))
    queries = vectors.unflatten(0, (len(task.answers), len(task.queries)))
    part = Part(task.corpus, task.census, task.where)
    path = _state(task, encode)
    dim = vectors.shape[1]
    with encoded([part], encode, dim, shard_size=task.shard_size, keep=task.keep_vectors) as (shards,):
        found = find_first_answers(task, queries, shards, path)
        distributed.on_first_rank(path.unlink)
    return TaskResult(task.name, task.provenance(), _tables(task, found.ranks(task.census.num_passages)))


def _state(task: AnswerTask, encode: Encode) -> Path:
    key = content_hash(encode.fingerprint, task.revision, str(task.shard_size))
    return cache_dir() / "vectors" / f"{task.name}-{key[:24]}.npz"


def _tables(task: AnswerTask, ranks: Floats) -> dict[str, PerQueryTable]:
    """ranks: (N, L). Questions in the language of the corpus are monolingual, the others cross-lingual."""
    settings = {
        "monolingual": [language for language in task.queries if language == task.corpus_language],
        "crosslingual": sorted(language for language in task.queries if language != task.corpus_language),
    }
    return {setting: _table(task, ranks, languages) for setting, languages in settings.items() if languages}


def _table(task: AnswerTask, ranks: Floats, languages: Sequence[str]) -> PerQueryTable:
    columns = [list(task.queries).index(language) for language in languages]
    first = ranks[:, columns].T.reshape(-1, 1)
    result = RelevantRanks(first, np.ones_like(first), task.census.num_passages)
    return PerQueryTable(
        query_ids=[question for _ in languages for question in task.answers],
        query_languages=[language for language in languages for _ in task.answers],
        passage_languages=[task.corpus_language] * len(first),
        values={name: metric(result) for name, metric in SUCCESS.items()},
    )
