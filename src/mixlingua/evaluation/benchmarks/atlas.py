"""The embedded atlas benchmark: questions about countries, currencies, languages and scripts never seen in training."""

from mixlingua.data.atlas import LICENCE, REVISION, evaluation_part
from mixlingua.evaluation.tasks import RetrievalTask


def atlas() -> RetrievalTask:
    """The evaluation part of the atlas data: parallel questions, one relevant passage in every language."""
    part = evaluation_part()
    languages = list(part.queries)
    return RetrievalTask(
        name="atlas",
        revision=REVISION,
        licence=LICENCE,
        note="Generated from CLDR data with templates; split by entity. Easier than text that people wrote.",
        queries=part.queries,
        passages={
            language: {f"{language}:{passage}": text for passage, text in part.passages[language].items()}
            for language in languages
        },
        qrels={
            language: {
                query: {
                    f"{other}:{part.relevant[query]}": 1
                    for other in languages
                    if part.relevant[query] in part.passages[other]
                }
                for query in part.queries[language]
            }
            for language in languages
        },
    )
