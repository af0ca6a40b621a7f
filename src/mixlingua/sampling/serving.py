"""Which source can serve which kind of batch, in which language: decided, and checked, before training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixlingua.errors import ConfigError
from mixlingua.sampling.draws import Purpose, words
from mixlingua.sampling.permutation import KeyedPermutation
from mixlingua.sampling.selection import Requirement, shared_key_rate, take_rows
from mixlingua.sampling.source import PairSource, count_rows
from mixlingua.sampling.strategies import Kind, Strategy
from mixlingua.sampling.width import segment_width

_TRIALS = 10
_ROWS_TO_MEASURE = 4096  # 8.4 million pairs


@dataclass(frozen=True)
class Serving:
    """A batch that a source can serve. width: rows of the source's stream that each such batch owns."""

    source: int
    kind: Kind
    requirement: Requirement
    width: int


@dataclass(frozen=True)
class Servings:
    """Everything that the sources can serve.

    sizes: rows of each source with one training language or more; notes: decisions that a user should know of.
    """

    all: tuple[Serving, ...]
    sizes: tuple[int, ...]
    notes: tuple[str, ...]


def find_servings(
    sources: Sequence[PairSource], strategy: Strategy, languages: Sequence[str], batch_size: int
) -> Servings:
    """What each source serves under a strategy.

    A language with too few usable rows in a source is left out of that source's monolingual batches, with a note.
    Raises ConfigError, with all problems at once, where a source cannot fill any batch of a kind that it would have to
    serve, or a kind has no source.
    """
    servings: list[Serving] = []
    sizes: list[int] = []
    notes: list[str] = []
    problems: list[str] = []
    for position, source in enumerate(sources):
        served = _SourceServings(position, source, strategy, languages, batch_size)
        servings += served.servings
        notes += served.notes
        problems += served.problems
        sizes.append(served.size)
    kinds_to_fill = {serving.kind for serving in servings}
    if not problems:
        problems = [_no_source(kind, strategy, languages) for kind in strategy.kinds if kind not in kinds_to_fill]
    if problems:
        raise ConfigError("\n".join(problems))
    present = {language for source in sources for language in source.languages}
    absent = [language for language in languages if language not in present]
    notes += [f"{language}: no source has it; it is not trained on" for language in absent]
    return Servings(tuple(servings), tuple(sizes), tuple(notes))


