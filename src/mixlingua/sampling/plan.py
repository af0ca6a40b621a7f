"""The batch plan: which rows, in which languages, at which step, as a pure function of (seed, step).

A step gets, in this order, its kind (from the strategy), its source (in proportion to n^exponent for n usable rows),
its batch spec (the languages, uniformly among what the source offers of the kind), its segment of the source's stream
of rows, its rows from there, and the query and passage language of each row. `Schedule` draws the first four, for many
steps at once; `BatchPlan.batch` takes the rows and draws their languages.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mixlingua.errors import ConfigError, DataError, check_whole
from mixlingua.sampling.batch_specs import BatchSpec, BatchSpecs, find_batch_specs
from mixlingua.sampling.random import KeyedPermutation, Purpose, uniforms, words
from mixlingua.sampling.rows import PairSource, take_rows
from mixlingua.sampling.strategies import Kind, Strategy

_RULES = 2  # raise it when the same seed comes to give other batches: checkpoints of older rules are then refused
_TOP_UPS = 100

Source = TypeVar("Source", bound=PairSource)


@dataclass(frozen=True, eq=False)
class PlannedBatch:
    """One batch, or one rank's share of it.

    source_index: position in the plan's sources; rows: (B,) int64, all different, no two with a key in common;
    query_languages, passage_languages: a language per row.
    """

    index: int
    kind: Kind
    source_index: int
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
        num_rows = len(self.rows) // world_size
        share = slice(rank * num_rows, (rank + 1) * num_rows)
        return replace(
            self,
            rows=self.rows[share],
            query_languages=self.query_languages[share],
            passage_languages=self.passage_languages[share],
        )


class BatchPlan(Generic[Source]):
    """The batches of a training run; `notes` are decisions that a user should know of, to be printed.

    `batch(index)` depends on nothing but the arguments of the plan: any process computes any batch, in any order.
    Within an epoch of a source no row comes twice, and within a batch no two rows share a key. A step owns a segment of
    its source's stream (see Schedule) that is just wide enough to hold a batch of usable rows but once in about 10^9
    times; only then is a batch completed from elsewhere in its source, and a row may come twice in the epoch.
    Memory does not grow with the number of rows.
    """

    def __init__(
        self,
        sources: Sequence[Source],
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
        check_whole("data.batch_size", batch_size, 1)
        if not 0 <= seed < 2**64:
            raise ConfigError(f"seed: {seed} lies outside [0, 2^64).")
        self.sources, self.strategy, self.languages = tuple(sources), strategy, tuple(languages)
        self.batch_size, self.seed = batch_size, seed
        specs = find_batch_specs(self.sources, strategy, self.languages, batch_size)
        self.notes = list(specs.notes)
        self._schedule = Schedule(specs, [source.num_rows for source in self.sources], strategy, seed)

    def batch(self, index: int) -> PlannedBatch:
        """The global batch of step `index` >= 0, equal on every rank."""
        if index < 0:
            raise IndexError(f"a step is 0 or later, got {index}")
        spec, start = self._schedule.step(index)
        rows = self._rows(index, spec, start)
        drawn = uniforms(self.seed, Purpose.LANGUAGES, (index, 0), 2, len(rows))
        query_languages, passage_languages = spec.row_languages.draw(self.sources[spec.source_index], rows, drawn)
        return PlannedBatch(index, spec.kind, spec.source_index, rows, query_languages, passage_languages)

    def epoch(self, index: int) -> int:
        """The epoch, from 0, of its source that the batch of step `index` belongs to."""
        spec, start = self._schedule.step(index)
        return start // self.sources[spec.source_index].num_rows

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

    def _rows(self, index: int, spec: BatchSpec, start: int) -> NDArray[np.int64]:
        """(B,) rows from the step's segment of its source's stream, in the order of the stream."""
        source, requirement = self.sources[spec.source_index], spec.row_languages.requirement
        epoch, offset = divmod(start, source.num_rows)
        key = int(words(self.seed, Purpose.EPOCHS, (spec.source_index, epoch), 1)[0])
        segment = (offset, offset + spec.segment_width)
        nothing = np.empty(0, dtype=np.int64)
        rows = nothing
        for attempt in range(_TOP_UPS):
            permutation = KeyedPermutation(source.num_rows, key)
            rows = take_rows(source, requirement, self.batch_size, permutation, segment, taken=rows)
            if len(rows) == self.batch_size:
                return rows
            if attempt > 0:  # where a row has several keys, rows taken early may shut out too many others
                rows = nothing
            key = int(words(self.seed, Purpose.TOP_UPS, (index, attempt), 1)[0])
            segment = (0, source.num_rows)
        raise DataError(
            f"{source.name}: step {index} found no {self.batch_size} rows that share no passage for a {spec.kind} "
            f"batch in {' '.join(requirement.languages)}. Use a smaller data.batch_size."
        )


_STEPS_PER_BLOCK = 4096
_BLOCKS_KEPT = 4


class _Block(NamedTuple):
    """The steps of one block: the positions of their specs and the starts of their segments, (4096,) int64 each.

    ends: the position in each source's stream after them.
    """

    specs: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: tuple[int, ...]


class Schedule:
    """For each step, its batch spec and where its segment of the source's endless stream begins.

    A source's stream is a permutation of its rows, then another, without end. Each step owns the next `segment_width`
    positions of the stream of the source that it draws; a segment lies within one permutation (an epoch), and the rest
    of an epoch that is too short for the next segment is passed over. So segments of an epoch never overlap.
    Draws are made for blocks of 4,096 steps, one random stream each. A block starts where the one before it ends: what
    is kept of earlier blocks is a position per source, and all of it can be computed again.
    """

    def __init__(self, specs: BatchSpecs, num_rows: Sequence[int], strategy: Strategy, seed: int) -> None:
        """num_rows: of each source."""
        self._specs, self._num_rows, self._strategy, self._seed = specs.all, tuple(num_rows), strategy, seed
        self._widths = np.array([spec.segment_width for spec in specs.all])
        self._tables = [_KindTable(kind, specs, strategy.exponent) for kind in strategy.kinds]
        self._block_starts: list[tuple[int, ...]] = [(0,) * len(num_rows)]
        self._blocks: dict[int, _Block] = {}

    def step(self, index: int) -> tuple[BatchSpec, int]:
        """The batch spec of the step of a number, and the start of its segment in the stream of its source."""
        number, offset = divmod(index, _STEPS_PER_BLOCK)
        block = self._blocks.get(number) or self._load(number)
        return self._specs[block.specs[offset]], int(block.starts[offset])

    def _load(self, number: int) -> _Block:
        for missing in range(len(self._block_starts), number + 1):
            self._block_starts.append(self._compute(missing - 1).ends)
        while len(self._blocks) >= _BLOCKS_KEPT:
            del self._blocks[next(iter(self._blocks))]
        self._blocks[number] = self._compute(number)
        return self._blocks[number]

    def _compute(self, number: int) -> _Block:
        drawn = uniforms(self._seed, Purpose.STEPS, (number, 0), 3, _STEPS_PER_BLOCK)
        steps = np.arange(_STEPS_PER_BLOCK, dtype=np.int64) + number * _STEPS_PER_BLOCK
        kinds = self._strategy.draw(drawn[0], steps)
        sources, specs, starts = (np.empty(_STEPS_PER_BLOCK, dtype=np.int64) for _ in range(3))
        for kind, table in enumerate(self._tables):
            of_kind = kinds == kind
            sources[of_kind], specs[of_kind] = table.draw(drawn[1][of_kind], drawn[2][of_kind])
        ends = []
        for source_index, (position, num_rows) in enumerate(
            zip(self._block_starts[number], self._num_rows, strict=True)
        ):
            of_source = sources == source_index
            starts[of_source], end = _lay_out(self._widths[specs[of_source]].tolist(), position, num_rows)
            ends.append(end)
        return _Block(specs, starts, tuple(ends))


class _KindTable:
    """The batch specs of one kind: sources in proportion to size^exponent, the specs of a source uniformly."""

    def __init__(self, kind: Kind, specs: BatchSpecs, exponent: float) -> None:
        by_source: dict[int, list[int]] = {}
        for position, spec in enumerate(specs.all):
            if spec.kind == kind:
                by_source.setdefault(spec.source_index, []).append(position)
        self._sources = np.array(sorted(by_source))
        sizes = np.array([specs.sizes[kind, source_index] for source_index in sorted(by_source)], dtype=np.float64)
        weights = (sizes / sizes.max()) ** exponent
        self._bounds = np.cumsum(weights)[:-1] / weights.sum()  # between the sources, as parts of [0, 1)
        self._num_specs = np.array([len(by_source[source_index]) for source_index in self._sources])
        self._specs = np.concatenate([by_source[source_index] for source_index in self._sources])

    def draw(
        self, for_source: NDArray[np.float64], for_spec: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The source and the spec of each step, as positions, from its uniform numbers."""
        chosen = np.searchsorted(self._bounds, for_source, side="right")
        first_spec = np.cumsum(self._num_specs) - self._num_specs
        nth = (for_spec * self._num_specs[chosen]).astype(np.int64)
        return self._sources[chosen], self._specs[first_spec[chosen] + nth]


def _lay_out(widths: list[int], position: int, num_rows: int) -> tuple[list[int], int]:
    """The start of each segment from `position` of a stream on, none across a multiple of num_rows, and the end."""
    starts = []
    left = num_rows - position % num_rows  # of the epoch
    for width in widths:
        if width > left:
            position += left
            left = num_rows
        starts.append(position)
        position += width
        left -= width
    return starts, position
