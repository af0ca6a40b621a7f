"""Evaluating an encoder on several tasks: which engine measures which task, and each text encoded once.

The callback of a training run and `action=evaluate` share it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any, Protocol

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from mixlingua import distributed
from mixlingua.data.rows import Side
from mixlingua.data.tokenizer import Cut, cut_of
from mixlingua.errors import ConfigError
from mixlingua.evaluation.corpus_tasks import AnswerTask, CorpusTask
from mixlingua.evaluation.engines import answers, in_memory, on_disk
from mixlingua.evaluation.results import TaskResult
from mixlingua.evaluation.tasks import BitextTask, ProbeTask, RetrievalTask
from mixlingua.files import content_hash
from mixlingua.model.encoder import BiEncoder
from mixlingua.retrieval.encode import Encode, encode_tokens
from mixlingua.retrieval.kept_vectors import kept_whole


class Task(Protocol):
    """A benchmark, as data. A type that has no engine in `ENGINES` brings its own, as `evaluate(encode)`."""

    @property
    def name(self) -> str:
        """As it stands in metric keys."""

    @property
    def main_metric(self) -> str:
        """The metric by which encoders are compared."""

    @property
    def size(self) -> str:
        """How much there is to encode, for the plan of a run."""

    def provenance(self) -> Mapping[str, object]:
        """What identifies the data, as plain values."""


def refuse_repeated_names(tasks: Sequence[Task]) -> None:
    """Raise ConfigError, naming them, where tasks share a name: their figures and files are told apart by it."""
    if repeated := [name for name, count in Counter(task.name for task in tasks).items() if count > 1]:
        raise ConfigError(
            f"More than one task is named {' and '.join(map(repr, repeated))}, so that their results would be mixed. "
            "Give each a name of its own (evaluation.tasks.KEY.name=NAME where the benchmark takes one; in Python "
            "dataclasses.replace(task, name=NAME)), or measure them in runs of their own."
        )


def evaluate_encoder(
    encoder: BiEncoder, tasks: Sequence[Task], *, token_budget: int, precision: str, keep: bool = False
) -> list[TaskResult]:
    """The result of each task, the same on all ranks; every rank must call this. Its provenance says, as "cut", how
    many distinct texts of each side were longer than the encoder reads (`Cut`).

    token_budget, precision: as `mixlingua.retrieval.encode.encode` takes them. keep: whether the vectors are kept in
    the cache, for an encoder that will be measured again. Rank zero shows a bar, which goes away. Raises ConfigError
    before anything is encoded where two tasks have one name.
    """
    refuse_repeated_names(tasks)
    with progress_bars() as bars:
        encode_texts = TextEncoder(encoder, token_budget, precision, bars, "", keep=keep)
        results = []
        for task in tasks:
            encode_texts.purpose, encode_texts.cut = task.name, {}
            result = evaluate_task(task, encode_texts)
            cut = {side: asdict(counted) for side, counted in encode_texts.cut.items()}
            results.append(replace(result, provenance={**result.provenance, "cut": cut}))
        return results


def _probe(task: ProbeTask, encode: Encode) -> TaskResult:
    from mixlingua.evaluation.engines import probe  # with scikit-learn, which takes a second to import

    return probe.evaluate(task, encode)


ENGINES: dict[type, Callable[[Any, Encode], TaskResult]] = {
    RetrievalTask: in_memory.evaluate,
    BitextTask: in_memory.evaluate_bitext,
    CorpusTask: on_disk.evaluate,
    AnswerTask: answers.evaluate,
    ProbeTask: _probe,
}


def evaluate_task(task: Task, encode: Encode) -> TaskResult:
    """Measure an encoder on a task, with the task's own method `evaluate(encode)`, else with the engine of its type.

    Every rank must call this, and gets the same result. Raises ConfigError where a task has neither.
    """
    if evaluate := getattr(task, "evaluate", None):
        result: TaskResult = evaluate(encode)
        return result
    for kind in type(task).__mro__:
        if kind in ENGINES:
            return ENGINES[kind](task, encode)
    raise ConfigError(
        f"task {task.name}: {type(task).__name__} has no engine. Give it a method evaluate(encode) that returns a "
        f"TaskResult, or return one of {', '.join(kind.__name__ for kind in ENGINES)}."
    )


def progress_bars() -> Progress:
    """Bars that go away, on rank zero; on the console that Lightning's bar uses too: rich draws one below the other."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, transient=True, disable=distributed.rank() != 0)


class TextEncoder:
    """An `Encode` with a bar for each call; purpose: what the bar says the vectors are for.

    The vectors of each side are remembered until none of a call's texts is among them, so that tasks that follow one
    another over the same texts, such as `xquad_r` and `xquad_r_joined`, have them encoded once. The encoder must stay
    as it is.

    cut: by side, the distinct texts so far and how many of them were cut; empty it where a new count begins.
    """

    def __init__(
        self,
        encoder: BiEncoder,
        token_budget: int,
        precision: str,
        bars: Progress,
        purpose: str,
        *,
        keep: bool = False,
    ) -> None:
        self.encoder, self.token_budget, self.precision = encoder, token_budget, precision
        self.bars, self.purpose, self.keep = bars, purpose, keep
        self.cut: dict[Side, Cut] = {}
        self.latest_cut = Cut()
        # text -> its row; (N, D); and of each text that was cut, how many tokens were lost
        self._latest: dict[Side, tuple[dict[str, int], Tensor, dict[str, int]]] = {}

    @cached_property
    def fingerprint(self) -> str:
        return content_hash(self.encoder.fingerprint(), self.precision)

    def __call__(self, texts: Sequence[str], side: Side) -> Tensor:
        rows, vectors, lost = self._latest.get(side, ({}, torch.empty(0), {}))
        distinct = list(dict.fromkeys(texts))
        new = [text for text in distinct if text not in rows]
        if new:
            if len(new) == len(distinct):
                rows, vectors, lost = {}, vectors[:0], {}
            fresh, fresh_lost = self._encoded(new, side)
            rows = rows | {text: row for row, text in enumerate(new, start=len(rows))}
            vectors, lost = torch.cat([vectors, fresh]) if len(vectors) else fresh, lost | fresh_lost
            self._latest[side] = rows, vectors, lost
        self.latest_cut = cut_of(lost, distinct, self.encoder.tokenizer.max_length[side])
        self.count(self.latest_cut, side)
        return vectors[[rows[text] for text in texts]]

    def count(self, cut: Cut, side: Side) -> None:
        """Add texts to those that were counted."""
        self.cut[side] = self.cut.get(side, Cut()) + cut

    def _encoded(self, texts: Sequence[str], side: Side) -> tuple[Tensor, dict[str, int]]:
        """The vectors of texts, and the tokens that were lost of those that were cut."""
        token_ids, lost = self.encoder.tokenizer.encode_counting(texts, side)
        if not self.keep:
            return self._computed(token_ids, side), lost
        device = next(self.encoder.parameters()).device.type
        settings = (self.token_budget, self.encoder.packed, device)
        parts = (self.fingerprint, repr(settings), side, *texts)
        return kept_whole(parts, len(texts), lambda: self._computed(token_ids, side)), lost

    def _computed(self, token_ids: Sequence[Sequence[int]], side: Side) -> Tensor:
        bar = self.bars.add_task(f"{self.purpose}: {side} vectors", total=None)
        vectors = encode_tokens(
            self.encoder,
            token_ids,
            token_budget=self.token_budget,
            precision=self.precision,
            progress=lambda done, total: self.bars.update(bar, completed=done, total=total),
        )
        self.bars.remove_task(bar)
        return vectors
