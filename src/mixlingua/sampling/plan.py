"""The batch plan: which rows, in which languages, at which step, as a pure function of (seed, step)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixlingua.errors import ConfigError, DataError
from mixlingua.sampling.draws import Purpose, uniforms, words
from mixlingua.sampling.permutation import KeyedPermutation
from mixlingua.sampling.row_pairs import draw_languages, draw_pairs, draw_weighted_pairs
from mixlingua.sampling.schedule import Schedule, Step
from mixlingua.sampling.selection import Demand, Requirement, take_rows
from mixlingua.sampling.serving import Serving
from mixlingua.sampling.servings import find_servings
from mixlingua.sampling.source import PairSource, held_languages
from mixlingua.sampling.strategies import Kind, Strategy
from mixlingua.sampling.turns import in_turn

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
