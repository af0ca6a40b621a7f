"""Ours given to mteb (Muennighoff et al. 2022, arXiv 2210.07316): an encoder, and a benchmark's pool of all languages.

Needs the extra "mteb", which is imported where it is used. `evaluation/benchmarks/mteb.py` is the other way round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixlingua.data.rows import Side
from mixlingua.errors import DataError
from mixlingua.evaluation.results import TOP
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.model.encoder import BiEncoder
from mixlingua.retrieval.encode import encode

if TYPE_CHECKING:
    from mteb.abstasks.retrieval import AbsTaskRetrieval


class MtebEncoder:
    """An encoder for `mteb.evaluate`, with its own prefixes: queries as queries, all else as passages.

    encoder: as `mixlingua.load_encoder(...).module` gives it. name, revision: as they stand in mteb's results.
    """

    def __init__(
        self, encoder: BiEncoder, name: str = "mixlingua/encoder", revision: str = "0", token_budget: int = 2048
    ) -> None:
        self.encoder, self.token_budget = encoder, token_budget
        self._name, self._revision = name, revision

    @property
    def mteb_model_meta(self) -> Any:
        """What mteb writes about the model."""
        from mteb.models.model_meta import ModelMeta

        return ModelMeta.create_empty({"name": self._name, "revision": self._revision})

    def encode(self, inputs: Any, *, prompt_type: Any = None, **_: Any) -> Any:
        """(N, D) float32. inputs: batches with the key text; prompt_type: mteb's, a query or not."""
        side: Side = "query" if prompt_type is not None and prompt_type.value == "query" else "passage"
        texts = [text for batch in inputs for text in batch["text"]]
        return encode(self.encoder, texts, side, token_budget=self.token_budget, precision="32-true").numpy()

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """(N, M) inner products."""
        import torch

        return torch.as_tensor(embeddings1) @ torch.as_tensor(embeddings2).T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """(N,) inner products of rows."""
        import torch

        return (torch.as_tensor(embeddings1) * torch.as_tensor(embeddings2)).sum(dim=1)


def as_mteb_task(task: RetrievalTask) -> AbsTaskRetrieval:
    """A task's multilingual setting for `mteb.evaluate`: a subset for each query language, over the pool of all.

    Asked for in embeddings-benchmark/mteb issue 1625. Beside mteb's scores each subset has own_language_excess_at_10:
    the share of the query's language among the first ten passages minus its share of the pool (docs/bias.md). Raises
    DataError for what mteb cannot do: a task that leaves out passages from some queries' pools, transforms vectors, or
    encodes its passages as queries.
    """
    from babel.core import get_global
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.languages import ISO_TO_LANGUAGE

    from mixlingua.languages import script

    if task.excluded or task.transforms.context_weight or task.transforms.joining or task.transforms.hub_correction:
        raise DataError(f"task {task.name}: mteb cannot leave out a query's own passage, nor transform vectors.")
    if task.symmetric:
        raise DataError(f"task {task.name}: its passages are encoded as queries, and mteb encodes them as documents.")
    language_of = {key: language for language, texts in task.passages.items() for key in texts}
    pool = Dataset.from_list(
        [{"id": key, "text": text, "title": ""} for texts in task.passages.values() for key, text in texts.items()]
    )
    shares = {language: number / len(language_of) for language, number in task.num_passages.items()}
    # ISO 639-3 as mteb knows it, of the codes that stand for one of ISO 639-1; CLDR has none for tl, sh and tw.
    three_letters = {"tl": "tgl", "sh": "hbs", "tw": "twi"} | {
        short: long for long, short in get_global("language_aliases").items() if long in ISO_TO_LANGUAGE
    }
    codes = {code: f"{three_letters[code.partition('-')[0]]}-{script(code)}" for code in task.languages}
    description = f"{task.name}: queries in each language over one pool of passages in all languages. {task.note}"

    class MixedPool(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name=f"{task.name}_mixed_pool",
            description=description,
            dataset={"path": task.name, "revision": task.revision},
            type="Retrieval",
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs={language: [code] for language, code in codes.items()},
            main_score="ndcg_at_10",
            reference=None, date=None, domains=None, task_subtypes=None, license=None, annotations_creators=None,
            dialect=None, sample_creation=None, bibtex_citation=None,
        )  # fmt: skip

        def load_data(self, num_proc: int | None = None, **_: Any) -> None:
            self.dataset = {
                language: {
                    "test": {
                        "corpus": pool,
                        "queries": Dataset.from_list([{"id": key, "text": text} for key, text in texts.items()]),
                        "relevant_docs": {key: dict(grades) for key, grades in task.qrels[language].items()},
                        "top_ranked": None,
                    }
                }
                for language, texts in task.queries.items()
            }
            self.data_loaded = True

        def task_specific_scores(
            self, scores: Any, qrels: Any, results: Any, hf_split: str, hf_subset: str
        ) -> dict[str, float]:
            if hf_subset not in shares:
                return {}
            firsts = [sorted(found, key=found.get, reverse=True)[:TOP] for found in results.values()]
            own = [np.mean([language_of[key] == hf_subset for key in first]) for first in firsts]
            return {f"own_language_excess_at_{TOP}": float(np.mean(own) - shares[hf_subset])}

    return MixedPool()
