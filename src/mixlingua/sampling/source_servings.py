"""Which kinds of batch one source can serve, in which languages, and what a user should know of that."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from mixlingua.sampling.room import Room
from mixlingua.sampling.selection import Requirement
from mixlingua.sampling.serving import Serving, servings_of
from mixlingua.sampling.source import PairSource, count_pairs, count_rows
from mixlingua.sampling.strategies import Crosslingual, Kind, Strategy

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
