"""What mining leaves: a source with its negatives, in the format that `data=jsonl` reads, and figures about them."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mixlingua.data.readers.jsonl import OwnIds, row_fields
from mixlingua.data.rows import PairRow
from mixlingua.data.store import SIDES
from mixlingua.errors import DataError
from mixlingua.files import atomic_gzip
from mixlingua.mining.mine import FILTERS, Mined, MinedRow
from mixlingua.mining.pool import MiningRows, Pool


@dataclass
class Tally:
    """Counts over the queries of one language in one source.

    incomplete: queries with fewer negatives than were asked for; the training file leaves them out. The sums of scores
    and the languages of negatives are over the other queries; removed and examined count passages over all queries.
    """

    queries: int = 0
    incomplete: int = 0
    positives: float = 0.0
    scores: float = 0.0
    removed: Counter[str] = field(default_factory=Counter)
    examined: int = 0
    languages: Counter[str] = field(default_factory=Counter)

    def add(self, mined: Mined, pool: Pool, num_negatives: int) -> None:
        """Count a query."""
        self.queries += 1
        self.removed.update(dict(zip(FILTERS, mined.removed, strict=True)))
        self.examined += mined.examined
        if len(mined.positions) < num_negatives:
            self.incomplete += 1
            return
        self.positives += mined.positive
        self.scores += float(np.sum(mined.scores))
        self.languages.update(pool.languages_of(mined.positions))

    def figures(self) -> dict[str, Any]:
        """Plain values. Means are None where every query was left out."""
        complete, negatives = self.queries - self.incomplete, self.languages.total()
        return {
            "queries": self.queries,
            "left_out": self.incomplete,
            "mean_positive": self.positives / complete if complete else None,
            "mean_negative": self.scores / negatives if negatives else None,
            "removed": {name: self.removed[name] / self.examined for name in FILTERS},
            "negative_languages": {name: count / negatives for name, count in sorted(self.languages.items())},
        }


def write_mined(
    path: Path, source: MiningRows, pools: Mapping[str, Pool], rows: Iterable[MinedRow], num_negatives: int
) -> int:
    """Write the rows as .jsonl.gz, each in the languages that have num_negatives. Returns the number of rows.

    The file appears once it is complete; the same rows give the same bytes. Raises DataError where no row has a
    language left.
    """
    own_id, written = OwnIds(), 0
    with atomic_gzip(path) as lines:
        for row in rows:
            complete = {name: mined for name, mined in row.mined.items() if len(mined.positions) == num_negatives}
            if complete:
                fields = _line(source, pools, row.row, complete)
                lines.write(json.dumps(fields | {"id": own_id(fields["id"])}, ensure_ascii=False) + "\n")
                written += 1
        if not written:
            raise DataError(
                f"source '{source.store.name}': no query has mining.num_negatives={num_negatives} negatives among its "
                "first mining.top_k passages. Lower mining.num_negatives or mining.margin, or raise mining.top_k."
            )
    return written


def _line(source: MiningRows, pools: Mapping[str, Pool], row: int, mined: Mapping[str, Mined]) -> dict[str, Any]:
    languages = list(mined)
    rows = [row] * len(languages)
    store = source.store
    # The ids behind a store's keys are not kept, but equal keys stay equal under any name.
    passage_id, *touches = (f"{key:016x}" for key in dict.fromkeys(store.keys[row].astype(np.uint64).tolist()))
    texts = {side: dict(zip(languages, store.texts(rows, side, languages), strict=True)) for side in SIDES}
    negatives = {name: pools[name].texts(found.positions) for name, found in mined.items()}
    row_id, split_key = store.ids([row])[0], store.split_keys([row])[0]
    written = PairRow(
        row_id, texts["query"], texts["passage"], passage_id, tuple(touches), negatives, split_key=split_key
    )
    return row_fields(written) | {"mined": {name: _origin(pools[name], found) for name, found in mined.items()}}


def _origin(pool: Pool, mined: Mined) -> dict[str, Any]:
    """Where each negative comes from, in their order; scores to 6 decimals."""
    return {
        "positive": round(mined.positive, 6),
        "scores": np.round(mined.scores, 6).tolist(),
        "ids": pool.source.store.ids(pool.rows[mined.positions].tolist()),
        "languages": pool.languages_of(mined.positions),
    }
