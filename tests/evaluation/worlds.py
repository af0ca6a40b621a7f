"""Small benchmarks over corpora, in memory and on disk; the same as a RetrievalTask where parity is tested."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from mixlingua.evaluation.corpus_tasks import CorpusTask
from mixlingua.evaluation.results import TaskResult
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.retrieval.corpus import Passage


def values(result: TaskResult, metric: str) -> dict[tuple[str, str, str], float]:
    """A metric's means by setting, query and passage language."""
    return {(r.setting, r.query_language, r.passage_language): r.value for r in result.rows if r.metric == metric}


class ListCorpus:
    """Passages in memory."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts
        self.size = sum(map(len, texts.values()))

    def passages(self) -> Iterator[Passage]:
        return (Passage(*entry) for entry in self.texts.items())

    def where(self, position: int) -> str:
        return f"list:{position + 1}"


class ByText:
    """Looks vectors up by text; counts what it encoded."""

    fingerprint = "by text"

    def __init__(self, vectors: dict[str, torch.Tensor]) -> None:
        self.vectors = vectors
        self.calls: list[tuple[str, int]] = []

    def __call__(self, texts, side):
        self.calls.append((side, len(texts)))
        return torch.stack([self.vectors[text] for text in texts])


class ByHash:
    """Unit vectors that are drawn anew for each text."""

    fingerprint = "by hash"

    def __call__(self, texts, side):
        seeds = [int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest()) for text in texts]
        rows = [torch.randn(16, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.nn.functional.normalize(torch.stack(rows), dim=1)


def random_world(seed: int, *, ties: bool) -> tuple[dict, dict, dict, dict]:
    """Queries, passages, qrels and vectors by text, of three languages; a sixth of the passages repeat a text.

    With `ties`, vectors have few distinct values, so that many scores are equal.
    """
    random = np.random.default_rng(seed)
    languages = ["de", "en", "zh"]
    passages = {
        language: {f"{language}{i}": f"{language} text {i if i < 50 else i - 31}" for i in range(60 + 7 * place)}
        for place, language in enumerate(languages)
    }
    qrels: dict[str, dict[str, dict[str, int]]] = {}
    for language in languages:
        qrels[language] = {}
        for number in range(14):
            others = random.permutation(languages)[: random.integers(1, 4)]
            judged = [str(i) for other in others for i in random.choice(list(passages[other]), 4, replace=False)]
            grades = random.integers(-1, 4, len(judged)).tolist()
            grades[0] = 1
            qrels[language][f"q{number}"] = dict(zip(judged, grades, strict=True))
    queries = {language: {query: f"{language} {query}?" for query in qrels[language]} for language in languages}
    texts = [text for part in (queries, passages) for by_id in part.values() for text in by_id.values()]
    if ties:
        vectors = {text: torch.from_numpy(random.integers(-2, 3, 4)).float() for text in texts}
    else:
        vectors = {text: torch.from_numpy(random.standard_normal(64)).float() for text in texts}
        vectors = {text: torch.nn.functional.normalize(row, dim=0) for text, row in vectors.items()}
    return queries, passages, qrels, vectors


def corpus_task(queries, passages, qrels, /, **changes) -> CorpusTask:
    """A task over corpora from what a RetrievalTask takes: judgements are divided by the language of the passage."""
    home = {passage: language for language, part in passages.items() for passage in part}
    pairs: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
    for language, judgements in qrels.items():
        for query, grades in judgements.items():
            for passage, grade in grades.items():
                pair = (language, home.get(passage, language))
                pairs.setdefault(pair, {}).setdefault(query, {})[passage] = grade
    settings = {
        "name": "world", "release": "1", "licence": "CC0", "note": "", "queries": queries, "qrels": pairs,
        "corpora": {language: ListCorpus(part) for language, part in passages.items()},
        "main_metric": "ndcg_at_10", "shard_size": 10, "keep_vectors": False,
    } | changes  # fmt: skip
    return CorpusTask(**settings)


def in_memory(queries, passages, qrels) -> RetrievalTask:
    return RetrievalTask("world", "1", "CC0", "", queries, passages, qrels)


def folder_of(root: Path, queries, passages, qrels) -> Path:
    """The same as files, in the layout of docs/corpora.md."""
    for part in ("corpus", "queries", "qrels"):
        (root / part).mkdir(parents=True)
    for part, kind in ((passages, "corpus"), (queries, "queries")):
        for language, texts in part.items():
            lines = (json.dumps({"_id": name, "text": text}) + "\n" for name, text in texts.items())
            (root / kind / f"{language}.jsonl").write_text("".join(lines), encoding="utf-8")
    for (a, b), judgements in corpus_task(queries, passages, qrels).qrels.items():
        rows = (f"{query}\t{name}\t{grade}\n" for query, part in judgements.items() for name, grade in part.items())
        (root / "qrels" / f"{a}-{b}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows), encoding="utf-8")
    return root


WORDS = "river city bridge mountain lake forest road harbour island valley castle market".split()  # noqa: SIM905


def words(language: str, *numbers: int) -> str:
    """A text that an encoder with real tokens tells from others."""
    return " ".join(f"{language} {WORDS[number % len(WORDS)]} {number}" for number in numbers)


def worded(*languages: str) -> RetrievalTask:
    """Twelve parallel questions over thirty passages in each language."""
    passages = {code: {f"{code}:{n}": words(code, n, n * 7, n + 3) for n in range(30)} for code in languages}
    queries = {code: {f"q{n}": f"{words(code, n, n + 5)}?" for n in range(12)} for code in languages}
    relevant = {f"q{n}": {f"{code}:{n}": 1 for code in languages} for n in range(12)}
    return RetrievalTask("worded", "7", "CC0", "made here", queries, passages, dict.fromkeys(languages, relevant))
