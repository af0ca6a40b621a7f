"""Bitext retrieval between pairs of languages, each with sentences of its own: find the translation of a sentence."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from mixlingua.errors import DataError
from mixlingua.evaluation.evaluator import encode_checked
from mixlingua.evaluation.metrics import metrics_of, relevant_ranks
from mixlingua.evaluation.per_query import PerQueryMetric
from mixlingua.evaluation.results import PerQueryTable, TaskResult
from mixlingua.languages import check_language
from mixlingua.model import distributed
from mixlingua.retrieval.encode import Encode
from mixlingua.retrieval.search import ExactScorer, blocks

SETTING = "crosslingual"


@dataclass(frozen=True)
class BitextTask:
    """Bitexts, each searched both ways: a sentence is the query, its translation the one relevant passage, the other
    side of that bitext the pool.

    bitexts: (a, b) -> the sentences in a and those in b, aligned: the i-th translates the i-th. A language may take
    part in several bitexts with other sentences in each, so that there is no pool of a language: what differs between
    two rows may be the sentences. All texts are encoded as queries, being of one kind, and once each, whatever the
    number of bitexts. The two directions of a line share their question id, such as "de-en:17".

    Raises DataError where a bitext is empty, its sides differ in length, a line is blank, or two bitexts or one hold
    the same pair.
    """

    name: str
    revision: str
    licence: str
    note: str
    bitexts: Mapping[tuple[str, str], tuple[Sequence[str], Sequence[str]]]
    main_metric: str = "recall_at_1"
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise DataError(f"task {self.name}: " + "; ".join(problems))

    @property
    def languages(self) -> tuple[str, ...]:
        """Every language of the task, sorted."""
        return tuple(sorted({language for pair in self.bitexts for language in pair}))

    @property
    def num_sentences(self) -> dict[str, int]:
        """Number of sentences per language, in all its bitexts: as many queries, and as many candidates."""
        counts = dict.fromkeys(self.languages, 0)
        for pair, sides in self.bitexts.items():
            for language, sentences in zip(pair, sides, strict=True):
                counts[language] += len(sentences)
        return counts

    @property
    def size(self) -> str:
        """How much there is to encode, for the plan of a run."""
        return f"{len(self._texts()):,} sentences in {len(self.languages)} languages, {len(self.bitexts)} bitexts"

    def provenance(self) -> dict[str, object]:
        """What identifies the data, as plain values."""
        return {
            "revision": self.revision,
            "licence": self.licence,
            "note": self.note,
            "languages": list(self.languages),
            "main_metric": self.main_metric,
            "num_queries": self.num_sentences,
            "num_candidates": self.num_sentences,
            "pools": {f"{a}-{b}": len(side) for (a, b), (side, _) in self.bitexts.items()},
            "files": dict(self.files),
        }

    def evaluate(self, encode: Encode) -> TaskResult:
        """Rank the whole pool of every sentence; every rank must call this. Raises ModelError as `encode_checked`."""
        texts = self._texts()
        vectors = encode_checked(self.name, encode, list(texts), "query")
        metric = PerQueryMetric(metrics_of(SETTING))
        directions = list(self._directions())
        for group, (_, queries, passages) in enumerate(directions):
            if group % distributed.world_size() == distributed.rank():
                _measure(metric, group, *(vectors[[texts[text] for text in side]] for side in (queries, passages)))
        keys, values = metric.table()
        pairs = [directions[group][0] for group in keys[:, 0].tolist()]
        table = PerQueryTable(
            query_ids=[
                f"{'-'.join(sorted(pair))}:{row + 1}" for pair, row in zip(pairs, keys[:, 1].tolist(), strict=True)
            ],
            query_languages=[query_language for query_language, _ in pairs],
            passage_languages=[passage_language for _, passage_language in pairs],
            values={name: values[:, column] for column, name in enumerate(metric.metrics)},
        )
        return TaskResult(self.name, self.provenance(), {SETTING: table})

    def _texts(self) -> dict[str, int]:
        """Each distinct text and its place."""
        sentences = (text for sides in self.bitexts.values() for side in sides for text in side)
        return {text: place for place, text in enumerate(dict.fromkeys(sentences))}

    def _directions(self) -> Iterator[tuple[tuple[str, str], Sequence[str], Sequence[str]]]:
        """Query and passage language, queries and pool, of each direction."""
        for (a, b), (left, right) in self.bitexts.items():
            yield (a, b), left, right
            yield (b, a), right, left


def _measure(metric: PerQueryMetric, group: int, queries: Tensor, passages: Tensor) -> None:
    """Update the metric with one direction: (N, D) queries and (N, D) passages, row by row each other's translation."""
    scorer = ExactScorer(passages)
    for block in blocks(len(queries), len(passages)):
        rows = np.arange(block.start, block.stop)
        result = relevant_ranks(scorer(queries[block]).numpy(), rows[:, None], np.ones((len(rows), 1)))
        metric.update(result, group, rows)


def _problems(task: BitextTask) -> Iterator[str]:
    if not task.bitexts:
        yield "it has no bitext"
    seen: set[frozenset[str]] = set()
    for pair, sides in task.bitexts.items():
        name = "-".join(pair)
        for language, sentences in zip(pair, sides, strict=True):
            check_language(language, f"task {task.name}")
            if blank := [str(line) for line, text in enumerate(sentences, start=1) if not text.strip()]:
                yield f"{name}: blank {language} lines {', '.join(blank[:5])}"
        if len(set(pair)) == 1 or frozenset(pair) in seen:
            yield f"{name}: a bitext is between two languages, and there is one of each pair"
        seen.add(frozenset(pair))
        if len(sides[0]) != len(sides[1]) or not sides[0]:
            yield f"{name}: {len(sides[0])} and {len(sides[1])} lines; a bitext needs some, as many on each side"
