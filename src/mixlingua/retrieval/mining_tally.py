"""What a mining run found, added up by the language of the query."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mixlingua.retrieval.mining import Mined
from mixlingua.retrieval.mining_filters import FILTERS
from mixlingua.retrieval.mining_pool import Pool


@dataclass
class Tally:
    """The queries of one language in one source.

    incomplete: those with fewer negatives than were asked for, which are left out of the training file; sums of scores
    and the languages of negatives are over the others. removed, examined: candidates, of all queries.
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
        if len(mined.places) < num_negatives:
            self.incomplete += 1
            return
        self.positives += mined.positive
        self.scores += float(np.sum(mined.scores))
        self.languages.update(pool.languages[column] for column in pool.columns[mined.places].tolist())

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
