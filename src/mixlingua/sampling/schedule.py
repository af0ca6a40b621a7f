"""What each step draws: its kind, its source, its language, and its segment of the source's stream."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixlingua.sampling.draws import Purpose, uniforms
from mixlingua.sampling.kind_table import KindTable
from mixlingua.sampling.servings import Servings
from mixlingua.sampling.strategies import Strategy

_STEPS_PER_BLOCK = 4096
_BLOCKS_KEPT = 4


class Step(NamedTuple):
    """serving: its position in `Servings.all`; start: of its segment in the stream of its source; turn: how many
    steps of its kind the source serves before it."""

    serving: int
    start: int
    turn: int


class _Place(NamedTuple):
    """How far a source is: the position in its stream, and the number of steps of each kind that it has served."""

    position: int
    turns: tuple[int, ...]


class _Block(NamedTuple):
    """The steps of one block, (4096,) int64 each, and the place of each source after them."""

    servings: NDArray[np.int64]
    starts: NDArray[np.int64]
    turns: NDArray[np.int64]
    ends: tuple[_Place, ...]


class Schedule:
    """For each step, the batch to serve and where its segment of the source's endless stream begins.

    A source's stream is a permutation of its rows, then another, without end. Each step owns the next `width` positions
    of the stream of the source that it draws; a segment lies within one permutation (an epoch), and the rest of an
    epoch that is too short for the next segment is passed over. So segments of an epoch never overlap.
    Draws are made for blocks of 4,096 steps, one random stream each. A block starts where the one before it ends: what
    is kept of earlier blocks is a few numbers per source, and all of it can be computed again.
    """

    def __init__(self, servings: Servings, sources: Sequence[int], strategy: Strategy, seed: int) -> None:
        """sources: the number of rows of each source."""
        self._sources, self._strategy, self._seed = tuple(sources), strategy, seed
        self._width_of = np.array([serving.width for serving in servings.all])
        self._tables = [KindTable(kind, servings, strategy, seed) for kind in strategy.kinds]
        self._block_starts = [(_Place(0, (0,) * len(strategy.kinds)),) * len(sources)]
        self._blocks: dict[int, _Block] = {}

    def step(self, index: int) -> Step:
        """What the step of a number serves."""
        number, offset = divmod(index, _STEPS_PER_BLOCK)
        block = self._blocks.get(number) or self._load(number)
        return Step(int(block.servings[offset]), int(block.starts[offset]), int(block.turns[offset]))

    def _load(self, number: int) -> _Block:
        for missing in range(len(self._block_starts), number + 1):
            self._block_starts.append(self._compute(missing - 1).ends)
        while len(self._blocks) >= _BLOCKS_KEPT:
            del self._blocks[next(iter(self._blocks))]
        self._blocks[number] = self._compute(number)
        return self._blocks[number]

    def _compute(self, number: int) -> _Block:
        drawn = uniforms(self._seed, Purpose.STEPS, (number, 0), 3, _STEPS_PER_BLOCK)
        indices = np.arange(_STEPS_PER_BLOCK, dtype=np.int64) + number * _STEPS_PER_BLOCK
        kinds = self._strategy.draw(drawn[0], indices)
        sources = np.empty(_STEPS_PER_BLOCK, dtype=np.int64)
        for kind, table in enumerate(self._tables):
            sources[kinds == kind] = table.sources(drawn[1][kinds == kind])
        servings, starts, turns = (np.empty(_STEPS_PER_BLOCK, dtype=np.int64) for _ in range(3))
        ends = []
        for source, (place, num_rows) in enumerate(zip(self._block_starts[number], self._sources, strict=True)):
            counts = list(place.turns)
            for kind, table in enumerate(self._tables):
                steps = np.flatnonzero((sources == source) & (kinds == kind))
                if len(steps):
                    servings[steps] = table.servings(source, drawn[2][steps], counts[kind])
                    turns[steps] = np.arange(counts[kind], counts[kind] + len(steps))
                    counts[kind] += len(steps)
            steps = np.flatnonzero(sources == source)
            widths = self._width_of[servings[steps]]
            starts[steps], position = _lay_out(widths.tolist(), place.position, num_rows)
            ends.append(_Place(position, tuple(counts)))
        return _Block(servings, starts, turns, tuple(ends))


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
