"""Batch specs: the kinds of batches that each source can fill, in which languages. Checked before training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mixlingua.errors import ConfigError
from mixlingua.sampling.rows import Capacity, PairSource, Requirement, count_pairs, count_rows, held_languages
from mixlingua.sampling.strategies import Kind, Strategy

_PAIRS_TO_NAME = 6


@dataclass(frozen=True)
class FixedPair:
    """Every row has its query in one language and its passage in another, or in the same one."""

    query: str
    passage: str

    @property
    def requirement(self) -> Requirement:
        """What a row needs."""
        languages = tuple(dict.fromkeys((self.query, self.passage)))
        return Requirement(languages, len(languages))

    def draw(
        self, source: PairSource, rows: NDArray[np.int64], uniforms: NDArray[np.float64]
    ) -> tuple[list[str], list[str]]:
        """The query and the passage language of each row."""
        return [self.query] * len(rows), [self.passage] * len(rows)


@dataclass(frozen=True)
class DrawnLanguages:
    """Every row draws, uniformly, from those of `languages` that it has: one for query and passage alike, or a pair.

    different: the pair is an ordered one of two different languages.
    """

    languages: tuple[str, ...]
    different: bool

    @property
    def requirement(self) -> Requirement:
        """What a row needs."""
        return Requirement(self.languages, 2 if self.different else 1)

    def draw(
        self, source: PairSource, rows: NDArray[np.int64], uniforms: NDArray[np.float64]
    ) -> tuple[list[str], list[str]]:
        """The query and the passage language of each of M rows. uniforms: (2, M) uniform numbers in [0, 1)."""
        held = held_languages(source, rows, self.languages)
        count = held.sum(axis=1)
        query = (uniforms[0] * count).astype(np.int64)
        if not self.different:
            languages = self._nth_held(held, query)
            return languages, list(languages)
        passage = (uniforms[1] * (count - 1)).astype(np.int64)
        passage += passage >= query  # any held language but the query's
        return self._nth_held(held, query), self._nth_held(held, passage)

    def _nth_held(self, held: NDArray[np.bool_], nth: NDArray[np.int64]) -> list[str]:
        """For each row, the nth (from 0) of the languages that it has."""
        columns = np.argmax(np.cumsum(held, axis=1) > nth[:, None], axis=1)
        return [self.languages[column] for column in columns.tolist()]


RowLanguages = FixedPair | DrawnLanguages


@dataclass(frozen=True)
class BatchSpec:
    """A kind of batch of one source, and the languages of its rows.

    source_index: the source's position; row_languages: those of queries and passages; segment_width: positions of the
    source's stream that each such batch owns.
    """

    source_index: int
    kind: Kind
    row_languages: RowLanguages
    segment_width: int


@dataclass(frozen=True)
class BatchSpecs:
    """Every batch that the sources can fill.

    sizes: by kind and source index, the source's rows that batches of the kind can use; notes: decisions that a user
    should know of.
    """

    all: tuple[BatchSpec, ...]
    sizes: Mapping[tuple[Kind, int], int]
    notes: tuple[str, ...]


def find_batch_specs(
    sources: Sequence[PairSource], strategy: Strategy, languages: Sequence[str], batch_size: int
) -> BatchSpecs:
    """The batches that each source can fill under a strategy.

    A language with too few usable rows in a source is left out of that source's monolingual batches, and a pair of
    languages of its cross-lingual batches of one pair, with a note.
    Raises ConfigError, with all problems at once, where a source cannot fill any batch of a kind that it would have to
    serve, or a kind has no source.
    """
    by_source = [
        _SourceSpecs(source_index, source, strategy, languages, batch_size)
        for source_index, source in enumerate(sources)
    ]
    specs = tuple(spec for source in by_source for spec in source.specs)
    problems = [problem for source in by_source for problem in source.problems]
    if not problems:
        kinds = {spec.kind for spec in specs}
        problems = [_no_source(kind, strategy, languages, sources) for kind in strategy.kinds if kind not in kinds]
    if problems:
        raise ConfigError("\n".join(problems))
    present = {language for source in sources for language in source.languages}
    notes = [note for source in by_source for note in source.notes]
    notes += [
        f"{language}: no source has it; it is not trained on" for language in languages if language not in present
    ]
    sizes = {(spec.kind, spec.source_index): by_source[spec.source_index].size(spec.kind) for spec in specs}
    return BatchSpecs(specs, sizes, tuple(notes))


def _no_source(kind: Kind, strategy: Strategy, languages: Sequence[str], sources: Sequence[PairSource]) -> str:
    trained = ", ".join(languages)
    if kind != "crosslingual" and all(source.is_translations for source in sources):
        return (
            f"sampler={strategy.name}: {kind} batches need questions with passages, and the sources "
            f"({', '.join(source.name for source in sources)}) are sentences with their translations: in one language "
            "each would find itself. Add a source such as data=qa, set pairing=next, or use sampler=crosslingual."
        )
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


@dataclass(frozen=True)
class _Option:
    """Row languages with the same requirement. eligible: rows that meet it; usable: those that one batch can take."""

    row_languages: tuple[RowLanguages, ...]
    eligible: int
    usable: int

    @property
    def languages(self) -> str:
        return " ".join(self.row_languages[0].requirement.languages)

    @property
    def rows(self) -> str:
        if self.usable == self.eligible:
            return f"{self.eligible} rows"
        return f"{self.eligible} rows, {self.usable} without a shared passage"


class _SourceSpecs:
    """What one source can fill: `specs`, `notes` and `problems`."""

    def __init__(
        self, source_index: int, source: PairSource, strategy: Strategy, languages: Sequence[str], batch_size: int
    ) -> None:
        self.source, self.strategy, self.batch_size = source, strategy, batch_size
        self.capacity = Capacity(source_index, source, batch_size)
        self.specs: list[BatchSpec] = []
        self.notes: list[str] = []
        self.problems: list[str] = []
        trained = tuple(sorted(set(languages) & set(source.languages)))
        *rows_of_each, self.trained_rows, self.bilingual_rows = count_rows(
            source, [*(((language,), 1) for language in trained), (trained, 1), (trained, 2)]
        )
        self.num_rows = {language: rows for language, rows in zip(trained, rows_of_each, strict=True) if rows}
        self.languages = tuple(self.num_rows)
        if not self.languages:
            self.problems.append(
                f"{source.name}: none of its rows has a training language ({', '.join(languages)}); it has "
                f"{', '.join(source.languages)}. Leave the source out or train on one of its languages."
            )
            return
        if self.source.is_translations and strategy.kinds != ("crosslingual",):
            self.notes.append(
                f"{source.name}: sentences with their translations; it serves cross-lingual batches only, since in one "
                "language each would find itself"
            )
        too_large = [shortage for kind in strategy.kinds if (shortage := self._add(kind))]
        if too_large:
            self.problems.append(
                f"data.batch_size: a batch of {batch_size} is larger than source {source.name}: {', '.join(too_large)} "
                "to choose from. Use a smaller batch or leave the source out."
            )
        if not self.specs and not self.problems:
            self.notes.append(
                f"{source.name}: only {', '.join(self.languages)}; it serves no batch of sampler={strategy.name}"
            )

    def size(self, kind: Kind) -> int:
        """The rows that batches of a kind can use."""
        if kind == "english":
            return self.num_rows["en"]
        return self.bilingual_rows if kind == "crosslingual" else self.trained_rows

    def _add(self, kind: Kind) -> str:
        """Serve a kind in all languages that have rows enough; where none have, what the best ones have instead."""
        options = list(self._options(kind))
        fitting = [option for option in options if option.usable == self.batch_size]
        short = [option for option in options if option.usable < self.batch_size]
        if short and not fitting:
            best = max(short, key=lambda option: option.usable)
            return f"a {kind} batch in {best.languages} has {best.rows}"
        rare = []
        for option in fitting:
            width = self.capacity.segment_width(option.row_languages[0].requirement, option.eligible)
            self.specs += [
                BatchSpec(self.capacity.source_index, kind, row_languages, width)
                for row_languages in option.row_languages
            ]
            if option.eligible < self.source.num_rows / 2 < width:
                rare.append(option)
        self.notes += self._rare(kind, rare)
        self.notes += self._too_few(kind, short)
        return ""

    def _options(self, kind: Kind) -> Iterator[_Option]:
        """What batches of a kind can have here, whether or not there are rows enough."""
        if kind != "crosslingual" and self.source.is_translations:
            return
        if kind == "monolingual":
            for language, rows in self.num_rows.items():
                yield self._option(rows, FixedPair(language, language))
        elif kind == "english":
            if "en" in self.num_rows:
                yield self._option(self.num_rows["en"], FixedPair("en", "en"))
        elif kind == "crosslingual" and self.strategy.one_pair_per_batch:
            rows_with = count_pairs(self.source, self.languages)
            for (one, first), (other, second) in combinations(enumerate(self.languages), 2):
                yield self._option(int(rows_with[one, other]), FixedPair(first, second), FixedPair(second, first))
        elif len(self.languages) > 1:
            different = kind == "crosslingual"
            if self.bilingual_rows or not different:  # or else each row has one language, as questions often have
                eligible = self.bilingual_rows if different else self.trained_rows
                yield self._option(eligible, DrawnLanguages(self.languages, different))

    def _option(self, eligible: int, *row_languages: RowLanguages) -> _Option:
        return _Option(row_languages, eligible, self.capacity.usable(row_languages[0].requirement, eligible))

    def _rare(self, kind: Kind, rare: Sequence[_Option]) -> Iterator[str]:
        """Batches that use up the source because few of its rows will do."""
        of_all = f"of {self.source.num_rows}"
        if rare and kind == "crosslingual" and self.strategy.one_pair_per_batch:
            fewest = min(option.eligible for option in rare)
            yield (
                f"{self.source.name}: few rows ({fewest} {of_all}) have the rarest pair of languages: a batch "
                "that needs them takes up most of an epoch of this source, whose rows come again sooner"
            )
            return
        for option in rare:
            yield (
                f"{self.source.name}: few rows ({option.eligible} {of_all}) serve {kind} batches in "
                f"{option.languages}: each takes up most of an epoch of this source, whose rows come again sooner"
            )

    def _too_few(self, kind: Kind, short: Sequence[_Option]) -> Iterator[str]:
        """Languages, or pairs of them, that are left out of a kind of batch."""
        if kind == "crosslingual" and short:
            most_first = sorted(short, key=lambda option: -option.usable)
            named = [f"{option.languages} ({option.rows})" for option in most_first[:_PAIRS_TO_NAME]]
            more = f" and {len(short) - len(named)} more" if len(short) > len(named) else ""
            yield (
                f"{self.source.name}: too few rows for cross-lingual batches of {self.batch_size} in {', '.join(named)}"
                f"{more}"
            )
            return
        crosslingual = "crosslingual" in self.strategy.kinds and len(self.languages) > 1
        crosslingual = crosslingual and not self.strategy.one_pair_per_batch
        serves = "serves cross-lingual batches only" if crosslingual else "is not trained on"
        for option in short:
            yield (
                f"{self.source.name}: {option.languages} ({option.rows}) {serves}: too few for a batch of "
                f"{self.batch_size}"
            )
