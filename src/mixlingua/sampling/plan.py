"""The batch plan: which rows, in which languages, at which step, as a pure function of (seed, step)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixlingua.errors import ConfigError, DataError
from mixlingua.sampling.batch_specs import Serving, Servings, find_servings
from mixlingua.sampling.language_pairs import draw_languages, draw_pairs, draw_weighted_pairs, in_turn
from mixlingua.sampling.random import KeyedPermutation, Purpose, uniforms, words
from mixlingua.sampling.rows import Demand, Requirement, take_rows
from mixlingua.sampling.source import PairSource, held_languages
from mixlingua.sampling.strategies import Crosslingual, Kind, Strategy


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


_RULES = 1  # raise it when the same seed comes to give other batches: checkpoints of older rules are then refused
_TOP_UPS = 100


@dataclass(frozen=True, eq=False)
class PlannedBatch:
    """One batch, or one rank's share of it.

    source: position in the plan's sources; rows: (B,) int64, all different, no two with a key in common;
    query_languages, passage_languages: a language per row.
    """

    index: int
    kind: Kind
    source: int
    rows: NDArray[np.int64]
    query_languages: list[str]
    passage_languages: list[str]

    def slice(self, rank: int, world_size: int) -> "PlannedBatch":
        """The contiguous share of one rank; the shares of all ranks in order are the batch.

        Raises ConfigError where the batch does not divide into equal shares.
        """
        if len(self.rows) % world_size:
            raise ConfigError(
                f"data.batch_size: {len(self.rows)} does not divide over {world_size} processes; it is the size of the "
                f"whole batch. Use a multiple of {world_size}."
            )
        share = len(self.rows) // world_size
        part = slice(rank * share, (rank + 1) * share)
        return replace(
            self,
            rows=self.rows[part],
            query_languages=self.query_languages[part],
            passage_languages=self.passage_languages[part],
        )


class BatchPlan:
    """The batches of a training run; `notes` are decisions that a user should know of, to be printed.

    `batch(index)` depends on nothing but the arguments of the plan: any process computes any batch, in any order.
    Within an epoch of a source no row comes twice, and within a batch no two rows share a key. A step owns a segment of
    its source's stream (see Schedule) that is just wide enough to hold a batch of usable rows but once in about 10^9
    times; only then is a batch completed from elsewhere in its source, and a row may come twice in the epoch.
    Memory does not grow with the number of rows.
    """

    def __init__(
        self,
        sources: Sequence[PairSource],
        *,
        strategy: Strategy,
        languages: Sequence[str],
        batch_size: int,
        seed: int,
    ) -> None:
        """languages: the languages to train on; others of a source are never asked for. batch_size: of all ranks.

        Raises ConfigError, naming each problem, where the sources cannot fill such batches.
        """
        if not sources:
            raise ConfigError("data: there is no source of training pairs. Name at least one.")
        if not languages or len(set(languages)) < len(languages):
            raise ConfigError(f"training languages: {list(languages)}; name at least one, and each once.")
        if batch_size < 1:
            raise ConfigError(f"data.batch_size: {batch_size}; a batch needs at least one row.")
        if not 0 <= seed < 2**64:
            raise ConfigError(f"seed: {seed} lies outside [0, 2^64).")
        self.sources, self.strategy, self.languages = tuple(sources), strategy, tuple(languages)
        self.batch_size, self.seed = batch_size, seed
        servings = find_servings(self.sources, strategy, self.languages, batch_size)
        self.notes = list(servings.notes)
        self._servings = servings.all
        self._schedule = Schedule(servings, [source.num_rows for source in self.sources], strategy, seed)

    def batch(self, index: int) -> PlannedBatch:
        """The global batch of step `index` >= 0, equal on every rank."""
        if index < 0:
            raise IndexError(f"a step is 0 or later, got {index}")
        step = self._schedule.step(index)
        serving = self._servings[step.serving]
        if len(serving.pairs) > 1:
            rows, query_languages, passage_languages = self._in_turn(index, serving, step)
        else:
            rows = self._rows(index, serving, step.start, [Demand(serving.requirement, self.batch_size)])
            query_languages, passage_languages = self._row_languages(index, serving, rows)
        return PlannedBatch(index, serving.kind, serving.source, rows, query_languages, passage_languages)

    def epoch(self, index: int) -> int:
        """The epoch, from 0, of its source that the batch of step `index` belongs to."""
        step = self._schedule.step(index)
        return step.start // self.sources[self._servings[step.serving].source].num_rows

    def describe(self) -> dict[str, object]:
        """Everything that decides the batches, as plain values under names that a user knows.

        Two plans with equal descriptions give equal batches.
        """
        return {
            "sampling rules": _RULES,
            "seed": self.seed,
            "sampler": self.strategy.name,
            **{f"sampler.{key}": value for key, value in self.strategy.values().items()},
            "data.batch_size": self.batch_size,
            "training languages": sorted(self.languages),
            "sources": [source.name for source in self.sources],
            "rows of the sources": [source.num_rows for source in self.sources],
            "fingerprints of the sources": [source.fingerprint for source in self.sources],
        }

    def _rows(self, index: int, serving: Serving, start: int, demands: Sequence[Demand]) -> NDArray[np.int64]:
        """(B,) rows: those of the first demand, then those of the second, and so on."""
        source = self.sources[serving.source]
        epoch, offset = divmod(start, source.num_rows)
        none_taken = [np.empty(0, dtype=np.int64) for _ in demands]
        taken = none_taken
        key = int(words(self.seed, Purpose.EPOCHS, (serving.source, epoch), 1)[0])
        segment = (offset, offset + serving.width)
        for attempt in range(_TOP_UPS):
            taken = take_rows(source, demands, KeyedPermutation(source.num_rows, key), segment, taken=taken)
            rows = np.concatenate(taken)
            if len(rows) == self.batch_size:
                return rows
            if attempt > 0:  # where a row has several keys, rows taken early may leave no room for a whole batch
                taken = none_taken
            key = int(words(self.seed, Purpose.TOP_UPS, (index, attempt), 1)[0])
            segment = (0, source.num_rows)
        raise DataError(
            f"{source.name}: step {index} found no {self.batch_size} rows that share no passage for a {serving.kind} "
            f"batch in {' '.join(serving.requirement.languages)}. Use a smaller data.batch_size."
        )

    def _in_turn(self, index: int, serving: Serving, step: Step) -> tuple[NDArray[np.int64], list[str], list[str]]:
        """The rows and languages of a batch whose rows take turns at the pairs of its serving."""
        first = step.turn * self.batch_size
        turns = in_turn(len(serving.pairs), first, self.batch_size, seed=self.seed, source=serving.source)
        pairs = [serving.pairs[turn] for turn in turns.tolist()]
        either_way = turns // 2  # both directions of a pair need the same rows
        demands = [
            Demand(Requirement(serving.pairs[2 * int(number)], 2), int(count))
            for number, count in zip(*np.unique(either_way, return_counts=True), strict=True)
        ]
        rows = np.empty(self.batch_size, dtype=np.int64)
        rows[np.argsort(either_way, kind="stable")] = self._rows(index, serving, step.start, demands)
        return rows, [query for query, _ in pairs], [passage for _, passage in pairs]

    def _row_languages(self, index: int, serving: Serving, rows: NDArray[np.int64]) -> tuple[list[str], list[str]]:
        """The query and the passage language of each row."""
        if serving.pairs:
            ((query, passage),) = serving.pairs
            return [query] * len(rows), [passage] * len(rows)
        languages = serving.requirement.languages
        held = held_languages(self.sources[serving.source], rows, languages)
        drawn = uniforms(self.seed, Purpose.LANGUAGES, (index, 0), 2, len(rows))
        if serving.kind == "mixed":
            return draw_languages(held, drawn, languages)
        if serving.weights is None:
            return draw_pairs(held, drawn, languages)
        return draw_weighted_pairs(held, drawn, languages, serving.weights)
