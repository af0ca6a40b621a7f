"""A query that was answered badly, with the texts that explain it: a figure says how bad, not why."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RankedPassage:
    """rank: from 1, ties counted against the system. score: the inner product with the query."""

    id: str
    language: str
    text: str
    rank: int
    score: float


@dataclass(frozen=True)
class WorstQuery:
    """A query against one pool of `pool_size` passages, `num_relevant` of them relevant.

    value: of the task's main metric, `metric`. first: what was ranked first. relevant: the relevant passage that came
    nearest to that; the last relevant one has last_rank.
    """

    task: str
    setting: str
    query_id: str
    query_language: str
    passage_language: str
    query: str
    metric: str
    value: float
    pool_size: int
    num_relevant: int
    last_rank: int
    first: RankedPassage
    relevant: RankedPassage


def badness(entry: WorstQuery) -> tuple[float, int, str, str, str]:
    """Sorts the worst first: by value, then by how late the first relevant passage comes; never by chance."""
    return entry.value, -entry.relevant.rank, entry.query_language, entry.passage_language, entry.query_id
