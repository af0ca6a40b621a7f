"""What a teacher costs a training step: none, one that reads every batch, and one whose vectors are kept.

    python benchmarks/teacher.py [--precision fp32|bf16] [--batch-size 48] [--steps 5] [--rounds 3] [--small]

The model is the default encoder, and its teacher the same encoder as it starts, by loss=[infonce,distillation,
retention]: the teacher reads both sides of every row in English and in the batch's own languages. Kept vectors are on
disk before the steps that are measured. The three take turns from the same weights, over the same batches of atlas.

The last line is a JSON object: plain, live and kept (seconds a step, medians over rounds), kept_over_plain and
live_over_plain, spread (of kept_over_plain over rounds, lowest and highest), and difference (of the losses of kept and
live, the largest share).
"""

import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from measure import LIGHTNING_PRECISION, TEMPERATURE, load_encoder, parser_of, print_figures, print_table, seconds

from mixlingua.data.atlas import AtlasReader
from mixlingua.data.batches import StepDataset, TrainBatch, view_makers
from mixlingua.data.build import build_store
from mixlingua.files import cache_dir
from mixlingua.losses.base import TotalLoss
from mixlingua.losses.distillation import Distillation, Retention
from mixlingua.losses.infonce import InfoNCE
from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Hybrid
from mixlingua.training.module import RetrieverModule, Teacher
from mixlingua.training.optimizer import AdamW

LANGUAGES = ("ar", "de", "en", "es", "hi", "ru", "th", "tr", "zh")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--batch-size", type=int, default=48)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.small:
        arguments.batch_size, arguments.steps, arguments.rounds = 8, 2, 1

    plain = TotalLoss({"infonce": InfoNCE(temperature=TEMPERATURE)})
    taught = TotalLoss({"infonce": InfoNCE(temperature=TEMPERATURE), "distillation": Distillation(weight=20),
                        "retention": Retention(weight=20)})  # fmt: skip
    encoder = load_encoder(arguments.small)
    store = build_store(AtlasReader(), cache_dir())
    plan = BatchPlan([store], strategy=Hybrid(), languages=LANGUAGES, batch_size=arguments.batch_size, seed=0)
    views = view_makers(
        taught.views, encoder.tokenizer, encoder.tokenizer, pivot="en", languages=LANGUAGES, seed=0
    )  # fmt: skip
    data = {
        with_views: StepDataset(
            [store], plan, encoder.tokenizer, num_negatives=0, rank=0, world_size=1, views=views if with_views else {}
        )
        for with_views in (False, True)
    }
    batches = {key: [dataset[step] for step in range(arguments.steps)] for key, dataset in data.items()}

    with _cache():
        kept = Teacher.copy_of(encoder)
        kept.keep(LIGHTNING_PRECISION[arguments.precision])
        sides = {"plain": (plain, None, False), "live": (taught, Teacher.copy_of(encoder), True),
                 "kept": (taught, kept, True)}  # fmt: skip
        took: dict[str, list[float]] = {name: [] for name in sides}
        losses: dict[str, list[float]] = {}
        for name in (
            *sides,
            *[name for _ in range(arguments.rounds) for name in sides],
        ):  # once to warm up, and to fill
            loss, teacher, with_views = sides[name]
            module = RetrieverModule(load_encoder(arguments.small), loss, AdamW(lr=1e-5), teacher)
            optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-5, fused=True)
            found: list[float] = []
            per_step = seconds(lambda: _train(module, optimizer, batches[with_views], arguments.precision, found))  # noqa: B023
            if name in losses:
                took[name].append(per_step / arguments.steps)
            losses[name] = found
            kept.flush()
    medians = {name: statistics.median(values) for name, values in took.items()}
    rows = [(name, f"{value:.3f}", f"{value / medians['plain']:.2f}") for name, value in medians.items()]
    print_table(f"{arguments.batch_size} pairs, {arguments.precision}", ("teacher", "seconds a step", "of plain"), rows)
    ratios = [of_kept / of_plain for of_plain, of_kept in zip(took["plain"], took["kept"], strict=True)]
    difference = max(abs(a - b) / abs(b) for a, b in zip(losses["kept"], losses["live"], strict=True))
    print_figures(medians | {
        "kept_over_plain": medians["kept"] / medians["plain"], "live_over_plain": medians["live"] / medians["plain"],
        "spread": [min(ratios), max(ratios)], "difference": difference,
    })  # fmt: skip


def _train(
    module: RetrieverModule, optimizer: torch.optim.Optimizer, batches: list[TrainBatch], precision: str,
    losses: list[float],
) -> None:  # fmt: skip
    for batch in batches:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss, _ = module.batch_loss(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())


@contextmanager
def _cache() -> Iterator[None]:
    """A cache of this benchmark's own, so that no vectors are there when it begins."""
    before = os.environ.get("MIXLINGUA_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        weights = cache_dir() / "weights"
        if weights.exists():
            (Path(folder) / "weights").symlink_to(weights.absolute())
        os.environ["MIXLINGUA_CACHE"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["MIXLINGUA_CACHE"]
            else:
                os.environ["MIXLINGUA_CACHE"] = before


if __name__ == "__main__":
    main()
