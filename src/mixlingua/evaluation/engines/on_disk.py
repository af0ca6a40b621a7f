"""Retrieval over corpora of any size: vectors go to disk, counts add up shard by shard, one value stays per query."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixlingua import distributed
from mixlingua.data.tokenizer import Cut
from mixlingua.evaluation.bias import PREFERENCE_BY_RANK
from mixlingua.evaluation.corpus_tasks import CorpusTask
from mixlingua.evaluation.engines.ranking import MULTILINGUAL, Group, Languages, Relevant, groups_of
from mixlingua.evaluation.metrics import Floats, PerQueryMetric, metrics_of
from mixlingua.evaluation.results import SETTINGS, PerQueryTable, TaskResult
from mixlingua.files import atomic_write, cache_dir, content_hash
from mixlingua.retrieval.encode import CountsCutTexts, Encode, encode_checked
from mixlingua.retrieval.search import count_below, exact_scores, on_grid
from mixlingua.retrieval.shards import SearchedCorpus, VectorShards, encoded


def evaluate(task: CorpusTask, encode: Encode) -> TaskResult:
    """Rank every query's whole pool in each setting that the qrels allow, and measure it.

    The vectors of a corpus go to disk, and are removed once it is searched unless the task keeps them. An evaluation
    that was stopped goes on where it was: shards that are there are not encoded again, nor are corpora that were
    searched. Every rank must call this; all get one result. Raises what `encode_corpus` raises, and StorageError before
    anything is encoded where the disk has too little room.
    """
    languages = tuple(sorted(task.corpora))
    pairs = relevant_in(task, languages).pairs()
    groups = groups_of(pairs, complete(task, pairs), languages)
    state = cache_dir() / "vectors" / f"{task.name}-{content_hash(encode.fingerprint, task.revision)[:24]}"
    texts = [task.queries[language][query] for language, queries in task.asked.items() for query in queries]
    queries = on_grid(encode_checked(encode, texts, "query", f"task {task.name}"))
    searches = {languages: _search(task, encode, queries, languages, state) for languages in searched_together(groups)}
    tables = {
        setting: _table(task, setting, of_setting, searches)
        for setting in SETTINGS
        if (of_setting := [group for group in groups if group.setting == setting])
    }
    distributed.on_first_rank(lambda: shutil.rmtree(state, ignore_errors=True))
    return TaskResult(task.name, task.provenance(), tables)


def complete(task: CorpusTask, pairs: set[tuple[str, str]]) -> list[str]:
    """The query languages of the multilingual setting: those that have relevant passages in each of several corpora.
    Others would miss the answers in their pool. pairs: query and passage languages with relevant passages."""
    if len(task.corpora) < 2:
        return []
    return [language for language in task.asked if all((language, corpus) in pairs for corpus in task.corpora)]


def searched_together(groups: Sequence[Group]) -> list[Languages]:
    """The corpora of each search: one at a time, unless a pool holds several."""
    pools = sorted({group.pool for group in groups}, key=lambda pool: (-len(pool), pool))
    return pools[:1] if len(pools[0]) > 1 else pools


@dataclass(frozen=True)
class Counts:
    """scores: (Q, R) float64 of the relevant passages, -inf where there is none. below: (corpora, Q, R), how many
    passages of each corpus score less. cut: of the passages' texts, as far as they were counted."""

    scores: Floats
    below: NDArray[np.int64]
    cut: Cut


def _search(
    task: CorpusTask, encode: Encode, queries: Tensor, languages: Languages, state: Path
) -> tuple[Relevant, Counts]:
    """Encode and search some corpora, unless an evaluation that was stopped has done so.

    queries: (N, D) float32 on the grid. state: the folder of the counts. Rank 0 searches, since it has the files; the
    ranks meet after each shard, so that none waits for longer than a shard takes.
    """
    relevant = relevant_in(task, languages)
    path = state / f"{'-'.join(languages)}.npz"
    if counts := distributed.on_first_rank(lambda: _load(path)):
        if isinstance(encode, CountsCutTexts):
            encode.count(counts.cut, "passage")
        return relevant, counts
    corpora = [
        SearchedCorpus(task.corpora[language], task.censuses[language], f"task {task.name}: corpus {language}")
        for language in languages
    ]
    vectors = queries[relevant.rows]
    with encoded(corpora, encode, vectors.shape[1], shard_size=task.shard_size, keep=task.keep_vectors) as stored:
        scores = distributed.on_first_rank(partial(_scores, vectors, relevant, stored))
        below = distributed.on_first_rank(partial(_left_out, task, vectors, scores, relevant, stored))
        for corpus, shards in enumerate(stored):
            for shard in range(shards.num_shards):
                distributed.on_first_rank(partial(_count, vectors, scores, shards, shard, below[corpus]))
        counts = distributed.on_first_rank(lambda: Counts(scores, below, _cut(stored)))
        distributed.on_first_rank(lambda: _save(path, counts))
    return relevant, counts


