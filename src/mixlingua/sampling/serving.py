"""A batch that a source can serve."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixlingua.sampling.room import Room
from mixlingua.sampling.row_pairs import pair_weights
from mixlingua.sampling.selection import Requirement
from mixlingua.sampling.strategies import Crosslingual, Kind, Strategy

Pair = tuple[str, str]  # the languages of query and passage


@dataclass(frozen=True, eq=False)
class Serving:
    """A kind of batch of one source.

    eligible: the rows that meet the requirement; width: rows of the source's stream that each such batch owns.
    pairs: one, that of all rows; or several that rows take turns at, the two directions of a pair side by side, pairs
    of few rows first; or none, where each row draws from the pairs that it has, by weights: (L, L) over the
    requirement's languages, None for all alike.
    """

    source: int
    kind: Kind
    requirement: Requirement
    eligible: int
    width: int
    pairs: tuple[Pair, ...]
    weights: NDArray[np.float64] | None = None


def servings_of(kind: Kind, fitting: Mapping[Requirement, int], room: Room, strategy: Strategy) -> Iterator[Serving]:
    """What a source serves of a kind. fitting: the requirements that enough rows meet, and how many do."""
    choice = strategy if kind == "crosslingual" and isinstance(strategy, Crosslingual) else None
    if choice is not None and choice.pairs == "balanced" and choice.batch_pairs == "mixed":
        if fitting:
            yield _serving_in_turn(fitting, room)
        return
    for requirement, eligible in fitting.items():
        weights = None
        pairs: list[tuple[Pair, ...]] = [()]
        if choice is not None and choice.batch_pairs == "single":
            pairs = [(pair,) for pair in _both_ways(requirement)]
        elif choice is not None and choice.pairs == "by_size":
            weights = pair_weights(room.source, requirement.languages, choice.pair_exponent)
        elif kind in ("monolingual", "english"):
            (language,) = requirement.languages
            pairs = [((language, language),)]
        width = room.width(requirement, eligible, room.batch_size)
        for own in pairs:
            yield Serving(room.position, kind, requirement, eligible, width, own, weights)


def _serving_in_turn(fitting: Mapping[Requirement, int], room: Room) -> Serving:
    rare_first = sorted(fitting.items(), key=lambda item: item[1])
    pairs = tuple(pair for requirement, _ in rare_first for pair in _both_ways(requirement))
    languages = tuple(sorted({language for language, _ in pairs}))
    width = room.width_of_turns(rare_first)
    return Serving(room.position, "crosslingual", Requirement(languages, 2), rare_first[0][1], width, pairs)


def _both_ways(requirement: Requirement) -> tuple[Pair, Pair]:
    first, second = requirement.languages
    return (first, second), (second, first)
