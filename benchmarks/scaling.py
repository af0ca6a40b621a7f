"""What each stage costs an item, from 10^3 items to as many as this machine holds, and the figure of it.

    python benchmarks/scaling.py [--largest 8]     # measures, writes results/scaling.json, draws docs/scaling.svg
    python benchmarks/scaling.py --draw            # draws what results/scaling.json holds
    python benchmarks/scaling.py --small           # up to 10^3 items; writes nothing

The encoder is `tiny` (width 32), so that what is measured is this project's code, not a model. Time is that of one
thread's processor, so that other work on the machine counts little. The last line is a JSON object: stage -> items ->
microseconds an item.
"""

import argparse
import gc
import json
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from measure import load_encoder, print_figures, print_table
from torch import Tensor

from mixlingua.data.atlas import AtlasReader
from mixlingua.data.batches import StepDataset
from mixlingua.data.build import build_store
from mixlingua.evaluation.engines.in_memory import evaluate
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.losses.base import TotalLoss
from mixlingua.losses.infonce import InfoNCE
from mixlingua.retrieval.encode import encode
from mixlingua.retrieval.search import top
from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Hybrid
from mixlingua.training.module import RetrieverModule
from mixlingua.training.optimizer import AdamW

ROOT = Path(__file__).resolve().parents[1]
RESULTS, FIGURE = ROOT / "benchmarks" / "results" / "scaling.json", ROOT / "docs" / "scaling.svg"
LANGUAGES = ("ar", "de", "en", "es", "hi", "ru", "th", "tr", "zh")
QUERIES, DIM, SHARD = 100, 64, 16_384
WORDS = [a + b for a in ("na", "ri", "to", "sel", "mund", "keb") for b in ("lo", "mar", "tin", "us")]


@dataclass(frozen=True)
class Source:
    """Rows that have every language and share nothing."""

    num_rows: int
    coverage: None = None
    keys: None = None
    conflict_rate: float = 0.0
    is_translations: bool = False
    name: str = "scaling"
    fingerprint: str = ""
    languages: tuple[str, ...] = LANGUAGES


def sampling(rows: int) -> Callable[[], int]:
    """A source of so many rows; the cost of a row that is drawn, in batches of 256."""
    plan = BatchPlan([Source(rows)], strategy=Hybrid(), languages=LANGUAGES, batch_size=256, seed=0)

    def draw() -> int:
        for step in range(20):
            plan.batch(step)
        return 20 * 256

    return draw


def training(pairs: int) -> Callable[[], int]:
    """Steps of 50 pairs on atlas, batches made included."""
    with tempfile.TemporaryDirectory() as folder:
        store = build_store(AtlasReader(), Path(folder))
        encoder = load_encoder(True, max_query_length=32, max_passage_length=32)
        plan = BatchPlan([store], strategy=Hybrid(), languages=LANGUAGES, batch_size=50, seed=0)
        dataset = StepDataset([store], plan, encoder.tokenizer, num_negatives=0, rank=0, world_size=1)
        module = RetrieverModule(encoder, TotalLoss({"infonce": InfoNCE(temperature=0.05)}), AdamW())
        optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-4, fused=True)
        dataset[0]  # opens the files of the store, which are read from where they are mapped after they are removed

    def train() -> int:
        for step in range(pairs // 50):
            module.batch_loss(dataset[step])[0].backward()
            optimizer.step()
            optimizer.zero_grad()
        return pairs

    return train


def encoding(texts: int) -> Callable[[], int]:
    """Distinct texts of four words."""
    encoder = load_encoder(True)
    listed = [" ".join(WORDS[number // 24**place % 24] for place in range(4)) + f" {number}" for number in range(texts)]

    def run() -> int:
        encode(encoder, listed, "passage", token_budget=2048, precision="32-true")
        return texts

    return run


def _vectors(count: int, seed: int) -> Tensor:
    vectors = torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors, dim=1)


def search(passages: int) -> Callable[[], int]:
    """The first 100 of so many vectors for each of 100 queries, exactly."""
    queries, rows = _vectors(QUERIES, 0), _vectors(passages, 1)

    def run() -> int:
        top(queries, rows.split(SHARD), 100)
        return passages

    return run


def evaluation(passages: int) -> Callable[[], int]:
    """All metrics of two languages and their pool from vectors: 100 queries over so many passages, half in each."""
    half = passages // 2
    queries = {code: {str(n): f"{code} {n}?" for n in range(QUERIES // 2)} for code in ("de", "en")}
    pool = {code: {f"{code}-{n}": f"{code} {n}" for n in range(half)} for code in ("de", "en")}
    qrels = {code: {key: {f"{other}-{key}": 1 for other in pool} for key in texts} for code, texts in queries.items()}
    task = RetrievalTask("scaling", "1", "none", "", queries=queries, passages=pool, qrels=qrels)
    vectors = {"query": _vectors(QUERIES, 0), "passage": _vectors(passages, 1)}

    def run() -> int:
        evaluate(task, lambda texts, side: vectors[side][: len(texts)])  # type: ignore[arg-type]
        return passages

    return run


STAGES: dict[str, tuple[Callable[[int], Callable[[], int]], int]] = {  # and the power of ten that is the last one here
    "sampling, a row that is drawn": (sampling, 8),
    "training, a pair": (training, 4),
    "encoding, a text": (encoding, 5),
    "search, a passage for 100 queries": (search, 6),
    "evaluation, a passage for 100 queries": (evaluation, 5),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=8, help="power of ten")
    parser.add_argument("--draw", action="store_true", help="no measuring: draw the results that are there")
    parser.add_argument("--small", action="store_true", help="whether it runs, not how fast")
    arguments = parser.parse_args()
    if arguments.draw:
        draw(json.loads(RESULTS.read_text(encoding="utf-8"))["microseconds"])
        return
    torch.set_num_threads(1)
    measured: dict[str, dict[str, float]] = {}
    for name, (stage, last) in STAGES.items():
        powers = range(3, min(last, 3 if arguments.small else arguments.largest) + 1)
        measured[name] = {str(10**power): _cost(stage(10**power)) for power in powers}
        print(f"{name}: {measured[name]}", flush=True)
        gc.collect()
    cells = {name: [of.get(str(10**power)) for power in range(3, 9)] for name, of in measured.items()}
    rows = [(name, *("" if cost is None else f"{cost:.2f}" for cost in costs)) for name, costs in cells.items()]
    print_table("microseconds an item", ("", *(f"10^{power}" for power in range(3, 9))), rows)
    if not arguments.small:
        content = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1,
                   "microseconds": measured}  # fmt: skip
        RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        draw(measured)
    print_figures(measured)


def _cost(run: Callable[[], int]) -> float:
    """Microseconds of the processor for an item, the second time: the least of two where that takes no time."""
    run()
    costs = []
    while not costs or (sum(costs) < 1e6 and len(costs) < 3):
        start = time.process_time()
        items = run()
        costs.append((time.process_time() - start) * 1e6 / items)
    return float(np.min(costs))


def draw(measured: dict[str, dict[str, float]]) -> None:
    """docs/scaling.svg: a line for each stage."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "mixlingua"  # the same file from the same figures
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.2), layout="constrained")
    for marker, (name, costs) in zip("osD^v", measured.items(), strict=True):
        items, values = [int(items) for items in costs], list(costs.values())
        axes.plot(items, values, marker=marker, markersize=5, label=name)
    axes.set(xscale="log", yscale="log", xlabel="items", ylabel="microseconds an item")
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(FIGURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
