"""A benchmark over another index: the same questions and judgements, with something done to the passages first."""

from dataclasses import replace

from mixlingua.evaluation.task import RetrievalTask
from mixlingua.retrieval.expansion import NeighbourExpansion
from mixlingua.retrieval.indexing import Indexing
from mixlingua.retrieval.localized_centring import LocalizedCentring


def indexed(
    task: RetrievalTask,
    suffix: str,
    context_weight: float = 0.0,
    expansion: NeighbourExpansion | None = None,
    centring: LocalizedCentring | None = None,
) -> RetrievalTask:
    """The task as NAME_suffix: the same questions, passages and judgements, in the same settings, another index.

    context_weight, expansion, centring: as `Indexing` takes them. There is one index of all languages; monolingual and
    cross-lingual questions search its passages in one language. Raises DataError where the task cannot have it:
    an expansion of one language, or contexts of passages that are no parts of a text.
    """
    indexing = Indexing(context_weight, expansion, centring)
    return replace(task, name=f"{task.name}_{suffix}", note=f"{task.note} {indexing.note}".rstrip(), indexing=indexing)
