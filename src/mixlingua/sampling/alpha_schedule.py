"""Hybrid batches whose share of monolingual ones changes over the training."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mixlingua.errors import ConfigError
from mixlingua.sampling.checks import check_alpha, check_choice, is_number
from mixlingua.sampling.strategies import Crosslingual, Kind, kinds_of_hybrid

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
