"""Evaluating an encoder on several tasks, with a progress bar: what the callback and the evaluate action share."""

from collections.abc import Sequence
from functools import partial

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from mixlingua.evaluation.evaluator import evaluate
from mixlingua.evaluation.results import TaskResult
from mixlingua.evaluation.task import RetrievalTask
from mixlingua.model import distributed
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.tokenizer import Side
from mixlingua.retrieval.encode import encode


def evaluate_encoder(
    encoder: BiEncoder, tasks: Sequence[RetrievalTask], *, token_budget: int, precision: str
) -> list[TaskResult]:
    """The result of each task, the same on all ranks; every rank must call this.

    token_budget, precision: as `mixlingua.retrieval.encode.encode` takes them. Rank zero shows a bar, which goes away.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # On the console that Lightning's bar uses too: rich draws the one below the other.
    with Progress(*columns, transient=True, disable=distributed.rank() != 0) as bars:

        def encode_texts(task: RetrievalTask, texts: Sequence[str], side: Side) -> Tensor:
            bar = bars.add_task(f"{task.name}: {side} vectors", total=None)
            vectors = encode(
                encoder,
                texts,
                side,
                token_budget=token_budget,
                precision=precision,
                progress=lambda done, total: bars.update(bar, completed=done, total=total),
            )
            bars.remove_task(bar)
            return vectors

        return [evaluate(task, partial(encode_texts, task)) for task in tasks]
