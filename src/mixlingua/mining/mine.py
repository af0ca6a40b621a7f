"""Hard negatives: for each row and language, what an encoder takes for an answer and the data do not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixlingua.mining.pool import MiningRows, Pool
from mixlingua.retrieval.encode import Encode, check_vectors
from mixlingua.retrieval.search import exact_scores, on_grid, top

FILTERS = ("own", "related", "margin")  # in the order in which they are asked; a passage counts for the first
KEPT = len(FILTERS)


def filtered(
    pool: Pool, row: int, candidates: NDArray[np.int64], scores: NDArray[np.float64], positives: NDArray[np.float64],
    margin: float | None,
) -> NDArray[np.int64]:  # fmt: skip
    """(T,) for each candidate of one of a row's queries, the position in FILTERS of what takes it out, or KEPT.

    candidates: (T,) positions in the pool; scores: theirs. positives: (L,) scores of the row's passage in each of the
    pool's languages. margin: how far below them a negative must score; None: anything goes.

    own: the candidate is the row's passage, in whatever language. related: one of the rows that have the candidate as
    their passage shares a key with the row: its passage_id, text that both contain, or the text of a passage in any
    training language. margin: it scores less than `margin` below the row's passage in the candidate's language, or
    above it (TopK-MarginPos of Moreira et al. 2024, arXiv 2407.15831, language by language).
    """
    counts = pool.starts[candidates + 1] - pool.starts[candidates]
    ends = np.cumsum(counts)
    members = pool.members[np.repeat(pool.starts[candidates] - ends + counts, counts) + np.arange(ends[-1])]
    keys = pool.source.keys
    own = np.logical_or.reduceat(members == row, ends - counts)
    shared = (keys[members][:, :, None] == keys[row]).any(axis=(1, 2))
    related = np.logical_or.reduceat(shared, ends - counts)
    near = np.zeros(len(candidates), bool)
    if margin is not None:
        near = positives[pool.columns[candidates]] - scores < margin
    reasons: NDArray[np.int64] = np.select([own, related, near], range(KEPT), KEPT)
    return reasons


class Vectors(Protocol):
    """The vectors of a pool, on the grid: shard by shard, or at some positions."""

    def __iter__(self) -> Iterator[Tensor]: ...

    def at(self, positions: NDArray[np.int64]) -> Tensor: ...


@dataclass(frozen=True)
class Rules:
    """What a negative is: one of the first top_k passages that no filter takes out, and of these the num_negatives
    that rank first. margin, across_languages: as `filtered` and `pools` say."""

    top_k: int
    num_negatives: int
    margin: float | None
    across_languages: bool


@dataclass(frozen=True)
class Mined:
    """What was found for one query, best first. positive: the score of the row's passage in the query's language.

    places: (n,) positions in the pool, n at most num_negatives; scores: (n,). removed: candidates that each of FILTERS
    took out of the first `examined`.
    """

    positive: float
    places: NDArray[np.int64]
    scores: NDArray[np.float64]
    removed: tuple[int, ...]
    examined: int


@dataclass(frozen=True)
class MinedRow:
    """A row with what was found for each of its languages."""

    row: int
    found: dict[str, Mined] = field(default_factory=dict)


def mine(
    source: MiningRows, pools: Mapping[str, Pool], vectors: Mapping[str, Vectors], encode: Encode, rules: Rules, *,
    rows_at_once: int, device: torch.device,
) -> Iterator[MinedRow]:  # fmt: skip
    """Every row in order, with what was found for its queries.

    pools, vectors: by the language of a query. rows_at_once: whose queries are encoded and searched together, which
    bounds memory and how often the vectors are read. device: what the scores are computed on; being exact, they are the
    same on each. Raises ModelError where a query's vector is not finite.
    """
    for start in range(0, len(source.held), rows_at_once):
        stop = min(start + rows_at_once, len(source.held))
        found: dict[int, dict[str, Mined]] = {row: {} for row in range(start, stop)}
        for column, language in enumerate(source.languages):
            rows = start + np.flatnonzero(source.held[start:stop, column])
            if len(rows):
                queries = _encoded(source, rows, language, encode).to(device)
                for row, mined in _search(rows, language, queries, pools[language], vectors[language], rules):
                    found[row][language] = mined
        yield from (MinedRow(row, by_language) for row, by_language in found.items())


def _encoded(source: MiningRows, rows: NDArray[np.int64], language: str, encode: Encode) -> Tensor:
    texts = source.store.texts(rows.tolist(), "query", [language] * len(rows))
    return on_grid(check_vectors(encode(texts, "query"), len(rows), "query", f"source '{source.store.name}'"))


def _search(
    rows: NDArray[np.int64], language: str, queries: Tensor, pool: Pool, vectors: Vectors, rules: Rules
) -> Iterator[tuple[int, Mined]]:
    found_scores, found_places = (found.numpy() for found in top(queries, vectors, rules.top_k))
    positives = _positives(rows, language, queries.cpu(), pool, vectors)
    own = pool.languages.index(language)
    for index, row in enumerate(rows.tolist()):
        scores, places = found_scores[index], found_places[index]
        reasons = filtered(pool, row, places, scores, positives[index], rules.margin)
        kept = np.flatnonzero(reasons == KEPT)[: rules.num_negatives]
        removed = np.bincount(reasons, minlength=KEPT + 1)[: len(FILTERS)]
        yield row, Mined(float(positives[index, own]), places[kept], scores[kept], tuple(removed.tolist()), len(places))


def _positives(
    rows: NDArray[np.int64], language: str, queries: Tensor, pool: Pool, vectors: Vectors
) -> NDArray[np.float64]:
    """(Q, L) scores of the rows' passages in each language of the pool; that in the query's language for one that a row
    lacks."""
    places = pool.places[rows]
    own = places[:, pool.languages.index(language)]
    scores = np.empty(places.shape)
    for column in range(places.shape[1]):
        here = np.where(places[:, column] >= 0, places[:, column], own)
        scores[:, column] = exact_scores(queries, vectors.at(here)).numpy()
    return scores
