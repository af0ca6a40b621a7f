"""Evaluating an encoder on several tasks: which engine measures which task, and each text encoded once.

The callback of a training run and `action=evaluate` share it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol

from mixlingua.errors import ConfigError
from mixlingua.evaluation.corpus_tasks import AnswerTask, CorpusTask
from mixlingua.evaluation.engines import answers, in_memory, on_disk
from mixlingua.evaluation.results import TaskResult
from mixlingua.evaluation.tasks import BitextTask, ProbeTask, RetrievalTask
from mixlingua.model.encoder import BiEncoder
from mixlingua.retrieval.encode import Encode
from mixlingua.retrieval.text_encoder import TextEncoder, progress_bars


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
