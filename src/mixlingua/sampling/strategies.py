"""Hybrid batches whose share of monolingual ones changes over the training."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Literal, TypeGuard, get_args

import numpy as np
from numpy.typing import NDArray

from mixlingua.errors import ConfigError, suggest


def check_alpha(key: str, value: object) -> None:
    """Raise ConfigError unless it is a probability."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ConfigError(
            f"{key}: {value!r} lies outside [0, 1]; it is the probability that a step is monolingual "
            "(0: all cross-lingual, 1: all monolingual)."
        )


def check_exponent(key: str, value: object, *, of: str) -> None:
    """Raise ConfigError unless it is a finite number >= 0."""
    if not is_number(value) or not (isfinite(value) and value >= 0):
        raise ConfigError(
            f"{key}: {value!r} is no number >= 0; use 1 for {of} in proportion to their size, 0 for all alike."
        )


def check_choice(key: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ConfigError unless it is one of the choices."""
    if value not in choices:
        raise ConfigError(f"{key}: {value!r} is none of {', '.join(choices)}.{suggest(str(value), choices)}")


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


Kind = Literal["monolingual", "crosslingual", "mixed", "english"]
Pairs = Literal["uniform", "by_size", "balanced"]
BatchPairs = Literal["mixed", "single"]


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """A rule that gives every step its kind, and sources their share of the steps.

    exponent: a source of n usable rows is drawn in proportion to n^exponent; 1 is by size, 0 is all alike.
    Raises ConfigError where the exponent is no finite number >= 0.
    """

    exponent: float

    def __post_init__(self) -> None:
        check_exponent("sampler.exponent", self.exponent, of="sources")

    @property
    def name(self) -> str:
        """The choice of `sampler` that this is, such as "hybrid"."""
        return type(self).__name__.lower()

    @property
    @abstractmethod
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that can occur."""

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


@dataclass(frozen=True, kw_only=True)
class Crosslingual(Strategy):
    """Every row with its query in one language and its passage in another (X-Y). Hybrids have such steps too.

    batch_pairs: "mixed", each row has a pair of languages of its own, or "single", all rows of a step share one.
    pairs: which (query, passage) languages. "uniform": each row draws from the pairs that it has; a single-pair step
    from those of its source. "by_size": likewise, a pair that n rows of the source have in proportion to
    n^pair_exponent. "balanced": the pairs of a source take turns, so that each has come equally often up to one.
    Raises ConfigError for other values.
    """

    pairs: Pairs
    pair_exponent: float
    batch_pairs: BatchPairs

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("sampler.pairs", self.pairs, get_args(Pairs))
        check_exponent("sampler.pair_exponent", self.pair_exponent, of="pairs")
        check_choice("sampler.batch_pairs", self.batch_pairs, get_args(BatchPairs))

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return ("crosslingual",)

    @property
    def needs_rows_of_pairs(self) -> bool:
        """Whether batches are made for given pairs, so that a pair needs rows enough for a batch of its own."""
        return self.batch_pairs == "single" or self.pairs == "balanced"

    def values(self) -> dict[str, float | str]:
        """Without what decides nothing; uniform mixed pairs go without saying, as before there was a choice."""
        values = super().values()
        if self.pairs != "by_size":
            del values["pair_exponent"]
        if (self.pairs, self.batch_pairs) == ("uniform", "mixed"):
            del values["pairs"], values["batch_pairs"]
        return values


@dataclass(frozen=True, kw_only=True)
class Hybrid(Crosslingual):
    """Each step monolingual with probability alpha, cross-lingual otherwise.

    Raises ConfigError where alpha lies outside [0, 1].
    """

    alpha: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha("sampler.alpha", self.alpha)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return kinds_of_hybrid(self.alpha, self.alpha)

    def draw(self, uniforms: NDArray[np.float64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(self.kinds) == 1:
            return super().draw(uniforms, steps)
        return (uniforms >= self.alpha).astype(np.int64)


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


def kinds_of_hybrid(least: float, most: float) -> tuple[Kind, ...]:
    """The kinds that can occur where the probability of a monolingual step lies between `least` and `most`."""
    monolingual: tuple[Kind, ...] = ("monolingual",) if most > 0 else ()
    crosslingual: tuple[Kind, ...] = ("crosslingual",) if least < 1 else ()
    return monolingual + crosslingual


AlphaSchedule = Literal["linear", "cosine", "two_phase"]


@dataclass(frozen=True, kw_only=True)
class Scheduled(Crosslingual):
    """Each step monolingual with a probability alpha that goes from alpha_start to alpha_end, cross-lingual otherwise.

    With x from 0 at the first of max_steps optimiser steps to 1 at the last,
    linear: alpha = alpha_start + x (alpha_end - alpha_start);
    cosine: the same with (1 - cos(pi x)) / 2 for x, slow at both ends;
    two_phase: alpha_start for the share switch_at of the steps, alpha_end after it.
    batches_per_step: batches of an optimiser step, which have one alpha. After max_steps alpha stays as it is.
    Raises ConfigError for other schedules, and for numbers that cannot be meant.
    """

    alpha_start: float
    alpha_end: float
    schedule: AlphaSchedule
    switch_at: float
    max_steps: int
    batches_per_step: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha("sampler.alpha_start", self.alpha_start)
        check_alpha("sampler.alpha_end", self.alpha_end)
        if self.schedule == "constant":
            raise ConfigError("sampler.schedule: a constant alpha is sampler=hybrid, with sampler.alpha.")
        check_choice("sampler.schedule", self.schedule, get_args(AlphaSchedule))
        if not is_number(self.switch_at) or not 0 < self.switch_at < 1:
            raise ConfigError(
                f"sampler.switch_at: {self.switch_at!r} lies outside (0, 1); it is the share of the steps before "
                "alpha_end. Use sampler=hybrid for a single phase."
            )
        for key in ("max_steps", "batches_per_step"):
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"sampler.{key}: {value!r}: a whole number of 1 or more is needed.")

    @property
    def kinds(self) -> tuple[Kind, ...]:
        ends = (self.alpha_start, self.alpha_end)
        return kinds_of_hybrid(min(ends), max(ends))

    def alphas(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """The probability that each step, counted in batches from 0, is monolingual."""
        done = np.minimum(steps // self.batches_per_step, self.max_steps - 1)
        if self.schedule == "two_phase":
            return np.where(done < round(self.switch_at * self.max_steps), self.alpha_start, self.alpha_end)
        passed = done / max(self.max_steps - 1, 1)
        if self.schedule == "cosine":
            passed = (1 - np.cos(np.pi * passed)) / 2
        return np.asarray((1 - passed) * self.alpha_start + passed * self.alpha_end, dtype=np.float64)

    def draw(self, uniforms: NDArray[np.float64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(self.kinds) == 1:
            return super().draw(uniforms, steps)
        return (uniforms >= self.alphas(steps)).astype(np.int64)

    def values(self) -> dict[str, float | str]:
        values = super().values()
        if self.schedule != "two_phase":
            del values["switch_at"]
        return values
