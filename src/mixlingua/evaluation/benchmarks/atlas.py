"""The embedded atlas benchmark: questions about countries, currencies, languages and scripts never seen in training."""

from mixlingua.data.atlas import LICENCE, REVISION, evaluation_split
from mixlingua.evaluation.benchmarks.common import parallel_qrels, with_language
from mixlingua.evaluation.tasks import RetrievalTask


def atlas() -> RetrievalTask:
    """The evaluation part of the atlas data: parallel questions, one relevant passage in every language."""
    split = evaluation_split()
    answers = {
        language: {query: split.relevant[query] for query in queries} for language, queries in split.queries.items()
    }
    return RetrievalTask(
        name="atlas",
        revision=REVISION,
        licence=LICENCE,
        note="Generated from CLDR data with templates; split by entity. Easier than text that people wrote.",
        queries=split.queries,
        passages=with_language(split.passages),
        qrels=parallel_qrels(answers),
    )