class _SourceServings:
    """What one source serves: `servings`, `notes`, `problems` and its `size`."""

    def __init__(
        self, position: int, source: PairSource, strategy: Strategy, languages: Sequence[str], batch_size: int
    ) -> None:
        self.position, self.source, self.strategy, self.batch_size = position, source, strategy, batch_size
        self.servings: list[Serving] = []
        self.notes: list[str] = []
        self.problems: list[str] = []
        listed = tuple(sorted(set(languages) & set(source.languages)))
        *rows_per_language, self.size, bilingual = count_rows(
            source, [*(((language,), 1) for language in listed), (listed, 1), (listed, 2)]
        )
        self.rows_per_language = {
            language: rows for language, rows in zip(listed, rows_per_language, strict=True) if rows
        }
        self.languages = tuple(self.rows_per_language)
        self.rows_with = {1: self.size, 2: bilingual}
        if not self.languages:
            self.problems.append(
                f"{source.name}: none of its rows has a training language ({', '.join(languages)}); it has "
                f"{', '.join(source.languages)}. Leave the source out or train on one of its languages."
            )
            return
        too_large = [shortage for kind in strategy.kinds if (shortage := self._add(kind))]
        if too_large:
            self.problems.append(
                f"data.batch_size: a batch of {batch_size} is larger than source {source.name}: {', '.join(too_large)} "
                "to choose from. Use a smaller batch or leave the source out."
            )
        if not self.servings and not self.problems:
            self.notes.append(
                f"{source.name}: only {', '.join(self.languages)}; it serves no batch of sampler={strategy.name}"
            )

    def _add(self, kind: Kind) -> str:
        """Serve a kind in every language that has rows enough; where none has, what the best one has instead."""
        short: list[_Short] = []
        requirements = self._requirements(kind)
        for requirement, eligible in requirements.items():
            usable = self._usable(requirement) if eligible >= self.batch_size else eligible
            if usable < self.batch_size:
                short.append(_Short(requirement, eligible, usable))
            else:
                self._serve(kind, requirement, eligible)
        if short and len(short) == len(requirements):
            best = max(short, key=lambda one: one.usable)
            return f"a {kind} batch in {' '.join(best.requirement.languages)} has {best}"
        crosslingual = "crosslingual" in self.strategy.kinds and len(self.languages) > 1
        serves = "serves cross-lingual batches only" if crosslingual else "is not trained on"
        self.notes += [
            f"{self.source.name}: {one.requirement.languages[0]} ({one}) {serves}: too few for a batch of "
            f"{self.batch_size}"
            for one in short
        ]
        return ""

    def _serve(self, kind: Kind, requirement: Requirement, eligible: int) -> None:
        width, num_rows = self._width(requirement, eligible), self.source.num_rows
        self.servings.append(Serving(self.position, kind, requirement, width))
        if eligible < num_rows / 2 < width:
            self.notes.append(
                f"{self.source.name}: few rows ({eligible} of {num_rows}) serve {kind} batches in "
                f"{' '.join(requirement.languages)}: each takes up most of an epoch of this source, whose rows come "
                "again sooner"
            )

    def _requirements(self, kind: Kind) -> dict[Requirement, int]:
        """Each requirement that batches of a kind can have here, with the number of rows that meet it."""
        if kind == "monolingual":
            return {Requirement((language,), 1): rows for language, rows in self.rows_per_language.items()}
        if kind == "english":
            return {Requirement(("en",), 1): self.rows_per_language["en"]} if "en" in self.languages else {}
        minimum = 2 if kind == "crosslingual" else 1
        return {Requirement(self.languages, minimum): self.rows_with[minimum]} if len(self.languages) > 1 else {}

    def _usable(self, requirement: Requirement) -> int:
        """How many rows a batch can take from the whole source, up to batch_size: found by taking them.

        Where rows have several keys, how many fit depends on the order in which they are tried: the best of a few.
        """
        keys = self.source.keys
        most = 0
        for trial in range(1 if keys is None or keys.shape[1] == 1 else _TRIALS):
            most = max(most, len(self._sample(requirement, self.batch_size, trial=trial)))
            if most == self.batch_size:
                break
        return most

    def _width(self, requirement: Requirement, eligible: int) -> int:
        source, conflict_rate = self.source, self.source.conflict_rate
        if source.keys is not None and eligible < source.num_rows:
            # conflict_rate is that of all rows; those of one language may share keys more often
            sample = self._sample(requirement, min(eligible, _ROWS_TO_MEASURE), share_no_key=False)
            if len(sample) > 1:
                conflict_rate = max(conflict_rate, shared_key_rate(source.keys[sample]))
        if source.keys is None:
            conflict_rate = 0.0
        return segment_width(self.batch_size, num_rows=source.num_rows, eligible=eligible, conflict_rate=conflict_rate)

    def _sample(
        self, requirement: Requirement, count: int, *, trial: int = 0, share_no_key: bool = True
    ) -> NDArray[np.int64]:
        key = int(words(0, Purpose.TRIALS, (self.position, trial), 1)[0])
        return take_rows(
            self.source,
            requirement,
            KeyedPermutation(self.source.num_rows, key),
            (0, self.source.num_rows),
            count=count,
            taken=np.empty(0, dtype=np.int64),
            share_no_key=share_no_key,
        )


@dataclass(frozen=True)
class _Short:
    """A requirement that too few rows meet; usable: how many of them one batch can take."""

    requirement: Requirement
    eligible: int
    usable: int

    def __str__(self) -> str:
        if self.usable == self.eligible:
            return f"{self.eligible} rows"
        return f"{self.eligible} rows, {self.usable} without a shared passage"


def _no_source(kind: Kind, strategy: Strategy, languages: Sequence[str]) -> str:
    trained = ", ".join(languages)
    if kind == "english":
        return (
            f"sampler={strategy.name}: needs rows in en, and the training languages that the sources have do not "
            f"include it (training languages: {trained}). Train on en too, or use another sampler."
        )
    return (
        f"sampler={strategy.name}: {kind} batches need a source with two or more of the training languages "
        f"({trained}), and no source has that. Train on more languages, add a parallel source, or use "
        "sampler=monolingual."
    )
