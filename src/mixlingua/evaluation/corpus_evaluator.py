"""Evaluating an encoder on corpora of any size: encode to disk, count shard by shard, keep one value per query."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from mixlingua.evaluation.corpus_cells import Languages, cells_of, searched_together, tables_of
from mixlingua.evaluation.corpus_ranks import Found, Relevant, relevant_in, search
from mixlingua.evaluation.corpus_vectors import Part, encoded
from mixlingua.evaluation.results import TaskResult
from mixlingua.files import atomic_write, cache_dir, content_hash
from mixlingua.model import distributed
from mixlingua.retrieval.encode import Encode, check_vectors
from mixlingua.retrieval.exact import on_grid

if TYPE_CHECKING:
    from mixlingua.evaluation.corpus_task import CorpusTask


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
