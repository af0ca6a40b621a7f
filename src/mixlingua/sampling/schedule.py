"""What each step draws: its kind, its source, its language, and its segment of the source's stream."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixlingua.sampling.draws import Purpose, uniforms
from mixlingua.sampling.serving import Servings
from mixlingua.sampling.strategies import Strategy

_STEPS_PER_BLOCK = 4096
_BLOCKS_KEPT = 4


class _Block(NamedTuple):
    """The steps of one block. servings: (4096,) int64; starts: (4096,) int64; ends: a position per source."""

    servings: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: tuple[int, ...]


class Schedule:
    """For each step, the batch to serve and where its segment of the source's endless stream begins.

    A source's stream is a permutation of its rows, then another, without end. Each step owns the next `width` positions
    of the stream of the source that it draws; a segment lies within one permutation (an epoch), and the rest of an
    epoch that is too short for the next segment is passed over. So segments of an epoch never overlap.
    Draws are made for blocks of 4,096 steps, one random stream each. A block starts where the one before it ends: what
    is kept of earlier blocks is one number per source, and all of it can be computed again.
    """

    def __init__(self, servings: Servings, sources: Sequence[int], strategy: Strategy, seed: int) -> None:
        """sources: the number of rows of each source."""
        self._sources, self._strategy, self._seed = tuple(sources), strategy, seed
        self._source_of = np.array([serving.source for serving in servings.all])
        self._width_of = np.array([serving.width for serving in servings.all])
        self._tables = [_KindTable(kind, servings, strategy.exponent) for kind in strategy.kinds]
        self._block_starts: list[tuple[int, ...]] = [(0,) * len(sources)]
        self._blocks: dict[int, _Block] = {}

    def step(self, index: int) -> tuple[int, int]:
        """The position of the step's serving in `Servings.all`, and the start of its segment in the source's stream."""
        number, offset = divmod(index, _STEPS_PER_BLOCK)
        block = self._blocks.get(number) or self._load(number)
        return int(block.servings[offset]), int(block.starts[offset])

    def _load(self, number: int) -> _Block:
        for missing in range(len(self._block_starts), number + 1):
            self._block_starts.append(self._compute(missing - 1).ends)
        while len(self._blocks) >= _BLOCKS_KEPT:
            del self._blocks[next(iter(self._blocks))]
        self._blocks[number] = self._compute(number)
        return self._blocks[number]

    def _compute(self, number: int) -> _Block:
        servings = self._draw(number)
        widths, drawn = self._width_of[servings], self._source_of[servings]
        starts = np.empty(_STEPS_PER_BLOCK, dtype=np.int64)
        ends = list(self._block_starts[number])
        for source, num_rows in enumerate(self._sources):
            steps = np.flatnonzero(drawn == source)
            starts[steps], ends[source] = _lay_out(widths[steps].tolist(), ends[source], num_rows)
        return _Block(servings, starts, tuple(ends))

    def _draw(self, number: int) -> NDArray[np.int64]:
        drawn = uniforms(self._seed, Purpose.STEPS, (number, 0), 3, _STEPS_PER_BLOCK)
        kinds = self._strategy.draw(drawn[0])
        servings = np.empty(_STEPS_PER_BLOCK, dtype=np.int64)
        for kind, table in enumerate(self._tables):
            steps = np.flatnonzero(kinds == kind)
            servings[steps] = table.draw(drawn[1][steps], drawn[2][steps])
        return servings


class _KindTable:
    """Draws the serving of a step of one kind: the source by size^exponent, then one of its servings uniformly."""

    def __init__(self, kind: str, servings: Servings, exponent: float) -> None:
        positions = [position for position, serving in enumerate(servings.all) if serving.kind == kind]
        self._sources = sorted({servings.all[position].source for position in positions})
        sizes = np.array([servings.sizes[source] for source in self._sources], dtype=np.float64)
        weights = (sizes / sizes.max()) ** exponent
        self._bounds = np.cumsum(weights)[:-1] / weights.sum()
        owners = [servings.all[position].source for position in positions]
        self._first = np.array([positions[owners.index(source)] for source in self._sources])
        self._count = np.array([owners.count(source) for source in self._sources])

    def draw(self, for_source: NDArray[np.float64], for_serving: NDArray[np.float64]) -> NDArray[np.int64]:
        source = np.searchsorted(self._bounds, for_source, side="right")
        chosen = self._first[source] + (for_serving * self._count[source]).astype(np.int64)
        return np.asarray(chosen, dtype=np.int64)


def _lay_out(widths: list[int], position: int, num_rows: int) -> tuple[list[int], int]:
    """The start of each segment from `position` of a stream on, none across a multiple of num_rows, and the end."""
    starts = []
    room = num_rows - position % num_rows
    for width in widths:
        if width > room:
            position += room
            room = num_rows
        starts.append(position)
        position += width
        room -= width
    return starts, position