def relevant_in(task: CorpusTask, languages: Languages) -> Relevant:
    """What the task's qrels call relevant in the corpora of some languages, of the queries that count."""
    return Relevant.of(
        languages,
        [
            (
                language,
                query,
                [
                    (corpus, task.censuses[other].positions.get(passage, -1), grade)
                    for corpus, other in enumerate(languages)
                    for passage, grade in task.qrels.get((language, other), {}).get(query, {}).items()
                    if grade > 0
                ],
            )
            for language, queries in task.asked.items()
            for query in queries
        ],
    )


def _scores(queries: Tensor, relevant: Relevant, stored: Sequence[VectorShards]) -> Floats:
    scores = np.full(relevant.positions.shape, -np.inf)
    for corpus, shards in enumerate(stored):
        here = (relevant.pools == corpus) & (relevant.positions >= 0)
        if here.any():
            rows = np.nonzero(here)[0]
            scores[here] = exact_scores(queries[rows], shards.at(relevant.positions[here])).numpy()
    return scores


def _left_out(
    task: CorpusTask, queries: Tensor, scores: Floats, relevant: Relevant, stored: Sequence[VectorShards]
) -> NDArray[np.int64]:
    """(corpora, Q, R): 1 where the passage with the query's own id, if it is left out, scores no less: counted as one
    that scores less, it is behind all others."""
    counts = np.zeros((len(stored), *scores.shape), np.int64)
    if task.ignore_identical_ids:
        for corpus, (language, shards) in enumerate(zip(relevant.languages, stored, strict=True)):
            known = task.censuses[language].positions
            positions = np.array([known.get(query, -1) for query in relevant.query_ids], np.int64)
            rows = np.flatnonzero(positions >= 0)
            if len(rows):
                own = exact_scores(queries[rows], shards.at(positions[rows])).numpy()
                counts[corpus, rows] = own[:, None] >= scores[rows]
    return counts


def _count(queries: Tensor, scores: Floats, shards: VectorShards, shard: int, below: NDArray[np.int64]) -> None:
    below += count_below(queries, shards.vectors(shard), torch.from_numpy(scores)).numpy()


def _cut(stored: Sequence[VectorShards]) -> Cut:
    return sum((shards.cut(range(shards.num_shards)) for shards in stored), Cut())


def _load(path: Path) -> Counts | None:
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        return Counts(arrays["scores"], arrays["below"], Cut(**json.loads(str(arrays["cut"]))))


def _save(path: Path, counts: Counts) -> None:
    with atomic_write(path) as partial_file:
        np.savez(partial_file, scores=counts.scores, below=counts.below, cut=json.dumps(asdict(counts.cut)))


def _table(
    task: CorpusTask,
    setting: str,
    groups: Sequence[Group],
    searches: Mapping[Languages, tuple[Relevant, Counts]],
) -> PerQueryTable:
    """The values of every query of a setting, by group."""
    metric = PerQueryMetric({**metrics_of(setting), **(PREFERENCE_BY_RANK if setting == MULTILINGUAL else {})})
    for number, group in enumerate(groups):
        relevant, counts = next(search for languages, search in searches.items() if set(group.pool) <= set(languages))
        below = counts.below[[relevant.languages.index(language) for language in group.pool]].sum(axis=0)
        pool_size = sum(task.censuses[language].num_passages for language in group.pool)
        queries, ranking = relevant.ranking(group, counts.scores, below, pool_size)
        metric.update(ranking, number, relevant.rows[queries])
    ids = [query for queries in task.asked.values() for query in queries]
    pairs = [(group.query_language, group.passage_language) for group in groups]
    return PerQueryTable.collected(metric, pairs, [ids] * len(groups))
