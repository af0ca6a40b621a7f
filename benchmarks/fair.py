"""What fair lists do to nDCG@10 and to the mix of languages, on XQuAD-R.

    python benchmarks/fair.py --data DIR [--model e5_small_q4] [--queries 100]

The pool holds the sentences of all eleven languages. Two things are asked of a list of ten: does it hold the answer in
every language (all translations are relevant), and does it hold an answer that is there in one language alone? For the
second, the other ten translations are taken out of the pool, and the one that stays is in each language in turn. Lists
are ranked by the function that `fair=true` ranks by. The last line is JSON.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Collection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np

import mixlingua
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.search.retriever import NEIGHBOURS, Ranking, fair_ranking

K = 10
DISCOUNTS = 1 / np.log2(np.arange(2, K + 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder of public data sets, which holds xquad-r")
    parser.add_argument("--model", default="e5_small_q4")
    parser.add_argument("--queries", type=int, default=100, help="of each language, evenly spaced")
    arguments = parser.parse_args()
    task = mixlingua.benchmark("xquad_r", data=arguments.data)
    assert isinstance(task, RetrievalTask)
    encoder = mixlingua.load_encoder(arguments.model)
    asked = [
        (language, list(texts)[place])
        for language, texts in task.queries.items()
        for place in np.linspace(0, len(texts) - 1, arguments.queries).astype(int)
    ]
    queries = encoder.encode([task.queries[language][name] for language, name in asked], "query").numpy()
    languages = [language for language, texts in task.passages.items() for _ in texts]
    names = [name for texts in task.passages.values() for name in texts]
    passages = encoder.encode([text for texts in task.passages.values() for text in texts.values()], "passage").numpy()
    rows_of = {language: np.flatnonzero(np.array(languages) == language) for language in task.passages}
    position = {name: row for row, name in enumerate(names)}

    rows: dict[str, list[dict[str, float]]] = {"plain": [], "fair": []}
    for number, (language, name) in enumerate(asked):
        scores = passages @ queries[number]
        relevant = sorted(position[passage] for passage in task.qrels[language][name])
        kept = relevant[number % len(relevant)]
        for kind in rows:
            best = _list(scores, rows_of, kind)
            alone = _list(scores, rows_of, kind, hidden=set(relevant) - {kept})
            counts = Counter(languages[row] for row in best)
            where = "own" if languages[kept] == language else "other"
            rows[kind].append(
                {
                    "ndcg_all": _ndcg(best, relevant),
                    f"ndcg_one_{where}": _ndcg(alone, [kept]),
                    "own_share": counts[language] / K,
                    "largest_share": max(counts.values()) / K,
                    "languages": len(counts),
                }
            )
    figures = {kind: _means(of_kind) for kind, of_kind in rows.items()}
    for kind, values in figures.items():
        print(f"{kind:6}", "  ".join(f"{key} {value:.3f}" for key, value in values.items()))
    print(json.dumps({"model": arguments.model, "task": task.name, "queries": len(asked), "figures": figures}))


def _list(scores: np.ndarray, rows_of: dict[str, np.ndarray], kind: str, hidden: Collection[int] = ()) -> list[int]:
    """The first K rows of a query, plain or fair."""
    by_language: list[Ranking] = []
    for rows in rows_of.values():
        shown = [row for row in rows[np.argsort(-scores[rows], kind="stable")].tolist()[:NEIGHBOURS + len(hidden)]
                 if row not in hidden]  # fmt: skip
        by_language.append([(float(scores[row]), row) for row in shown])
    if kind == "fair":
        return [row for _, row in fair_ranking(by_language, K)]
    return [row for _, row in sorted((pair for ranking in by_language for pair in ranking), reverse=True)[:K]]


def _ndcg(rows: list[int], relevant: Collection[int]) -> float:
    gains = np.isin(rows, list(relevant)) * DISCOUNTS[: len(rows)]
    return float(gains.sum() / DISCOUNTS[: len(relevant)].sum())


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    keys = sorted({key for row in rows for key in row})
    return {key: float(np.mean([row[key] for row in rows if key in row])) for key in keys}


if __name__ == "__main__":
    main()
