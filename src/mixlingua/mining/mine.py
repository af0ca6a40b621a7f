"""Hard negatives: for each row and language, the passages that an encoder takes for answers and the data do not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixlingua.errors import ConfigError, check_whole
from mixlingua.mining.pool import MiningRows, Pool
from mixlingua.retrieval.encode import Encode, encode_checked
from mixlingua.retrieval.search import exact_scores, on_grid, top

FILTERS = ("own", "related", "margin")  # in the order in which they apply; a passage counts for the first
KEPT = len(FILTERS)


@dataclass(frozen=True)
class Mining:
    """What a negative of a query is, and how much is searched at once.

    top_k: passages that rank first for a query, among which are its negatives, unless `filtered` takes them out
    num_negatives: kept of each query, best first; a query that has fewer is left out of the training file
    margin: least difference of cosines to the row's own passage, 0 to 2; nearer ones may answer too; null: no limit
    across_languages: search the passages of all data.languages; false: those in the query's language
    shard_size: passages, or rows, that are encoded and searched together; bounds memory, and what a stopped run repeats
    Raises ConfigError for values that cannot work.
    """

    top_k: int = 100
    num_negatives: int = 8
    margin: float | None = 0.05
    across_languages: bool = False
    shard_size: int = 16384

    def __post_init__(self) -> None:
        for key in ("top_k", "num_negatives", "shard_size"):
            check_whole(f"mining.{key}", getattr(self, key), 1)
        if self.top_k < self.num_negatives:
            raise ConfigError(
                f"mining.top_k={self.top_k}: mining.num_negatives={self.num_negatives} cannot be chosen among so few; "
                "raise top_k well above it, since some of the first passages are filtered out."
            )
        if self.margin is not None and (
            isinstance(self.margin, bool) or not isinstance(self.margin, int | float) or not 0 <= self.margin <= 2
        ):
            raise ConfigError(f"mining.margin={self.margin}: must be a difference of cosines, 0 to 2; null: no limit.")
        if not isinstance(self.across_languages, bool):
            raise ConfigError(f"mining.across_languages={self.across_languages}: must be true or false.")


@dataclass(frozen=True)
class Mined:
    """The negatives of one query, best first. positive: the score of the row's passage in the query's language.

    positions: (n,) in the pool, n at most num_negatives; scores: (n,). removed: how many of the first `examined`
    passages each of FILTERS took out.
    """

    positive: float
    positions: NDArray[np.int64]
    scores: NDArray[np.float64]
    removed: tuple[int, ...]
    examined: int


@dataclass(frozen=True)
class MinedRow:
    """A row, and what was mined for each of its languages."""

    row: int
    mined: dict[str, Mined] = field(default_factory=dict)


class Vectors(Protocol):
    """The vectors of a pool, on the grid: shard by shard, or at some positions."""

    def __iter__(self) -> Iterator[Tensor]: ...

    def at(self, positions: NDArray[np.int64]) -> Tensor: ...


def mine(
    source: MiningRows, pools: Mapping[str, Pool], vectors: Mapping[str, Vectors], encode: Encode, settings: Mining, *,
    device: torch.device,
) -> Iterator[MinedRow]:  # fmt: skip
    """Every row in order, with the negatives of its queries.

    pools, vectors: by the language of a query. device: where scores are computed; they are exact, so the same anywhere.
    Raises ModelError where a query's vector is not finite.
    """
    for start in range(0, len(source.held), settings.shard_size):
        stop = min(start + settings.shard_size, len(source.held))
        mined_rows = [MinedRow(row) for row in range(start, stop)]
        for column, language in enumerate(source.languages):
            rows = start + np.flatnonzero(source.held[start:stop, column])
            if len(rows):
                queries = _encode_queries(source, rows, language, encode).to(device)
                results = _search(rows, language, queries, pools[language], vectors[language], settings)
                for row, mined in zip(rows.tolist(), results, strict=True):
                    mined_rows[row - start].mined[language] = mined
        yield from mined_rows


def _encode_queries(source: MiningRows, rows: NDArray[np.int64], language: str, encode: Encode) -> Tensor:
    texts = source.store.texts(rows.tolist(), "query", [language] * len(rows))
    return on_grid(encode_checked(encode, texts, "query", f"source '{source.store.name}'"))


def _search(
    rows: NDArray[np.int64], language: str, queries: Tensor, pool: Pool, vectors: Vectors, settings: Mining
) -> Iterator[Mined]:
    """What is mined for the query of each row in one language."""
    first_scores, first_positions = (first.numpy() for first in top(queries, vectors, settings.top_k))
    positives = _positive_scores(rows, language, queries.cpu(), pool, vectors)
    column = pool.languages.index(language)
    for row, scores, positions, positive in zip(rows.tolist(), first_scores, first_positions, positives, strict=True):
        reasons = filtered(pool, row, positions, scores, positive, settings.margin)
        kept = np.flatnonzero(reasons == KEPT)[: settings.num_negatives]
        removed = np.bincount(reasons, minlength=KEPT + 1)[: len(FILTERS)]
        yield Mined(float(positive[column]), positions[kept], scores[kept], tuple(removed.tolist()), len(positions))


def _positive_scores(
    rows: NDArray[np.int64], language: str, queries: Tensor, pool: Pool, vectors: Vectors
) -> NDArray[np.float64]:
    """(Q, L) scores of the rows' own passages in each language of the pool.

    Where a row lacks a language, the score of its passage in the query's language stands in.
    """
    positions = pool.positions[rows]
    fallback = positions[:, [pool.languages.index(language)]]
    positions = np.where(positions >= 0, positions, fallback)
    scores = [exact_scores(queries, vectors.at(column)).numpy() for column in positions.T]
    return np.stack(scores, axis=1)


def filtered(
    pool: Pool, row: int, candidates: NDArray[np.int64], scores: NDArray[np.float64], positives: NDArray[np.float64],
    margin: float | None,
) -> NDArray[np.int64]:  # fmt: skip
    """(T,) for each candidate of one of a row's queries: the position in FILTERS of what takes it out, or KEPT.

    candidates: (T,) positions in the pool, with their scores. positives: (L,) scores of the row's passage in each of
    the pool's languages. margin: how far below these a negative must score; None: no limit.

    own: the candidate is the row's passage, in whatever language. related: one of the rows that have the candidate as
    their passage shares a key with the row: its passage_id, text that both contain, or the text of the query or of the
    passage in any language. margin: it scores less than `margin` below the row's passage in the candidate's
    language, or above it (TopK-MarginPos of Moreira et al. 2024, arXiv 2407.15831, language by language).
    """
    counts = pool.starts[candidates + 1] - pool.starts[candidates]
    ends = np.cumsum(counts)
    members = pool.members[np.repeat(pool.starts[candidates] - ends + counts, counts) + np.arange(ends[-1])]
    keys = pool.source.keys
    own = np.logical_or.reduceat(members == row, ends - counts)
    shares_key = np.isin(keys[members], keys[row]).any(axis=1)
    related = np.logical_or.reduceat(shares_key, ends - counts)
    near = np.zeros(len(candidates), bool)
    if margin is not None:
        near = positives[pool.columns[candidates]] - scores < margin
    reasons: NDArray[np.int64] = np.select([own, related, near], range(KEPT), KEPT)
    return reasons
