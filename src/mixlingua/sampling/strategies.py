"""Sampling strategies, the choices of `sampler`: which kinds of batches there are, and which kind each step has."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Literal, TypeGuard, get_args

import numpy as np
from numpy.typing import NDArray

from mixlingua.errors import ConfigError, check_choice, check_whole

Kind = Literal["monolingual", "crosslingual", "mixed", "english"]
BatchPairs = Literal["mixed", "single"]
AlphaSchedule = Literal["linear", "cosine", "two_phase"]


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """A rule that gives every step its kind, and sources their share of the steps.

    exponent: a source of which n rows have the languages that a kind needs is drawn in proportion to n^exponent for
    batches of that kind; 1 is by size, 0 is all alike.
    Raises ConfigError where the exponent is no finite number >= 0.
    """

    exponent: float = 1.0

    def __post_init__(self) -> None:
        if not _is_number(self.exponent) or not (isfinite(self.exponent) and self.exponent >= 0):
            raise ConfigError(
                f"sampler.exponent: {self.exponent!r} is no number >= 0; use 1 for sources in proportion to their "
                "size, 0 for all alike."
            )

    @property
    def name(self) -> str:
        """The choice of `sampler` that this is, such as "hybrid"."""
        return type(self).__name__.lower()

    @property
    @abstractmethod
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that can occur."""

    @property
    def one_pair_per_batch(self) -> bool:
        """Whether all rows of a cross-lingual batch have the same query and passage language."""
        return False

    def draw(self, uniforms: NDArray[np.float64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each step, by its uniform number in [0, 1), the position of its kind in `kinds`."""
        return np.zeros(len(steps), dtype=np.int64)

    def values(self) -> dict[str, float | str]:
        """The chosen values that decide batches, by their config key below `sampler`."""
        return asdict(self)


class Monolingual(Strategy):
    """Every step in one language, query and passage alike (X-X-mono)."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return ("monolingual",)


class Mixed(Strategy):
    """Each row in a language of its own, query and passage alike (LAReQA's X-X): several languages in a batch."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return ("mixed",)


class English(Strategy):
    """Every step in English (En-En)."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return ("english",)


@dataclass(frozen=True, kw_only=True)
class Crosslingual(Strategy):
    """Every row with its query in one language and its passage in another (X-Y).

    batch_pairs: "mixed", each row draws a (query, passage) pair from the languages that it has; "single", all rows of a
    step share a pair, drawn uniformly from those of their source.
    Raises ConfigError for another value.
    """

    batch_pairs: BatchPairs = "mixed"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("sampler.batch_pairs", self.batch_pairs, get_args(BatchPairs))

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return ("crosslingual",)

    @property
    def one_pair_per_batch(self) -> bool:
        return self.batch_pairs == "single"


class _Alternating(Crosslingual):
    """Each step monolingual with a probability alpha, which may depend on the step, and cross-lingual otherwise."""

    @abstractmethod
    def alphas(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """The probability that each step, counted in batches from 0, is monolingual."""

    @property
    @abstractmethod
    def alpha_range(self) -> tuple[float, float]:
        """The least and the greatest alpha of all steps."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        least, most = self.alpha_range
        monolingual: tuple[Kind, ...] = ("monolingual",) if most > 0 else ()
        crosslingual: tuple[Kind, ...] = ("crosslingual",) if least < 1 else ()
        return monolingual + crosslingual

    def draw(self, uniforms: NDArray[np.float64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(self.kinds) == 1:
            return super().draw(uniforms, steps)
        return (uniforms >= self.alphas(steps)).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Hybrid(_Alternating):
    """Each step monolingual with probability alpha, cross-lingual otherwise: the paper's method.

    alpha: probability that a batch is monolingual, in [0, 1]; the paper found 0.4 to 0.6 about as good
    Raises ConfigError where alpha lies outside [0, 1].
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_alpha("sampler.alpha", self.alpha)

    @property
    def alpha_range(self) -> tuple[float, float]:
        return self.alpha, self.alpha

    def alphas(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.full(len(steps), self.alpha, dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Scheduled(_Alternating):
    """Each step monolingual with a probability alpha that goes from alpha_start to alpha_end, cross-lingual otherwise.

    With x from 0 at the first of max_steps optimiser steps to 1 at the last,
    linear: alpha = alpha_start + x (alpha_end - alpha_start);
    cosine: the same with (1 - cos(pi x)) / 2 for x, slow at both ends;
    two_phase: alpha_start for the share switch_at of the steps, alpha_end after it.

    max_steps: optimiser steps of the training, after which alpha stays as it is
    batches_per_step: batches of an optimiser step, which have one alpha
    schedule: linear, cosine or two_phase
    alpha_start: probability that a batch is monolingual at the first step
    alpha_end: the same at the last step
    switch_at: of two_phase, the share of the steps before alpha_end
    Raises ConfigError for other schedules, and for numbers that cannot be meant.
    """

    max_steps: int
    batches_per_step: int = 1
    schedule: AlphaSchedule = "linear"
    alpha_start: float = 1.0
    alpha_end: float = 0.0
    switch_at: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_alpha("sampler.alpha_start", self.alpha_start)
        _check_alpha("sampler.alpha_end", self.alpha_end)
        if self.schedule == "constant":
            raise ConfigError("sampler.schedule: a constant alpha is sampler=hybrid, with sampler.alpha.")
        check_choice("sampler.schedule", self.schedule, get_args(AlphaSchedule))
        if not _is_number(self.switch_at) or not 0 < self.switch_at < 1:
            raise ConfigError(
                f"sampler.switch_at: {self.switch_at!r} lies outside (0, 1); it is the share of the steps before "
                "alpha_end. Use sampler=hybrid for a single phase."
            )
        for key in ("max_steps", "batches_per_step"):
            check_whole(f"sampler.{key}", getattr(self, key), 1)

    @property
    def alpha_range(self) -> tuple[float, float]:
        return min(self.alpha_start, self.alpha_end), max(self.alpha_start, self.alpha_end)

    def alphas(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        done = np.minimum(steps // self.batches_per_step, self.max_steps - 1)
        if self.schedule == "two_phase":
            return np.where(done < round(self.switch_at * self.max_steps), self.alpha_start, self.alpha_end)
        passed = done / max(self.max_steps - 1, 1)
        if self.schedule == "cosine":
            passed = (1 - np.cos(np.pi * passed)) / 2
        return np.asarray((1 - passed) * self.alpha_start + passed * self.alpha_end, dtype=np.float64)

    def values(self) -> dict[str, float | str]:
        """Without switch_at where it decides nothing, so that a run resumes whatever it is set to."""
        values = super().values()
        if self.schedule != "two_phase":
            del values["switch_at"]
        return values


def _check_alpha(key: str, value: object) -> None:
    if not _is_number(value) or not 0 <= value <= 1:
        raise ConfigError(
            f"{key}: {value!r} lies outside [0, 1]; it is the probability that a step is monolingual "
            "(0: all cross-lingual, 1: all monolingual)."
        )


def _is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
