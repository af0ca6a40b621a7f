"""Benchmarks over corpora of any size: streamed passages, with graded judgements or with answers to look for."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mixlingua.errors import DataError, check_whole, choice_problems
from mixlingua.evaluation.metrics import QUALITY
from mixlingua.evaluation.tasks import described, refuse_problems
from mixlingua.files import content_hash
from mixlingua.languages import check_language
from mixlingua.retrieval.corpus import Census, Corpus, SubCorpus, take_census

Queries = Mapping[str, str]  # id -> text
Judgements = Mapping[str, Mapping[str, int]]  # query id -> passage id -> grade; above 0 is relevant

LOCAL = "local"  # what the revision of data begins with that are not those of a public release
SHARD_SIZE = 16_384  # passages; their vectors in 384 dimensions are 24 MiB

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CorpusTask:
    """A retrieval benchmark over corpora of any size. Making one reads no corpus; its engine and `provenance` do.

    release: what the revision begins with. queries and corpora: by language. qrels: by query and passage language; they
    decide the settings (`engines.on_disk.groups_of`). published: how many passages the released corpora have, by
    language, where known. shard_size: passages encoded and stored together, which decides memory and no result.
    keep_vectors: leave the vectors in the cache. ignore_identical_ids: a query cannot find the passage that has its own
    id, in the corpus of any language: queries are passages too, and would find themselves. files: SHA-256 by name of
    the files with queries and judgements.

    Raises DataError where qrels name a language without queries or corpus, or an unknown query, or call no passage
    relevant, or one that ignore_identical_ids leaves out; ConfigError for a shard_size that is no number of passages.
    """

    name: str
    release: str
    licence: str
    note: str
    queries: Mapping[str, Queries]
    corpora: Mapping[str, Corpus]
    qrels: Mapping[tuple[str, str], Judgements]
    main_metric: str
    shard_size: int = SHARD_SIZE
    keep_vectors: bool = False
    ignore_identical_ids: bool = False
    published: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_whole(f"task {self.name}: shard_size", self.shard_size, 1)
        refuse_problems(self.name, _problems(self))

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
        """The release with a hash of queries, judgements and passages; reads the corpora. "local-..." instead, with a
        warning, where a corpus has another number of passages than the released one."""
        queries = [
            (language, query, self.queries[language][query]) for language, ids in self.asked.items() for query in ids
        ]
        qrels = sorted((*pair, judgements) for pair, judgements in self.qrels.items())
        corpora = [(language, census.identity) for language, census in self.censuses.items()]
        rules = ["ignore_identical_ids"] if self.ignore_identical_ids else []
        sizes = {
            language: (census.num_passages, self.published.get(language, census.num_passages))
            for language, census in self.censuses.items()
        }
        return _revision(self.name, self.release, sizes, [queries, qrels, corpora, *rules])

    @property
    def size(self) -> str:
        """How much there is to encode, for the plan of a run."""
        queries = sum(map(len, self.asked.values()))
        gigabytes = sum(corpus.size for corpus in self.corpora.values()) / 1e9
        return f"{queries:,} queries, passages from {gigabytes:.2f} GB of files in {len(self.corpora)} languages"

    def provenance(self) -> dict[str, object]:
        """What identifies the data, as plain values; reads the corpora."""
        num_queries = {language: len(queries) for language, queries in self.asked.items()}
        num_passages = {language: census.num_passages for language, census in self.censuses.items()}
        corpora = {f"corpus {language}": census.identity for language, census in self.censuses.items()}
        about = described(self, num_queries, num_passages, ignore_identical_ids=self.ignore_identical_ids)
        return {**about, "files": {**self.files, **corpora}}


def _problems(task: CorpusTask) -> Iterator[str]:
    for language in sorted({*task.queries, *task.corpora}):
        check_language(language, f"task {task.name}")
    yield from choice_problems("main_metric", task.main_metric, QUALITY)
    for (queries, passages), judgements in task.qrels.items():
        if queries not in task.queries or passages not in task.corpora:
            yield f"qrels {queries}-{passages} need queries in {queries} and a corpus in {passages}"
        elif unknown := sorted(set(judgements) - set(task.queries[queries])):
            yield f"qrels {queries}-{passages} name {len(unknown)} unknown queries, such as '{unknown[0]}'"
        elif task.ignore_identical_ids and (own := [q for q, grades in judgements.items() if grades.get(q, 0) > 0]):
            yield (
                f"qrels {queries}-{passages} call the passage with the query's own id relevant for {len(own)} queries, "
                f"such as '{own[0]}', but it is left out. Use ignore_identical_ids=false where it is another text"
            )
    if not any(g > 0 for judgements in task.qrels.values() for grades in judgements.values() for g in grades.values()):
        yield "no query has a relevant passage"


def census_of(task: CorpusTask, language: str) -> Census:
    """Read a corpus. Judged passages that it lacks are reported; a relevant one counts as never found, as in trec_eval.

    Raises DataError as `take_census` does, where the corpus has none of the passages that are relevant in it, and where
    it lacks passages that only the pool names.
    """
    where = f"task {task.name}: corpus {language}"
    grades: dict[str, int] = {}
    for (_, passage_language), judgements in task.qrels.items():
        if passage_language == language:
            for of_query in judgements.values():
                for passage, grade in of_query.items():
                    grades[passage] = max(grade, grades.get(passage, grade))
    corpus = task.corpora[language]
    pool = corpus.ids if isinstance(corpus, SubCorpus) else frozenset()
    asked = {query: task.queries[queries][query] for queries, ids in task.asked.items() for query in ids}
    census = take_census(corpus, grades.keys() | pool | asked.keys(), where)
    if unknown := sorted(pool - grades.keys() - census.positions.keys()):
        raise DataError(
            f"{where}: lacks {len(unknown)} of {len(pool)} passages of the pool, such as '{unknown[0]}'. Is the pool "
            "that of another corpus?"
        )
    relevant = [passage for passage, grade in grades.items() if grade > 0]
    lost = [passage for passage in grades if passage not in census.positions]
    lost_relevant = [passage for passage in relevant if passage not in census.positions]
    if relevant and len(lost_relevant) == len(relevant):
        raise DataError(
            f"{where}: has none of the {len(relevant)} passages that the qrels call relevant, such as "
            f"'{lost_relevant[0]}'. Is it the corpus that they were made for?"
        )
    if lost:
        logger.warning(
            "%s: lacks %d of %d judged passages, %d of them relevant, such as '%s'; relevant ones count as never found",
            where, len(lost), len(grades), len(lost_relevant), (lost_relevant or lost)[0],
        )  # fmt: skip
    judged = {query for (_, of), part in task.qrels.items() if of == language for query in part if query in part[query]}
    candidates = {query: text for query, text in asked.items() if query in census.positions and query not in judged}
    if candidates and not task.ignore_identical_ids:
        _warn_of_queries_in(corpus, candidates, where)
    return census


def _warn_of_queries_in(corpus: Corpus, queries: Queries, where: str) -> None:
    """queries: those that have the id of a passage of the corpus, which need not have their text."""
    same = [p.id for p in corpus.passages() if p.id in queries and p.text.endswith(queries[p.id].strip())]
    if same:
        logger.warning(
            "%s: %d queries are passages too, such as '%s', and find themselves. Leave these out by "
            "ignore_identical_ids=true",
            where,
            len(same),
            same[0],
        )


def _revision(task: str, release: str, sizes: Mapping[str, tuple[int, int]], content: object) -> str:
    """sizes: by language, the number of passages and that of the released corpus. content: what scores depend on."""
    others = [
        f"{language} has {number:,} instead of {released:,}"
        for language, (number, released) in sizes.items()
        if number != released
    ]
    if others:
        logger.warning(
            "task %s: not the released corpora by numbers of passages (%s); scores compare with no published figure",
            task,
            ", ".join(others),
        )
    return f"{LOCAL if others else release}-{content_hash(json.dumps(content, sort_keys=True))[:16]}"


@dataclass(frozen=True)
class AnswerTask:
    """N questions, each in L languages, over one corpus of any size. Making one reads no corpus; its engine and
    `provenance` do.

    release: what the revision begins with. queries: language -> question -> text; answers: question -> its answers in
    the language of the corpus; every language has every question, in the order of `answers`. Every question counts,
    also one that no passage answers: it is never found. corpus: as it is encoded; answer_corpus: the same passages with
    the texts that answers are looked for in. published: passages of the released corpus. shard_size, keep_vectors: as
    in `CorpusTask`. files: SHA-256 by name of the files with questions and answers.
    """

    name: str
    release: str
    licence: str
    note: str
    queries: Mapping[str, Mapping[str, str]]
    answers: Mapping[str, Sequence[str]]
    corpus: Corpus
    answer_corpus: Corpus
    corpus_language: str
    published: int
    shard_size: int = SHARD_SIZE
    keep_vectors: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    main_metric: str = "success_at_100"

    def __post_init__(self) -> None:
        check_whole(f"task {self.name}: shard_size", self.shard_size, 1)
        for language, questions in self.queries.items():
            check_language(language, f"task {self.name}")
            assert list(questions) == list(self.answers)

    @property
    def languages(self) -> tuple[str, ...]:
        """Every language of the questions or the corpus, sorted."""
        return tuple(sorted({*self.queries, self.corpus_language}))

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
        """Changes whenever a score may change, as in `CorpusTask`; reads the corpus."""
        sizes = {self.corpus_language: (self.census.num_passages, self.published)}
        content = [self.queries, self.answers, self.census.identity, self.answer_corpus == self.corpus]
        return _revision(self.name, self.release, sizes, content)

    @property
    def size(self) -> str:
        """How much there is to encode, for the plan of a run."""
        return (
            f"{len(self.answers):,} questions in {len(self.queries)} languages, passages from "
            f"{self.corpus.size / 1e9:.2f} GB of files"
        )

    def provenance(self) -> dict[str, object]:
        """What identifies the data, as plain values; reads the corpus."""
        num_queries = {language: len(questions) for language, questions in sorted(self.queries.items())}
        about = described(self, num_queries, {self.corpus_language: self.census.num_passages})
        return {**about, "files": {**self.files, f"corpus {self.corpus_language}": self.census.identity}}
