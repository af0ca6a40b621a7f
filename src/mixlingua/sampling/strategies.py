"""Which kind of batch each step is: the choices of the config group `sampler`."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mixlingua.sampling.checks import check_alpha, check_choice, check_exponent

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
