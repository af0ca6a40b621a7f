"""Which source can serve which kind of batch, in which language: decided, and checked, before training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mixlingua.errors import ConfigError
from mixlingua.sampling.language_pairs import pair_weights
from mixlingua.sampling.rows import Requirement, Room
from mixlingua.sampling.source import PairSource, count_pairs, count_rows
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


_PAIRS_TO_NAME = 6


class SourceServings:
    """What one source serves: `servings`, `notes`, `problems` and its `size`."""

    def __init__(
        self, position: int, source: PairSource, strategy: Strategy, languages: Sequence[str], batch_size: int
    ) -> None:
        self.source, self.strategy, self.batch_size = source, strategy, batch_size
        self.by_pair = isinstance(strategy, Crosslingual) and strategy.needs_rows_of_pairs
        self.room = Room(position, source, batch_size)
        self.servings: list[Serving] = []
        self.notes: list[str] = []
        self.problems: list[str] = []
        listed = tuple(sorted(set(languages) & set(source.languages)))
        *rows_per_language, self.size, bilingual = count_rows(
            source, [*(((language,), 1) for language in listed), (listed, 1), (listed, 2)]
        )
        self.rows_per_language = {
            language: rows for language, rows in zip(listed, rows_per_language, strict=True) if rows
        }
        self.languages = tuple(self.rows_per_language)
        self.rows_with = {1: self.size, 2: bilingual}
        if not self.languages:
            self.problems.append(
                f"{source.name}: none of its rows has a training language ({', '.join(languages)}); it has "
                f"{', '.join(source.languages)}. Leave the source out or train on one of its languages."
            )
            return
        too_large = [shortage for kind in strategy.kinds if (shortage := self._add(kind))]
        if too_large:
            self.problems.append(
                f"data.batch_size: a batch of {batch_size} is larger than source {source.name}: {', '.join(too_large)} "
                "to choose from. Use a smaller batch or leave the source out."
            )
        if not self.servings and not self.problems:
            self.notes.append(
                f"{source.name}: only {', '.join(self.languages)}; it serves no batch of sampler={strategy.name}"
            )

    def _add(self, kind: Kind) -> str:
        """Serve a kind in all languages that have rows enough; where none have, what the best ones have instead."""
        fitting: dict[Requirement, int] = {}
        short: list[_Short] = []
        for requirement, eligible in self._requirements(kind).items():
            usable = self.room.usable(requirement, eligible)
            if usable < self.batch_size:
                short.append(_Short(requirement, eligible, usable))
            else:
                fitting[requirement] = eligible
        if short and not fitting:
            best = max(short, key=lambda one: one.usable)
            return f"a {kind} batch in {' '.join(best.requirement.languages)} has {best}"
        served = list(servings_of(kind, fitting, self.room, self.strategy))
        self.servings += served
        self.notes += self._rare(kind, served)
        self.notes += self._too_few(kind, short) if short else ()
        return ""

    def _requirements(self, kind: Kind) -> dict[Requirement, int]:
        """Each requirement that batches of a kind can have here, with the number of rows that meet it."""
        if kind == "monolingual":
            return {Requirement((language,), 1): rows for language, rows in self.rows_per_language.items()}
        if kind == "english":
            return {Requirement(("en",), 1): self.rows_per_language["en"]} if "en" in self.languages else {}
        if kind == "crosslingual" and self.by_pair:
            rows = count_pairs(self.source, self.languages)
            pairs = combinations(range(len(self.languages)), 2)
            return {
                Requirement((self.languages[one], self.languages[other]), 2): int(rows[one, other])
                for one, other in pairs
            }
        minimum = 2 if kind == "crosslingual" else 1
        return {Requirement(self.languages, minimum): self.rows_with[minimum]} if len(self.languages) > 1 else {}

    def _rare(self, kind: Kind, served: Sequence[Serving]) -> Iterator[str]:
        """Batches that use up the source because few of its rows will do."""
        num_rows = self.source.num_rows
        rare = [serving for serving in served if serving.eligible < num_rows / 2 < serving.width]
        if rare and self.by_pair and kind == "crosslingual":
            fewest = min(serving.eligible for serving in rare)
            yield (
                f"{self.source.name}: few rows ({fewest} of {num_rows}) have the rarest pair of languages: a batch "
                "that needs them takes up most of an epoch of this source, whose rows come again sooner"
            )
            return
        for serving in rare:
            yield (
                f"{self.source.name}: few rows ({serving.eligible} of {num_rows}) serve {kind} batches in "
                f"{' '.join(serving.requirement.languages)}: each takes up most of an epoch of this source, whose rows "
                "come again sooner"
            )

    def _too_few(self, kind: Kind, short: Sequence["_Short"]) -> Iterator[str]:
        """Languages, or pairs of them, that are left out of a kind of batch."""
        if kind == "crosslingual":
            most_first = sorted(short, key=lambda one: -one.usable)
            named = [f"{' '.join(one.requirement.languages)} ({one})" for one in most_first[:_PAIRS_TO_NAME]]
            more = f" and {len(short) - len(named)} more" if len(short) > len(named) else ""
            yield (
                f"{self.source.name}: too few rows for cross-lingual batches of {self.batch_size} in {', '.join(named)}"
                f"{more}"
            )
            return
        crosslingual = "crosslingual" in self.strategy.kinds and len(self.languages) > 1 and not self.by_pair
        serves = "serves cross-lingual batches only" if crosslingual else "is not trained on"
        for one in short:
            yield (
                f"{self.source.name}: {one.requirement.languages[0]} ({one}) {serves}: too few for a batch of "
                f"{self.batch_size}"
            )


@dataclass(frozen=True)
class _Short:
    """A requirement that too few rows meet; usable: how many of them one batch can take."""

    requirement: Requirement
    eligible: int
    usable: int

    def __str__(self) -> str:
        if self.usable == self.eligible:
            return f"{self.eligible} rows"
        return f"{self.eligible} rows, {self.usable} without a shared passage"


@dataclass(frozen=True)
class Servings:
    """Everything that the sources can serve.

    sizes: rows of each source with one training language or more; notes: decisions that a user should know of.
    """

    all: tuple[Serving, ...]
    sizes: tuple[int, ...]
    notes: tuple[str, ...]


def find_servings(
    sources: Sequence[PairSource], strategy: Strategy, languages: Sequence[str], batch_size: int
) -> Servings:
    """What each source serves under a strategy.

    A language with too few usable rows in a source is left out of that source's monolingual batches, and a pair of
    languages of its single-pair and balanced cross-lingual batches, with a note.
    Raises ConfigError, with all problems at once, where a source cannot fill any batch of a kind that it would have to
    serve, or a kind has no source.
    """
    servings: list[Serving] = []
    sizes: list[int] = []
    notes: list[str] = []
    problems: list[str] = []
    for position, source in enumerate(sources):
        served = SourceServings(position, source, strategy, languages, batch_size)
        servings += served.servings
        notes += served.notes
        problems += served.problems
        sizes.append(served.size)
    kinds_to_fill = {serving.kind for serving in servings}
    if not problems:
        problems = [_no_source(kind, strategy, languages) for kind in strategy.kinds if kind not in kinds_to_fill]
    if problems:
        raise ConfigError("\n".join(problems))
    present = {language for source in sources for language in source.languages}
    absent = [language for language in languages if language not in present]
    notes += [f"{language}: no source has it; it is not trained on" for language in absent]
    return Servings(tuple(servings), tuple(sizes), tuple(notes))


def _no_source(kind: Kind, strategy: Strategy, languages: Sequence[str]) -> str:
    trained = ", ".join(languages)
    if kind == "english":
        return (
            f"sampler={strategy.name}: needs rows in en, and the training languages that the sources have do not "
            f"include it (training languages: {trained}). Train on en too, or use another sampler."
        )
    return (
        f"sampler={strategy.name}: {kind} batches need a source with two or more of the training languages "
        f"({trained}), and no source has that. Train on more languages, add a parallel source, or use "
        "sampler=monolingual."
    )
