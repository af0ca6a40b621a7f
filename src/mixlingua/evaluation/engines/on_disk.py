"""Evaluating an encoder on corpora of any size: encode to disk, count shard by shard, keep one value per query."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixlingua import distributed
from mixlingua.evaluation.bias import OWN, own_ranks
from mixlingua.evaluation.corpus_tasks import CorpusTask
from mixlingua.evaluation.metrics import Floats, Metrics, metrics_of, ranks_from_counts
from mixlingua.evaluation.results import ALL_LANGUAGES, SETTINGS, PerQueryTable, TaskResult
from mixlingua.files import atomic_write, cache_dir, content_hash
from mixlingua.retrieval.encode import Encode, check_vectors
from mixlingua.retrieval.search import count_below, exact_scores, on_grid
from mixlingua.retrieval.shards import Part, VectorShards, encoded

logger = logging.getLogger(__name__)


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


MONOLINGUAL, CROSSLINGUAL, MULTILINGUAL = SETTINGS

Languages = tuple[str, ...]  # those of corpora that are searched together
Results = Mapping[Languages, tuple[Relevant, Found]]


@dataclass(frozen=True)
class Cell:
    """The queries of a language against one pool. pool: the languages of its corpora."""

    setting: str
    query_language: str
    passage_language: str
    pool: Languages


def cells_of(task: CorpusTask) -> list[Cell]:
    """Monolingual and cross-lingual: a cell for every pair of languages with relevant passages. Multilingual: one for
    every query language that has them in each of several corpora; others would miss the answers in their pool."""
    pairs = sorted(
        pair
        for pair, judgements in task.qrels.items()
        if any(grade > 0 for grades in judgements.values() for grade in grades.values())
    )
    cells = [Cell(MONOLINGUAL if a == b else CROSSLINGUAL, a, b, (b,)) for a, b in pairs]
    corpora = tuple(sorted(task.corpora))
    if len(corpora) > 1:
        whole = [language for language in task.asked if all((language, other) in pairs for other in corpora)]
        cells += [Cell(MULTILINGUAL, language, ALL_LANGUAGES, corpora) for language in whole]
    return cells


def searched_together(cells: Sequence[Cell]) -> list[Languages]:
    """The corpora of each search: one at a time, unless a pool holds several."""
    pools = sorted({cell.pool for cell in cells}, key=lambda pool: (-len(pool), pool))
    return pools[:1] if len(pools[0]) > 1 else pools


def tables_of(task: CorpusTask, cells: Sequence[Cell], results: Results) -> dict[str, PerQueryTable]:
    """The values of every query by setting, from what was found in the corpora."""
    by_setting = {setting: [cell for cell in cells if cell.setting == setting] for setting in SETTINGS}
    return {setting: _table(task, setting, own, results) for setting, own in by_setting.items() if own}


def _table(task: CorpusTask, setting: str, cells: Sequence[Cell], results: Results) -> PerQueryTable:
    metrics: Metrics = {**metrics_of(setting), **(OWN if setting == MULTILINGUAL else {})}
    ids: list[str] = []
    pairs: list[tuple[str, str]] = []
    values: dict[str, list[Floats]] = {name: [] for name in metrics}
    for cell in cells:
        relevant, found = next(part for languages, part in results.items() if set(cell.pool) <= set(languages))
        pool = [relevant.languages.index(language) for language in cell.pool]
        inside = np.isin(relevant.corpora, pool) & (relevant.query_languages == cell.query_language)[:, None]
        rows = np.flatnonzero(inside.any(axis=1))
        scores, grades = np.where(inside, found.scores, -np.inf)[rows], np.where(inside, relevant.grades, 0.0)[rows]
        pool_size = sum(task.censuses[language].num_passages for language in cell.pool)
        ranks = ranks_from_counts(scores, found.below[pool].sum(axis=0)[rows], grades, pool_size)
        if setting == MULTILINGUAL:
            languages = np.array([*relevant.languages, ""])  # the last one: of unused places, -1
            ranks = own_ranks(ranks, scores, grades, languages[relevant.corpora[rows]] == cell.query_language)
        ids += [relevant.query_ids[row] for row in rows.tolist()]
        pairs += [(cell.query_language, cell.passage_language)] * len(rows)
        for name, metric in metrics.items():
            values[name].append(metric(ranks))
    return PerQueryTable(
        query_ids=ids,
        query_languages=[query_language for query_language, _ in pairs],
        passage_languages=[passage_language for _, passage_language in pairs],
        values={name: np.concatenate(parts) for name, parts in values.items()},
    )


def evaluate(task: CorpusTask, encode: Encode) -> TaskResult:
    """Rank every query's whole pool in each setting that the qrels allow, and measure it.

    The vectors of a corpus go to disk, and are removed once it is searched unless the task keeps them. An evaluation
    that was stopped goes on where it was: shards that are there are not encoded again, nor are corpora that were
    searched. Every rank must call this; all get one result. Raises what `encode_corpus` raises, and StorageError before
    anything is encoded where the disk has too little room.
    """
    cells = cells_of(task)
    work = cache_dir() / "vectors" / f"{task.name}-{content_hash(encode.fingerprint, task.revision)[:24]}"
    queries = _encode_queries(task, encode)
    results = {languages: _find(task, encode, queries, languages, work) for languages in searched_together(cells)}
    tables = tables_of(task, cells, results)
    distributed.on_first_rank(lambda: shutil.rmtree(work, ignore_errors=True))
    return TaskResult(task.name, task.provenance(), tables)


def _encode_queries(task: CorpusTask, encode: Encode) -> Tensor:
    texts = [task.queries[language][query] for language, queries in task.asked.items() for query in queries]
    return on_grid(check_vectors(encode(texts, "query"), len(texts), "query", f"task {task.name}"))


def _find(
    task: CorpusTask, encode: Encode, queries: Tensor, languages: Languages, work: Path
) -> tuple[Relevant, Found]:
    """Encode and search some corpora, unless an evaluation that was stopped has done so."""
    relevant = relevant_in(task, languages)
    path = work / f"{'-'.join(languages)}.npz"
    if known := distributed.on_first_rank(lambda: _load(path)):
        return relevant, known
    parts = [
        Part(task.corpora[language], task.censuses[language], f"task {task.name}: corpus {language}")
        for language in languages
    ]
    dim = queries.shape[1]
    with encoded(parts, encode, dim, shard_size=task.shard_size, keep=task.keep_vectors) as shards:
        found = search(queries[relevant.rows], relevant, shards)
        distributed.on_first_rank(lambda: _save(path, found))
    return relevant, found


def _load(path: Path) -> Found | None:
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        return Found(arrays["scores"], arrays["below"])


def _save(path: Path, found: Found) -> None:
    with atomic_write(path) as partial:
        np.savez(partial, scores=found.scores, below=found.below)
