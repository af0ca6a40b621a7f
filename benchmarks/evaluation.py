"""Evaluation from vectors to every figure, against ir-measures on the same rankings.

    python benchmarks/evaluation.py                 # XQuAD-R's shape: 11 languages, 13,090 queries, 121 + 1 runs
    python benchmarks/evaluation.py --small         # three languages, in a second
    python benchmarks/evaluation.py --pairs 121     # ir-measures on all documents, not on a part: slow

Vectors are drawn, of the default encoder's 384 components: a topic, a language and noise. Ours is one call of the
engine and the averages: every pair of languages, the pool of all, all metrics, values of each query, worst queries,
language bias. The peer has the nine quality metrics that both have. It is given each run, all passages of the pool with
their scores, as the dictionary that it takes. Making that from scores is its caller's part, and is timed apart. Its
time is measured on every n-th pair and on as large a share of the multilingual queries, and scaled by the number of
documents that are ranked. Each of its values must equal ours.

The last line is a JSON object: ratio (the peer's time over ours), ours and peer in seconds, spread (the lowest and
highest ratio over the rounds of ours), peak_mib (what the evaluation adds to the process's memory).
"""

import argparse
import json
import resource
from pathlib import Path
from statistics import median
from time import perf_counter

import ir_measures
import numpy as np
import torch
from ir_measures import AP, RR, P, R, nDCG
from measure import print_figures, print_table
from numpy.typing import NDArray

from mixlingua.evaluation.engines.in_memory import evaluate
from mixlingua.evaluation.results import TaskResult
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.retrieval.search import ExactScorer, blocks

PASSAGES = {  # of XQuAD-R
    "ar": 1222, "de": 1276, "el": 1234, "en": 1180, "es": 1215, "hi": 1244, "ru": 1219, "th": 852, "tr": 1167,
    "vi": 1209, "zh": 1196,
}  # fmt: skip
QUERIES = 1190
DIM = 384
MEASURES = {
    "map": AP, "recall_at_1": R @ 1, "recall_at_10": R @ 10, "recall_at_100": R @ 100, "precision_at_1": P @ 1,
    "precision_at_10": P @ 10, "ndcg_at_10": nDCG @ 10, "mrr_at_10": RR @ 10, "mrr_at_100": RR @ 100,
}  # fmt: skip


class Vectors:
    """An `Encode` that has the vectors already."""

    fingerprint = "drawn"

    def __init__(self, queries: torch.Tensor, passages: torch.Tensor) -> None:
        self.sides = {"query": queries, "passage": passages}

    def __call__(self, texts: list[str], side: str) -> torch.Tensor:
        return self.sides[side]


