"""Public benchmarks over corpora: their published numbers, by which files are recognised."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mixlingua.evaluation.corpus_census import LOCAL
from mixlingua.evaluation.corpus_task import CorpusTask, Judgements, Queries
from mixlingua.evaluation.judged_files import num_judgements
from mixlingua.evaluation.pool import pooled
from mixlingua.files import sha256
from mixlingua.retrieval.corpus import Corpus

logger = logging.getLogger(__name__)


class Published(NamedTuple):
    """Numbers of a benchmark in one language."""

    queries: int
    judgements: int
    passages: int


@dataclass(frozen=True)
class Judged:
    """The queries and judgements of one language, and the files that they were read from."""

    queries: Queries
    judgements: Judgements
    files: tuple[Path, Path]


def released_task(
    name: str,
    release: str,
    *,
    judged: Mapping[str, Judged],
    corpora: Mapping[str, Corpus],
    pool: str | None,
    published: Mapping[str, Published],
    checksums: Mapping[str, str],
    note: str,
    main_metric: str,
    shard_size: int,
    keep_vectors: bool,
) -> CorpusTask:
    """A benchmark over Wikipedia whose questions are asked of the corpus in their own language.

    Queries and judgements are known for the released ones by the SHA-256 of their files (checksums: by file name), or
    by their numbers where none is known; else the revision begins with "local", with a warning. pool: as in `pooled`.
    """
    others = [language for language, part in judged.items() if not _is_published(part, published[language], checksums)]
    if others:
        logger.warning(
            "task %s: queries or judgements in %s are not the published ones; scores compare with no published figure",
            name, ", ".join(others),
        )  # fmt: skip
    qrels = {(language, language): part.judgements for language, part in judged.items()}
    return CorpusTask(
        name=name,
        release=LOCAL if others else release if pool is None else f"{release}-pool",
        licence="Apache-2.0; passages from Wikipedia, CC BY-SA",
        note=note,
        queries={language: part.queries for language, part in judged.items()},
        corpora=pooled(corpora, qrels, pool),
        qrels=qrels,
        main_metric=main_metric,
        shard_size=shard_size,
        keep_vectors=keep_vectors,
        published={language: published[language].passages for language in judged} if pool is None else {},
        files={f"{language}/{file.name}": sha256(file) for language, part in judged.items() for file in part.files},
    )


def _is_published(part: Judged, published: Published, checksums: Mapping[str, str]) -> bool:
    if all(file.name in checksums for file in part.files):
        return all(sha256(file) == checksums[file.name] for file in part.files)
    return (len(part.queries), num_judgements(part.judgements)) == (published.queries, published.judgements)
