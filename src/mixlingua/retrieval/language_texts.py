"""Texts of each language from parallel sources: as far as these are parallel, the same rows for every language."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixlingua.data.store import ParallelStore
from mixlingua.errors import DataError
from mixlingua.sampling.draws import Purpose, words
from mixlingua.sampling.permutation import KeyedPermutation
from mixlingua.sampling.source import held_languages

_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class LanguageTexts:
    """The queries and passages of one language's rows, N each."""

    queries: list[str]
    passages: list[str]


def check_texts(stores: Sequence[ParallelStore], languages: Sequence[str], rows_per_language: int) -> None:
    """Raises DataError naming the languages of which the stores have fewer rows than `rows_per_language`."""
    held = {name: sum(store.rows_per_language.get(name, 0) for store in stores) for name in languages}
    lacking = ", ".join(f"{name} ({rows})" for name, rows in held.items() if rows < rows_per_language)
    if lacking:
        raise DataError(
            f"postprocess.rows_per_language={rows_per_language}: {', '.join(store.name for store in stores)} has fewer "
            f"rows in {lacking}. Lower it, leave these languages out of postprocess.languages, or choose further data."
        )


def draw_texts(
    stores: Sequence[ParallelStore], languages: Sequence[str], *, rows_per_language: int, seed: int
) -> dict[str, LanguageTexts]:
    """language -> texts of `rows_per_language` of its rows, drawn without replacement from all stores alike.

    The rows come from one random order of all rows: first those that have every language, which are drawn for each
    alike, so that what the texts are about is the same in all of them; then, for languages that need more, the others.
    Raises DataError as `check_texts`.
    """
    check_texts(stores, languages, rows_per_language)
    starts = np.cumsum([0, *(store.num_rows for store in stores)])
    order = KeyedPermutation(int(starts[-1]), int(words(seed, Purpose.PARTS, (0, 1), 1)[0]))
    drawn: dict[str, list[tuple[int, int]]] = {language: [] for language in languages}
    for complete in (True, False):
        for start in range(0, order.size, _ROWS_AT_ONCE):
            if all(len(rows) == rows_per_language for rows in drawn.values()):
                break
            piece = order(np.arange(start, min(start + _ROWS_AT_ONCE, order.size)))
            owners = np.searchsorted(starts, piece, side="right") - 1
            numbers = piece - starts[owners]
            held = _held(stores, owners, numbers, languages)
            held &= (held.all(1) == complete)[:, None]
            for column, rows in enumerate(drawn.values()):
                taken = np.flatnonzero(held[:, column])[: rows_per_language - len(rows)]
                rows += [(int(owners[i]), int(numbers[i])) for i in taken]
    return {language: _read(stores, language, rows) for language, rows in drawn.items()}


def _held(
    stores: Sequence[ParallelStore], owners: NDArray[np.int64], numbers: NDArray[np.int64], languages: Sequence[str]
) -> NDArray[np.bool_]:
    """(M, L) whether the rows `numbers` of the stores `owners`, M each, have the L languages."""
    held = np.zeros((len(owners), len(languages)), dtype=np.bool_)
    for number, store in enumerate(stores):
        own = np.flatnonzero(owners == number)
        columns = np.flatnonzero([language in store.languages for language in languages])
        held[np.ix_(own, columns)] = held_languages(
            store, numbers[own], [languages[column] for column in columns.tolist()]
        )
    return held


def _read(stores: Sequence[ParallelStore], language: str, rows: Sequence[tuple[int, int]]) -> LanguageTexts:
    return LanguageTexts(
        queries=[stores[owner].texts([row], "query", [language])[0] for owner, row in rows],
        passages=[stores[owner].texts([row], "passage", [language])[0] for owner, row in rows],
    )
