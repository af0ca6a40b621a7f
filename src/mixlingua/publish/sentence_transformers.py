"""For the trainer of sentence-transformers: batches of a plan, and an evaluator of every pair of languages.

    dataset = planned_dataset(plan, num_batches=500)
    arguments = SentenceTransformerTrainingArguments(..., batch_sampler=planned_batches(plan), max_steps=500,
                                                     per_device_train_batch_size=plan.batch_size)

Needs sentence-transformers and `datasets`, which mixlingua does without elsewhere. The batches are meant for one
process: with several, that trainer gives each process whole batches.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator
from torch import Tensor
from torch.utils.data import BatchSampler

from mixlingua.data.rows import Side
from mixlingua.data.store import ParallelStore
from mixlingua.errors import ConfigError
from mixlingua.evaluation.results import MACRO, Average, aggregate, share_language
from mixlingua.evaluation.suite import Task, evaluate_task
from mixlingua.files import content_hash
from mixlingua.sampling.plan import BatchPlan, PlannedBatch

if TYPE_CHECKING:
    from datasets import Dataset


def planned_dataset(plan: BatchPlan[ParallelStore], num_batches: int, num_negatives: int = 0) -> "Dataset":
    """The rows of a plan's first batches, one after the other: `anchor`, `positive`, and `negative_1`, ...

    Texts are read as they are asked for; 8 bytes a row are kept. num_negatives: of each row's negatives, as many as
    every row has, or fewer. Raises ConfigError where a source has rows with fewer.
    """
    from datasets import Dataset

    for store in plan.sources:
        if store.min_negatives < num_negatives:
            raise ConfigError(f"num_negatives={num_negatives}: '{store.name}' has rows with {store.min_negatives}.")

    def read(places: dict[str, list[int]]) -> dict[str, list[str]]:
        steps, offsets = np.divmod(np.array(places["place"]), plan.batch_size)
        columns: dict[str, list[str]] = {}
        for step in dict.fromkeys(steps.tolist()):
            batch, chosen = plan.batch(step), offsets[steps == step]
            for name, texts in _texts(plan, batch, chosen, num_negatives).items():
                columns.setdefault(name, []).extend(texts)
        return columns

    dataset = Dataset.from_dict({"place": np.arange(num_batches * plan.batch_size)})
    return dataset.with_transform(read)


def _texts(
    plan: BatchPlan[ParallelStore], batch: PlannedBatch, chosen: Any, num_negatives: int
) -> dict[str, list[str]]:
    store, rows = plan.sources[batch.source_index], batch.rows[chosen].tolist()
    query_languages, passage_languages = (
        [languages[place] for place in chosen] for languages in (batch.query_languages, batch.passage_languages)
    )
    columns = {
        "anchor": store.texts(rows, "query", query_languages),
        "positive": store.texts(rows, "passage", passage_languages),
    }
    if num_negatives:
        negatives, start = store.negatives(rows, passage_languages), batch.index * num_negatives
        for number in range(num_negatives):
            columns[f"negative_{number + 1}"] = [texts[(start + number) % len(texts)] for texts in negatives]
    return columns


class _PlannedBatches(BatchSampler):
    """Batch i is the rows of batch i of the plan. Every epoch begins at batch 0: use max_steps, and one epoch."""

    def __init__(self, num_batches: int, batch_size: int) -> None:
        super().__init__(range(num_batches * batch_size), batch_size, drop_last=True)

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield list(range(start, start + self.batch_size))


def planned_batches(plan: BatchPlan[ParallelStore]) -> Callable[..., BatchSampler]:
    """What `SentenceTransformerTrainingArguments(batch_sampler=...)` takes, for a data set of `planned_dataset`.

    The sampler that it makes raises ConfigError where the trainer's batch size is not the plan's.
    """

    def make(dataset: Any, batch_size: int, **_: Any) -> BatchSampler:
        if batch_size != plan.batch_size or len(dataset) % batch_size:
            raise ConfigError(
                f"per_device_train_batch_size={batch_size}: the plan's batches have {plan.batch_size} rows. Set it to "
                "this, and take the data set from planned_dataset."
            )
        return _PlannedBatches(len(dataset) // batch_size, batch_size)

    return make


class LanguagePairEvaluator(SentenceEvaluator):
    """Evaluates a SentenceTransformer on a benchmark of mixlingua: every pair of languages, the mixed pool, the bias.

    task: a benchmark, such as `mixlingua.benchmark("xquad_r")`. average: over languages ("macro") or queries ("micro").
    pairs: whether each pair of languages has its main metric among the figures, as "xquad_r_de_en_map". batch_size: of
    texts that the model encodes at once.

    Queries are encoded by the model's `encode_query`, passages by `encode_document`, with its own prompts, to length
    one. The primary metric is the main metric of the multilingual setting, or of the first setting that there is.
    """

    def __init__(self, task: Task, *, average: Average = MACRO, pairs: bool = True, batch_size: int = 32) -> None:
        super().__init__()
        self.task, self.average, self.pairs, self.batch_size = task, average, pairs, batch_size
        self.csv_file = f"{task.name}_language_pairs.csv"

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """The figures by name, such as "atlas_multilingual_map". output_path: a folder for a CSV file of the pairs, to
        which every call adds its rows."""
        result = evaluate_task(self.task, _Encode(model, self.batch_size))
        means = aggregate(result.rows, self.average)
        figures = {
            key.replace("/", "_"): value for key, value in means.items() if not share_language(key.rpartition("/")[2])
        }
        main = [row for row in result.rows if row.metric == self.task.main_metric]
        if self.pairs:
            figures |= {
                f"{row.task}_{row.query_language}_{row.passage_language}_{row.metric}": row.value for row in main
            }
        setting = "multilingual" if any(row.setting == "multilingual" for row in main) else main[0].setting
        self.primary_metric = f"{self.task.name}_{setting}_{self.task.main_metric}"
        if output_path is not None:
            rows = [
                (epoch, steps, row.setting, row.query_language, row.passage_language, row.metric, row.value)
                for row in result.rows
            ]
            self._write(Path(output_path), rows)
        self.store_metrics_in_model_card_data(model, figures, epoch, steps)
        return figures

    def _write(self, folder: Path, rows: Sequence[tuple[object, ...]]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.csv_file
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(("epoch", "steps", "setting", "query_language", "passage_language", "metric", "value"))
            writer.writerows(rows)


class _Encode:
    """An `Encode` by a SentenceTransformer."""

    def __init__(self, model: Any, batch_size: int) -> None:
        self.model, self.batch_size = model, batch_size

    @property
    def fingerprint(self) -> str:
        """Of all that decides the vectors: weights, what each module is and how it is set, tokenizers, prompts, and the
        numbers of tokens and components that are left."""
        model = self.model
        parts: list[str | bytes] = []
        for name, value in model.state_dict().items():
            parts += [name, value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()]
        for name, module in model.named_modules():
            settings = module.get_config_dict() if hasattr(module, "get_config_dict") else module.extra_repr()
            parts.append(repr((name, type(module).__qualname__, settings)))
            if module is not model and (tokenizer := getattr(module, "tokenizer", None)) is not None:
                parts.append(_serialised(tokenizer))
        applied = (model.prompts, model.default_prompt_name, model.max_seq_length, model.truncate_dim)
        return content_hash(*parts, repr(applied))

    def __call__(self, texts: Sequence[str], side: Side) -> Tensor:
        encode = self.model.encode_query if side == "query" else self.model.encode_document
        vectors: Tensor = encode(
            list(texts), batch_size=self.batch_size, normalize_embeddings=True, convert_to_tensor=True
        )
        return vectors.detach().float().cpu()


def _serialised(tokenizer: Any) -> str:
    """What decides the tokens of a text. Of a tokenizer in Python alone, what it prints as."""
    words = getattr(tokenizer, "backend_tokenizer", None)
    if words is None:
        return str(tokenizer.to_str()) if hasattr(tokenizer, "to_str") else repr(tokenizer)
    words.no_truncation()  # left there by the latest call, as padding is; every call sets its own
    words.no_padding()
    return f"{words.to_str()} {tokenizer.truncation_side} {tokenizer.padding_side}"
