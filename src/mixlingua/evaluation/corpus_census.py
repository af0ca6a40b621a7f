"""What reading a task's corpora once says about its judgements, and the revision that follows from it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from mixlingua.errors import DataError
from mixlingua.files import content_hash
from mixlingua.retrieval.census import Census, take_census
from mixlingua.retrieval.corpus import Pool

if TYPE_CHECKING:
    from mixlingua.evaluation.corpus_task import CorpusTask

LOCAL = "local"  # what the revision of data begins with that are not those of a public release

logger = logging.getLogger(__name__)


def census_of(task: CorpusTask, language: str) -> Census:
    """Read a corpus. Judged passages that it lacks are reported; a relevant one counts as never found, as in trec_eval.

    Raises DataError as `take_census` does, where the corpus has none of the passages that are relevant in it, and where
    it lacks passages that only the pool names.
    """
    where = f"task {task.name}: corpus {language}"
    grades: dict[str, int] = {}
    for (_, passage_language), judgements in task.qrels.items():
        if passage_language == language:
            for own in judgements.values():
                for passage, grade in own.items():
                    grades[passage] = max(grade, grades.get(passage, grade))
    corpus = task.corpora[language]
    pool = corpus.ids if isinstance(corpus, Pool) else frozenset()
    census = take_census(corpus, grades.keys() | pool, where)
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
    return census


def revision_of(task: CorpusTask) -> str:
    """The task's release with a hash of its queries, judgements and passages.

    "local-..." instead, with a warning, where a corpus has another number of passages than the released one.
    """
    others = [
        f"{language} has {census.num_passages:,} instead of {task.published[language]:,}"
        for language, census in task.censuses.items()
        if census.num_passages != task.published.get(language, census.num_passages)
    ]
    if others:
        logger.warning(
            "task %s: not the released corpora by numbers of passages (%s); scores compare with no published figure",
            task.name, ", ".join(others),
        )  # fmt: skip
    queries = [
        (language, query, task.queries[language][query]) for language, ids in task.asked.items() for query in ids
    ]
    qrels = sorted((*pair, judgements) for pair, judgements in task.qrels.items())
    corpora = [(language, census.identity) for language, census in task.censuses.items()]
    content = json.dumps([queries, qrels, corpora], sort_keys=True)
    return f"{LOCAL if others else task.release}-{content_hash(content)[:16]}"
