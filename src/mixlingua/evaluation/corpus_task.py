"""A benchmark whose corpora need not fit in memory: queries, streamed passages and graded judgements per language."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from mixlingua.errors import DataError, suggest
from mixlingua.evaluation.corpus_census import census_of, revision_of
from mixlingua.evaluation.corpus_evaluator import evaluate
from mixlingua.evaluation.metrics import QUALITY
from mixlingua.evaluation.results import TaskResult
from mixlingua.languages import check_language
from mixlingua.retrieval.census import Census
from mixlingua.retrieval.corpus import Corpus
from mixlingua.retrieval.encode import Encode

Queries = Mapping[str, str]  # id -> text
Judgements = Mapping[str, Mapping[str, int]]  # query id -> passage id -> grade; above 0 is relevant


@dataclass(frozen=True)
class CorpusTask:
    """A retrieval benchmark over corpora of any size. Making one reads no corpus; `evaluate` and `provenance` do.

    release: what the revision begins with. queries and corpora: by language. qrels: by query and passage language; they
    decide the settings (`cells_of`). published: how many passages the released corpora have, by language, where known.
    shard_size: passages encoded and stored together, which decides memory and no result. keep_vectors: leave the
    vectors in the cache. files: SHA-256 by name of the files with queries and judgements.

    Raises DataError where qrels name a language without queries or corpus, or an unknown query, or call no passage
    relevant.
    """

    name: str
    release: str
    licence: str
    note: str
    queries: Mapping[str, Queries]
    corpora: Mapping[str, Corpus]
    qrels: Mapping[tuple[str, str], Judgements]
    main_metric: str
    shard_size: int
    keep_vectors: bool
    published: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise DataError(f"task {self.name}: " + "; ".join(problems))

    @property
    def languages(self) -> tuple[str, ...]:
        """Every language of queries or corpora, sorted."""
        return tuple(sorted({language for pair in self.qrels for language in pair}))

    @cached_property
    def asked(self) -> dict[str, list[str]]:
        """The queries that count, by language, sorted: those with a relevant passage, in the order of `queries`."""
        answered: dict[str, set[str]] = {}
        for (language, _), judgements in self.qrels.items():
            answered.setdefault(language, set()).update(
                query for query, grades in judgements.items() if any(grade > 0 for grade in grades.values())
            )
        return {
            language: [query for query in self.queries[language] if query in answered[language]]
            for language in sorted(answered)
        }

    @cached_property
    def censuses(self) -> dict[str, Census]:
        """What reading each corpus once found, by language, sorted. Raises DataError as `census_of` does."""
        return {language: census_of(self, language) for language in sorted(self.corpora)}

    @cached_property
    def revision(self) -> str:
        """Changes whenever a score may change; reads the corpora."""
        return revision_of(self)

    @property
    def size(self) -> str:
        """How much there is to encode, for the plan of a run."""
        queries = sum(map(len, self.asked.values()))
        gigabytes = sum(corpus.size for corpus in self.corpora.values()) / 1e9
        return f"{queries:,} queries, passages from {gigabytes:.2f} GB of files in {len(self.corpora)} languages"

    def evaluate(self, encode: Encode) -> TaskResult:
        """Rank every query's whole pool in each setting; every rank must call this."""
        return evaluate(self, encode)

    def provenance(self) -> dict[str, object]:
        """What identifies the data, as plain values; reads the corpora."""
        corpora = {f"corpus {language}": census.identity for language, census in self.censuses.items()}
        return {
            "revision": self.revision,
            "licence": self.licence,
            "note": self.note,
            "languages": list(self.languages),
            "main_metric": self.main_metric,
            "num_queries": {language: len(queries) for language, queries in self.asked.items()},
            "num_candidates": {language: census.num_passages for language, census in self.censuses.items()},
            "files": {**self.files, **corpora},
        }


def _problems(task: CorpusTask) -> Iterator[str]:
    for language in sorted({*task.queries, *task.corpora}):
        check_language(language, f"task {task.name}")
    if task.shard_size < 1:
        yield f"shard_size {task.shard_size} is no number of passages; use 1 or more"
    if task.main_metric not in QUALITY:
        yield f"main_metric '{task.main_metric}' is none of {', '.join(QUALITY)}.{suggest(task.main_metric, QUALITY)}"
    for (queries, passages), judgements in task.qrels.items():
        if queries not in task.queries or passages not in task.corpora:
            yield f"qrels {queries}-{passages} need queries in {queries} and a corpus in {passages}"
        elif unknown := sorted(set(judgements) - set(task.queries[queries])):
            yield f"qrels {queries}-{passages} name {len(unknown)} unknown queries, such as '{unknown[0]}'"
    if not any(g > 0 for part in task.qrels.values() for grades in part.values() for g in grades.values()):
        yield "no query has a relevant passage"
