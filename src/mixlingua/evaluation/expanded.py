"""A benchmark over passages that are joined with their neighbours in other languages."""

from dataclasses import replace

from mixlingua.evaluation.task import RetrievalTask
from mixlingua.retrieval.expansion import NeighbourExpansion


def expanded(task: RetrievalTask, expansion: NeighbourExpansion) -> RetrievalTask:
    """The task as NAME_expanded: the same questions, passages and judgements, in the same settings.

    One index of all languages is joined; monolingual and cross-lingual questions search its passages in one language.
    Raises DataError where all its passages are in one language.
    """
    return replace(
        task,
        name=f"{task.name}_expanded",
        note=f"{task.note} Each passage is joined with its nearest ones in other languages, before it is searched.",
        expansion=expansion,
    )
