"""A benchmark of questions in several languages over one corpus, in which a passage is right if it has an answer."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mixlingua.evaluation.answer_ranks import find_first_answers
from mixlingua.evaluation.corpus_census import LOCAL
from mixlingua.evaluation.corpus_vectors import Part, encoded
from mixlingua.evaluation.metrics import SUCCESS, Floats, RelevantRanks
from mixlingua.evaluation.results import PerQueryTable, TaskResult
from mixlingua.files import cache_dir, content_hash
from mixlingua.languages import check_language
from mixlingua.model import distributed
from mixlingua.retrieval.census import Census, take_census
from mixlingua.retrieval.corpus import Corpus
from mixlingua.retrieval.encode import Encode, check_vectors
from mixlingua.retrieval.exact import on_grid

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnswerTask:
    """N questions, each in L languages, over one corpus of any size. Making one reads no corpus; `evaluate` and
    `provenance` do.

    release: what the revision begins with. queries: language -> question -> text; answers: question -> its answers in
    the language of the corpus; every language has every question, in the order of `answers`. Every question counts,
    also one that no passage answers: it is never found. corpus: as it is encoded; judged: the same passages with the
    texts that answers are looked for in. published: passages of the released corpus. shard_size, keep_vectors: as in
    `CorpusTask`. files: SHA-256 by name of the files with questions and answers.
    """

    name: str
    release: str
    licence: str
    note: str
    queries: Mapping[str, Mapping[str, str]]
    answers: Mapping[str, Sequence[str]]
    corpus: Corpus
    judged: Corpus
    corpus_language: str
    published: int
    shard_size: int
    keep_vectors: bool
    files: Mapping[str, str]
    main_metric: str = "success_at_100"

    def __post_init__(self) -> None:
        for language, own in self.queries.items():
            check_language(language, f"task {self.name}")
            assert list(own) == list(self.answers)

    @property
    def where(self) -> str:
        """What to call the corpus in messages."""
        return f"task {self.name}: corpus {self.corpus_language}"

    @cached_property
    def census(self) -> Census:
        """What reading the corpus once found. Raises DataError as `take_census` does."""
        return take_census(self.corpus, (), self.where)

    @cached_property
    def revision(self) -> str:
        """Changes whenever a score may change; reads the corpus. "local-...", with a warning, where the corpus has
        another number of passages than the released one."""
        found = self.census.num_passages
        if found != self.published:
            logger.warning(
                "task %s: not the released corpus: it has %s passages instead of %s; scores compare with no published "
                "figure", self.name, f"{found:,}", f"{self.published:,}",
            )  # fmt: skip
        content = json.dumps(
            [self.queries, self.answers, self.census.identity, self.judged == self.corpus], sort_keys=True
        )
        return f"{self.release if found == self.published else LOCAL}-{content_hash(content)[:16]}"

    @property
    def size(self) -> str:
        """How much there is to encode, for the plan of a run."""
        return (
            f"{len(self.answers):,} questions in {len(self.queries)} languages, passages from "
            f"{self.corpus.size / 1e9:.2f} GB of files"
        )

    def evaluate(self, encode: Encode) -> TaskResult:
        """Rank the whole corpus for each question in each language; every rank must call this.

        An evaluation that was stopped goes on where it was. Raises what `encoded` and `find_first_answers` raise.
        """
        texts = [own[question] for question in self.answers for own in self.queries.values()]
        vectors = on_grid(check_vectors(encode(texts, "query"), len(texts), "query", f"task {self.name}"))
        queries = vectors.unflatten(0, (len(self.answers), len(self.queries)))
        part = Part(self.corpus, self.census, self.where)
        path = self._state(encode)
        dim = vectors.shape[1]
        with encoded([part], encode, dim, shard_size=self.shard_size, keep=self.keep_vectors) as (shards,):
            found = find_first_answers(self, queries, shards, path)
            distributed.on_first_rank(path.unlink)
        return TaskResult(self.name, self.provenance(), self._tables(found.ranks(self.census.num_passages)))

    def provenance(self) -> dict[str, object]:
        """What identifies the data, as plain values; reads the corpus."""
        return {
            "revision": self.revision,
            "licence": self.licence,
            "note": self.note,
            "languages": sorted({*self.queries, self.corpus_language}),
            "main_metric": self.main_metric,
            "num_queries": {language: len(own) for language, own in sorted(self.queries.items())},
            "num_candidates": {self.corpus_language: self.census.num_passages},
            "files": {**self.files, f"corpus {self.corpus_language}": self.census.identity},
        }

    def _state(self, encode: Encode) -> Path:
        key = content_hash(encode.fingerprint, self.revision, str(self.shard_size))
        return cache_dir() / "vectors" / f"{self.name}-{key[:24]}.npz"

    def _tables(self, ranks: Floats) -> dict[str, PerQueryTable]:
        """ranks: (N, L). Questions in the language of the corpus are monolingual, the others cross-lingual."""
        settings = {
            "monolingual": [language for language in self.queries if language == self.corpus_language],
            "crosslingual": sorted(language for language in self.queries if language != self.corpus_language),
        }
        return {setting: self._table(ranks, languages) for setting, languages in settings.items() if languages}

    def _table(self, ranks: Floats, languages: Sequence[str]) -> PerQueryTable:
        columns = [list(self.queries).index(language) for language in languages]
        first = ranks[:, columns].T.reshape(-1, 1)
        result = RelevantRanks(first, np.ones_like(first), self.census.num_passages)
        return PerQueryTable(
            query_ids=[question for _ in languages for question in self.answers],
            query_languages=[language for language in languages for _ in self.answers],
            passage_languages=[self.corpus_language] * len(first),
            values={name: metric(result) for name, metric in SUCCESS.items()},
        )
