"""Training speed against sentence-transformers: the same weights, batches, loss, optimiser and threads, in one process.

    python benchmarks/train.py [--precision fp32|bf16] [--steps 20] [--batch-size 48] [--rounds 3] [--small]

Batches are hybrid ones of atlas. mixlingua trains as a run does, with Lightning and a worker that tokenises ahead; the
peer's steps are a bare loop around its model and its MultipleNegativesRankingLoss. Both leave the word embeddings as
they are. bf16 is autocast on both sides. The two are run in turn from the same weights. Their losses of every step must
agree, or the benchmark stops.

The last line is a JSON object. ratio: the peer's seconds over ours for the whole fit, its start and end included; ours
and peer: seconds a step of it, medians over rounds; spread: of the ratio over rounds, lowest and highest. step: the
same for a single step, medians over the steps of all rounds. peak_fraction: FLOP of real tokens a second of a step over
the rate of this machine's own matrix product of 3,072 x 384 x 1,536. memory: the most MiB of a process that trains two
steps, null where the system does not tell.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from measure import (
    LIGHTNING_PRECISION,
    TEMPERATURE,
    compared,
    forward_flop,
    load_encoder,
    matrix_product_rate,
    parser_of,
    peak_memory,
    print_figures,
    print_peak_memory,
    print_table,
)
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from mixlingua.data.atlas import AtlasReader
from mixlingua.data.build import build_store
from mixlingua.data.store import ParallelStore
from mixlingua.files import cache_dir
from mixlingua.losses.base import TotalLoss
from mixlingua.losses.infonce import InfoNCE
from mixlingua.model.folder import save_folder
from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Hybrid
from mixlingua.training.datamodule import PairDataModule
from mixlingua.training.module import RetrieverModule
from mixlingua.training.optimizer import AdamW

LANGUAGES = ("ar", "de", "en", "es", "hi", "ru", "th", "tr", "zh")
OPTIMIZER = AdamW(lr=3e-5, weight_decay=0.01, warmup_steps=0, schedule="constant", layer_decay=1.0)
LOSS_TOLERANCE = {"fp32": 1e-3, "bf16": 0.1}  # of a step's loss; the peer scores in bfloat16 too, which costs most
SIDES = ("mixlingua", "sentence-transformers")


class Steps(pl.Callback):
    """The loss of every step, and when it ended."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.losses.append(outputs["loss"].item())
        self.ends.append(time.perf_counter())


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=48)
    parser.add_argument("--only", choices=SIDES, help="train once with one of them, and print its peak memory")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.steps, arguments.batch_size, arguments.rounds = 3, 8, 1
    steps, batch_size, precision, small = arguments.steps, arguments.batch_size, arguments.precision, arguments.small

    store = build_store(AtlasReader(), cache_dir())
    texts = _texts(store, steps, batch_size)
    fits: dict[str, list[float]] = {name: [] for name in SIDES}
    single: dict[str, list[float]] = {name: [] for name in SIDES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        encoder = load_encoder(small)
        save_folder(encoder, folder)
        sides = {
            SIDES[0]: lambda: _ours(store, steps, batch_size, precision, small),
            SIDES[1]: lambda: _theirs(folder, texts, precision),
        }
        if arguments.only:
            sides[arguments.only]()
            print_peak_memory()
            return
        for _ in range(arguments.rounds):
            losses = []
            for side, train in sides.items():
                took, taken = train()
                fits[side].append(took / steps)
                single[side] += np.diff(taken.ends).tolist()
                losses.append(taken.losses)
            np.testing.assert_allclose(*losses, rtol=1e-3, atol=LOSS_TOLERANCE[precision])
    tokenizer = encoder.tokenizer.tokenizer
    lengths = [len(ids) for batch in texts for side in batch for ids in tokenizer(side)["input_ids"]]
    flop = 3 * forward_flop(encoder, lengths) / steps
    step = compared(single[SIDES[0]], single[SIDES[1]])
    del step["spread"]  # steps differ in their tokens: rounds alone say how sure the figures are
    figures = compared(fits[SIDES[0]], fits[SIDES[1]]) | {"step": step}
    figures["peak_fraction"] = flop / step["ours"] / matrix_product_rate(precision)
    command = [__file__, "--precision", precision, "--batch-size", str(batch_size), *(["--small"] if small else [])]
    figures["memory"] = {side: peak_memory([*command, "--steps", "2", "--only", side]) for side in SIDES}
    medians = {side: statistics.median(single[side]) for side in SIDES}
    rows = [
        (
            side,
            f"{statistics.median(fits[side]):.3f}",
            f"{medians[side]:.3f}",
            f"{medians[SIDES[1]] / medians[side]:.2f}",
            f"{figures['memory'][side] or 0:,.0f}",
        )
        for side in SIDES
    ]
    title = f"{steps} steps of {batch_size} pairs, {torch.get_num_threads()} threads, {precision}"
    print_table(title, ("", "seconds a step of the fit", "a single step", "times the peer", "peak MiB"), rows)
    print_figures(figures)


def _ours(store: ParallelStore, steps: int, batch_size: int, precision: str, small: bool) -> tuple[float, Steps]:
    """Seconds of the steps, start and end of the fit included, and what they were."""
    encoder = load_encoder(small)
    module = RetrieverModule(encoder, TotalLoss({"infonce": InfoNCE(temperature=TEMPERATURE)}), OPTIMIZER)
    data = PairDataModule(_plan(store, batch_size), encoder.tokenizer, num_batches=steps)
    taken = Steps()
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_steps=steps, gradient_clip_val=1.0, callbacks=[taken], logger=False,
        precision=LIGHTNING_PRECISION[precision], enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    start = time.perf_counter()
    trainer.fit(module, data)
    return time.perf_counter() - start, taken


def _theirs(folder: Path, batches: Sequence[tuple[list[str], list[str]]], precision: str) -> tuple[float, Steps]:
    """Seconds of the steps, tokenisation included, and what they were."""
    model = SentenceTransformer(str(folder), device="cpu").train()
    for layer in model.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    model[0].auto_model.get_input_embeddings().requires_grad_(False)
    loss = MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE)
    optimizer = OPTIMIZER.configure(model, len(batches))["optimizer"]
    taken = Steps()
    start = time.perf_counter()
    for queries, passages in batches:
        features = [model.preprocess(texts) for texts in (queries, passages)]
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            value = loss(features, None)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        taken.losses.append(value.item())
        taken.ends.append(time.perf_counter())
    return time.perf_counter() - start, taken


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


if __name__ == "__main__":
    main()
