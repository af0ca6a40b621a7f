"""How much of a source the batches of a requirement need: whether it has the rows, and how far apart they lie."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixlingua.sampling.draws import Purpose, words
from mixlingua.sampling.permutation import KeyedPermutation
from mixlingua.sampling.selection import Demand, Requirement, shared_key_rate, take_rows
from mixlingua.sampling.source import PairSource
from mixlingua.sampling.width import segment_width

_TRIALS = 10
_ROWS_TO_MEASURE = 4096  # 8.4 million pairs


class Room:
    """The room that batches of batch_size rows find in one source; position: its place among the sources."""

    def __init__(self, position: int, source: PairSource, batch_size: int) -> None:
        self.position, self.source, self.batch_size = position, source, batch_size

    def usable(self, requirement: Requirement, eligible: int) -> int:
        """How many of the eligible rows one batch can take from the whole source, up to batch_size.

        Found by taking them. Where rows have several keys, how many fit depends on the order in which they are tried:
        the best of a few.
        """
        keys = self.source.keys
        if keys is None or eligible < self.batch_size:
            return min(eligible, self.batch_size)
        most = 0
        for trial in range(1 if keys.shape[1] == 1 else _TRIALS):
            most = max(most, len(self._sample(requirement, self.batch_size, trial=trial)))
            if most == self.batch_size:
                break
        return most

    def width(self, requirement: Requirement, eligible: int, count: int) -> int:
        """The rows to read for `count` of the eligible ones, where the rest of the batch is rows of other kinds."""
        source, conflict_rate = self.source, self.source.conflict_rate
        if source.keys is not None and eligible < source.num_rows:
            # conflict_rate is that of all rows; those of one language may share keys more often
            sample = self._sample(requirement, min(eligible, _ROWS_TO_MEASURE), share_no_key=False)
            if len(sample) > 1:
                conflict_rate = max(conflict_rate, shared_key_rate(source.keys[sample]))
        if source.keys is None:
            conflict_rate = 0.0
        shut_out = min(1.0, (self.batch_size - count) * conflict_rate)  # by the rest of the batch
        return segment_width(
            count, num_rows=source.num_rows, eligible=int(eligible * (1 - shut_out)), conflict_rate=conflict_rate
        )

    def width_of_turns(self, pairs: Sequence[tuple[Requirement, int]]) -> int:
        """The rows to read for a batch whose rows take turns at pairs of languages, in both directions.

        pairs: with their eligible rows, rarest first. Of B turns at P directed pairs each has B / P, or up to
        B // P + 2 where the turns begin and end within a round. A row is given to the rarest pair that still needs one
        (see take_rows), so a pair goes short only where fewer rows have it than it and the rarer ones need together.
        """
        if self.source.coverage is None:
            return max(self.width(requirement, eligible, self.batch_size) for requirement, eligible in pairs)
        rounds, rest = divmod(self.batch_size, 2 * len(pairs))
        each = 2 * (rounds + (2 if rest else 0))
        return max(
            self.width(requirement, eligible, min(self.batch_size, place * each))
            for place, (requirement, eligible) in enumerate(pairs, start=1)
        )

    def _sample(
        self, requirement: Requirement, count: int, *, trial: int = 0, share_no_key: bool = True
    ) -> NDArray[np.int64]:
        key = int(words(0, Purpose.TRIALS, (self.position, trial), 1)[0])
        (rows,) = take_rows(
            self.source,
            [Demand(requirement, count)],
            KeyedPermutation(self.source.num_rows, key),
            (0, self.source.num_rows),
            taken=[np.empty(0, dtype=np.int64)],
            share_no_key=share_no_key,
        )
        return rows
