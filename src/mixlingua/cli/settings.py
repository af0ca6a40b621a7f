"""Settings of a run that belong to no single constructor: sections of conf/config.yaml, their defaults and limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mixlingua.errors import MixlinguaError, choice_problems, raise_problems, whole_problems
from mixlingua.languages import check_language


@dataclass(frozen=True)
class DataSettings:
    """What is trained on, and how batches are filled.

    sources: name -> reader of training pairs; filled by the chosen `data` configs
    validation_sources: name -> reader for the validation loss; empty: the validation_fraction of each training source
    languages: to train on; el and vi stay unseen (zero-shot), as in arXiv 2408.10536
    batch_size: pairs per step, over all devices
    max_rows: rows of each training source at most, a random part by seed, a smaller one inside a larger; null: all
    max_query_length: tokens of a query in training; null: the model's own limit, which evaluation always uses
    max_passage_length: the same for passages; shorter is cheaper
    pivot: the language in which a teacher reads each row
    num_negatives: hard negatives per query; translations have none and are trained on without
    validation_fraction: share of each source, by document and text, held out, for validation and evaluation=held_out
    validation_batches: batches of the validation loss, where there are validation rows
    num_workers: processes that tokenise batches ahead; 0: none
    """

    sources: Mapping[str, Any] = field(default_factory=dict)
    validation_sources: Mapping[str, Any] = field(default_factory=dict)
    languages: Sequence[str] = ("ar", "de", "en", "es", "hi", "ru", "th", "tr", "zh")
    batch_size: int = 48
    max_rows: int | None = None
    max_query_length: int | None = None
    max_passage_length: int | None = None
    pivot: str = "en"
    num_negatives: int = 0
    validation_fraction: float = 0.0
    validation_batches: int = 8
    num_workers: int = 1

    def __post_init__(self) -> None:
        problems = [
            *below("data", self, batch_size=1, max_rows=1, num_negatives=0, validation_batches=1, num_workers=0),
            *below("data", self, max_query_length=4, max_passage_length=4),
        ]
        if not 0 <= self.validation_fraction < 1:
            problems.append(f"data.validation_fraction={self.validation_fraction}: it must be at least 0 and below 1.")
        if not self.sources:
            problems.append(
                "data=[]: nothing to train on; choose one or several sources, such as data=[ntrex,tatoeba]."
            )
        if not self.languages:
            problems.append("data.languages=[]: no language to train on.")
        for language in (*self.languages, self.pivot):
            try:
                check_language(language, where="data.pivot" if language == self.pivot else "data.languages")
            except MixlinguaError as error:
                problems.append(str(error))
        twice = sorted({str(language) for language in self.languages if list(self.languages).count(language) > 1})
        if twice:
            problems.append(f"data.languages: {', '.join(twice)} given more than once.")
        raise_problems(problems)


@dataclass(frozen=True)
class CheckpointSettings:
    """What a training run saves, and when it stops early.

    every_n_steps: optimiser steps between two writes of RUN/checkpoints/last.ckpt
    patience: stop after so many validation losses without a lower one; null: train all steps
    save_model: write RUN/model, a sentence-transformers folder
    """

    every_n_steps: int = 100
    patience: int | None = None
    save_model: bool = True

    def __post_init__(self) -> None:
        raise_problems([*below("checkpoint", self, every_n_steps=1, patience=1)])


@dataclass(frozen=True)
class AveragingSettings:
    """Which average of weights a training run ends with.

    ema_decay: the moving average of the weights over steps, such as 0.99; null: the last weights
    start_share: share of the weights before training in the final ones; keeps what the model could do before
    models: folders of finished runs, or of models, whose weights are averaged with the final ones
    weights: of this run's model and of each of `models`, divided by their sum; null: all alike
    """

    ema_decay: float | None = None
    start_share: float = 0.0
    models: Sequence[str] = ()
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            problems.append(f"averaging.ema_decay={self.ema_decay}: between 0 and 1, such as 0.99, or null for none.")
        if not 0 <= self.start_share <= 1:
            problems.append(
                f"averaging.start_share={self.start_share}: from 0 (the trained weights) to 1 (those before training)."
            )
        if self.weights is not None and not self.models:
            problems.append("averaging.weights: there are no averaging.models. Name some, or leave it.")
        problems += [
            f"averaging.models: {folder}: no such file or folder. Name folders of finished runs, or of models."
            for folder in self.models
            if not Path(folder).is_dir()
        ]
        raise_problems(problems)


@dataclass(frozen=True)
class EvaluationSettings:
    """What is measured, when, and how.

    tasks: name -> benchmark; filled by the chosen `evaluation` configs
    before: measure the untrained model as well
    every_n_steps: measure every N optimiser steps; null: at the end only
    average: over languages or pairs. macro: each counts alike; micro: each query does. Of action=compare too
    token_budget: tokens encoded at once; 2048 is about what a CPU cache holds; give a GPU 65536
    precision: of the encoder, as trainer.precision; or int8, which is faster on a CPU (docs/devices.md)
    """

    tasks: Mapping[str, Any] = field(default_factory=dict)
    before: bool = True
    every_n_steps: int | None = None
    average: str = "macro"
    token_budget: int = 2048
    precision: str | int = "32-true"  # checked together with trainer.precision

    def __post_init__(self) -> None:
        from mixlingua.evaluation.results import AVERAGES  # imports torch, which checking a command line does without

        numbers = below("evaluation", self, every_n_steps=1, token_budget=1)
        raise_problems([*numbers, *choice_problems("evaluation.average", self.average, AVERAGES)])


@dataclass(frozen=True)
class EncodeSettings:
    """What action=encode encodes.

    path: a file with a text in each line, or .jsonl with "id" and "text"; null: the texts of data, in data.languages
    side: of the file's texts, query or passage: the two differ in prefix and length
    shard_size: texts that are encoded and written together: what a stopped run repeats at most
    """

    path: str | None = None
    side: Literal["query", "passage"] = "passage"
    shard_size: int = 16384

    def __post_init__(self) -> None:
        numbers = below("encode", self, shard_size=1)
        raise_problems([*numbers, *choice_problems("encode.side", self.side, ("query", "passage"))])


def below(section: str, settings: object, **least: int) -> list[str]:
    """What is wrong with whole numbers of a section that have a least value; null is not judged."""
    problems: list[str] = []
    for name, minimum in least.items():
        value = settings.get(name) if isinstance(settings, Mapping) else getattr(settings, name)
        if value is not None:
            problems += whole_problems(f"{section}.{name}", value, minimum)
    return problems
