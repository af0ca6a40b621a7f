"""Which kind of batch each step is: the choices of the config group `sampler`."""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixlingua.errors import ConfigError

Kind = Literal["monolingual", "crosslingual", "mixed", "english"]


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A rule that gives every step its kind, and sources their share of the steps.

    exponent: a source of n usable rows is drawn in proportion to n^exponent; 1 is by size, 0 is all alike.
    Raises ConfigError where the exponent is no finite number >= 0.
    """

    exponent: float

    def __post_init__(self) -> None:
        if not _is_number(self.exponent) or not (isfinite(self.exponent) and self.exponent >= 0):
            raise ConfigError(
                f"sampler.exponent: {self.exponent!r} is no number >= 0; "
                "use 1 for sources in proportion to their size, 0 for all alike."
            )

    @property
    def name(self) -> str:
        """The choice of `sampler` that this is, such as "hybrid"."""
        return type(self).__name__.lower()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that can occur."""
        raise NotImplementedError

    def draw(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """For each step's uniform number in [0, 1), the position of its kind in `kinds`."""
        return np.zeros(len(uniforms), dtype=np.int64)

    def values(self) -> dict[str, float]:
        """The values that were chosen, by their config key below `sampler`."""
        return asdict(self)


class Monolingual(Strategy):
    """Every step in one language, query and passage alike (X-X-mono)."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return ("monolingual",)


class Crosslingual(Strategy):
    """Every row with its query in one language and its passage in another (X-Y)."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return ("crosslingual",)


@dataclass(frozen=True, kw_only=True)
class Hybrid(Strategy):
    """Each step monolingual with probability alpha, cross-lingual otherwise.

    Raises ConfigError where alpha lies outside [0, 1].
    """

    alpha: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _is_number(self.alpha) or not 0 <= self.alpha <= 1:
            raise ConfigError(
                f"sampler.alpha: {self.alpha!r} lies outside [0, 1]; it is the probability that a step is monolingual "
                "(0: all cross-lingual, 1: all monolingual)."
            )

    @property
    def kinds(self) -> tuple[Kind, ...]:
        possible: dict[Kind, float] = {"monolingual": self.alpha, "crosslingual": 1 - self.alpha}
        return tuple(kind for kind, probability in possible.items() if probability > 0)

    def draw(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        if len(self.kinds) == 1:
            return super().draw(uniforms)
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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
