"""Draws what a step of one kind serves: its source, then one of that source's servings."""

import numpy as np
from numpy.typing import NDArray

from mixlingua.sampling.servings import Servings
from mixlingua.sampling.strategies import Crosslingual, Kind, Strategy
from mixlingua.sampling.turns import in_turn


class KindTable:
    """The servings of one kind: sources in proportion to size^exponent; servings of a source uniformly.

    Servings that are language pairs, those of single-pair steps, are chosen as the strategy's `pairs` says.
    """

    def __init__(self, kind: Kind, servings: Servings, strategy: Strategy, seed: int) -> None:
        self.kind, self._seed = kind, seed
        by_source: dict[int, list[int]] = {}
        for position, serving in enumerate(servings.all):
            if serving.kind == kind:
                by_source.setdefault(serving.source, []).append(position)
        self._servings = {source: np.array(by_source[source]) for source in sorted(by_source)}
        self._sources = np.array(list(self._servings))
        self._source_bounds = _bounds([servings.sizes[source] for source in self._servings], strategy.exponent)
        self._in_turn = False
        self._serving_bounds: dict[int, NDArray[np.float64]] = {}
        if kind == "crosslingual" and isinstance(strategy, Crosslingual) and strategy.batch_pairs == "single":
            self._in_turn = strategy.pairs == "balanced"
            if strategy.pairs == "by_size":
                for source, positions in by_source.items():
                    rows = [servings.all[position].eligible for position in positions]
                    self._serving_bounds[source] = _bounds(rows, strategy.pair_exponent)

    def sources(self, drawn: NDArray[np.float64]) -> NDArray[np.int64]:
        """The source of each step, from its uniform number."""
        return np.asarray(self._sources[np.searchsorted(self._source_bounds, drawn, side="right")], dtype=np.int64)

    def servings(self, source: int, drawn: NDArray[np.float64], first_turn: int) -> NDArray[np.int64]:
        """The serving of each of a source's next steps of this kind, from its uniform number or by its turn.

        first_turn: the number of steps of this kind that the source has served before them.
        """
        own = self._servings[source]
        if self._in_turn:
            return np.asarray(own[in_turn(len(own), first_turn, len(drawn), seed=self._seed, source=source)])
        if self._serving_bounds:
            return np.asarray(own[np.searchsorted(self._serving_bounds[source], drawn, side="right")])
        return np.asarray(own[(drawn * len(own)).astype(np.int64)])


def _bounds(sizes: list[int], exponent: float) -> NDArray[np.float64]:
    """The numbers in [0, 1) between which a uniform number chooses in proportion to size^exponent."""
    relative = np.array(sizes, dtype=np.float64)
    weights = (relative / relative.max()) ** exponent
    return np.asarray(np.cumsum(weights)[:-1] / weights.sum(), dtype=np.float64)