def world(sizes: dict[str, int], num_queries: int) -> tuple[RetrievalTask, Vectors]:
    """Parallel questions, with one relevant passage in each language."""
    rng = np.random.default_rng(0)
    answers = rng.integers(0, min(sizes.values()), num_queries)
    topics = rng.standard_normal((max(sizes.values()), DIM), np.float32)
    languages = rng.standard_normal((len(sizes), DIM), np.float32)

    def drawn(topics: NDArray[np.float32], language: int, noise: float) -> NDArray[np.float32]:
        vectors = topics + 1.5 * languages[language] + noise * rng.standard_normal(topics.shape, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    passages = [drawn(topics[:size], code, 1.5) for code, size in enumerate(sizes.values())]
    queries = [drawn(topics[answers], code, 4.0) for code in range(len(sizes))]
    relevant = {f"q{row}": {f"{code}:{answer}": 1 for code in sizes} for row, answer in enumerate(answers.tolist())}
    task = RetrievalTask(
        "xquad_r", "drawn", "CC0", "drawn",
        queries={code: {f"q{row}": f"{code} q{row}" for row in range(num_queries)} for code in sizes},
        passages={code: {f"{code}:{row}": f"{code} {row}" for row in range(size)} for code, size in sizes.items()},
        qrels=dict.fromkeys(sizes, relevant),
    )  # fmt: skip
    return task, Vectors(torch.from_numpy(np.concatenate(queries)), torch.from_numpy(np.concatenate(passages)))


def cells(task: RetrievalTask, part: int) -> list[tuple[str, str, slice]]:
    """Every part-th pair of languages with all queries, and every query language with a part-th of its queries over
    the pool of all."""
    pairs = [(a, b) for a in task.languages for b in task.languages]
    whole = slice(0, None, part)
    return [(a, b, slice(None)) for a, b in pairs[::part]] + [(a, "all", whole) for a in task.languages]


def by_ir_measures(
    task: RetrievalTask, vectors: Vectors, query_language: str, passage_language: str, queries: slice
) -> tuple[dict[tuple[str, str], float], float, float, int]:
    """Values by metric and query, seconds to make the run and to measure it, and how many documents were ranked."""
    row = list(task.languages).index(query_language)
    per_language = len(task.queries[query_language])
    asking = list(task.queries[query_language])[queries]
    own = vectors.sides["query"][row * per_language : (row + 1) * per_language]
    searched = list(task.passages) if passage_language == "all" else [passage_language]
    starts = dict(zip(task.passages, np.cumsum([0, *task.num_passages.values()]).tolist(), strict=False))
    columns = [starts[code] + place for code in searched for place in range(task.num_passages[code])]
    ids = [key for code in searched for key in task.passages[code]]
    relevant = task.qrels[query_language]
    known = set(ids)
    qrels = {query: {key: grade for key, grade in relevant[query].items() if key in known} for query in asking}
    # The engine's own products: others may differ in the last bit. Among equal scores the relevant one comes last.
    scorer = ExactScorer(vectors.sides["passage"])
    products = [scorer(own[block]) for block in blocks(len(own), scorer.num_passages)]
    scores = torch.cat(products)[queries][:, columns].double()
    column = {key: number for number, key in enumerate(ids)}
    for position, query in enumerate(asking):
        scores[position, [column[key] for key in qrels[query]]] -= 1e-12
    started = perf_counter()
    scores = scores.tolist()
    run = {query: dict(zip(ids, of_query, strict=True)) for query, of_query in zip(asking, scores, strict=True)}
    made = perf_counter()
    values = {
        (str(value.measure), value.query_id): value.value
        for value in ir_measures.evaluator(MEASURES.values(), qrels).iter_calc(run)
    }
    return values, made - started, perf_counter() - made, len(asking) * len(ids)


def assert_equal(result: TaskResult, cell: tuple[str, str, slice], values: dict[tuple[str, str], float]) -> None:
    query_language, passage_language, _ = cell
    table = next(table for table in result.per_query.values() if (query_language, passage_language) in _pairs(table))
    names = {str(measure): name for name, measure in MEASURES.items()}
    rows = {
        query: row
        for row, (query, a, b) in enumerate(
            zip(table.query_ids, table.query_languages, table.passage_languages, strict=True)
        )
        if (a, b) == (query_language, passage_language)
    }
    for (measure, query), value in values.items():
        ours = table.values[names[measure]][rows[query]]
        assert abs(ours - value) < 1e-6, (query_language, passage_language, measure, query, ours, value)


def _pairs(table: object) -> set[tuple[str, str]]:
    return set(zip(table.query_languages, table.passage_languages, strict=True))  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="three languages with 60 queries each")
    parser.add_argument("--rounds", type=int, default=5, help="how often ours is measured")
    parser.add_argument("--pairs", type=int, default=11, help="how many of the pairs ir-measures is given")
    parser.add_argument("--json", type=Path, help="where the figures are written as well")
    chosen = parser.parse_args()
    sizes = {code: size // 10 for code, size in list(PASSAGES.items())[:3]} if chosen.small else PASSAGES
    task, vectors = world(sizes, 60 if chosen.small else QUERIES)
    num_pairs = len(sizes) ** 2
    documents = len(sizes) * len(task.queries["ar"]) * sum(sizes.values()) * 2  # every pool, and all of them as one

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ours = []
    for _ in range(chosen.rounds):
        started = perf_counter()
        result = evaluate(task, vectors)
        figures = result.aggregate()
        ours.append(perf_counter() - started)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

    making = measuring = ranked = 0.0
    for cell in cells(task, max(1, num_pairs // chosen.pairs)):
        values, seconds, peer, number = by_ir_measures(task, vectors, *cell)
        assert_equal(result, cell, values)
        making, measuring, ranked = making + seconds, measuring + peer, ranked + number
    scale = documents / ranked
    time, peer = median(ours), measuring * scale

    whole = (measuring + making) * scale
    rows = [
        (f"ours: {num_pairs} pairs, the mixed pool, {len(figures)} figures", f"{time:.2f}", "1"),
        (f"ir-measures, timed on {ranked / documents:.0%} of the documents", f"{peer:.1f}", f"{peer / time:.0f}"),
        ("the same and making its runs", f"{whole:.1f}", f"{whole / time:.0f}"),
    ]
    print_table("from vectors to figures", ("", "seconds", "times ours"), rows)
    line = {
        "ratio": round(peer / time, 1),
        "ours": round(time, 3),
        "peer": round(peer, 2),
        "spread": [round(peer / seconds, 1) for seconds in (max(ours), min(ours))],
        "peak_mib": round(peak),
        "share_measured": round(ranked / documents, 3),
        "threads": torch.get_num_threads(),
    }
    if chosen.json:
        chosen.json.write_text(json.dumps(line) + "\n", encoding="utf-8")
    print_figures(line)


if __name__ == "__main__":
    main()
