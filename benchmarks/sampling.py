"""Time per batch and memory of the batch plan, for sources of 10^4 to 10^8 rows, and of a peer's samplers at 10^6.

    python benchmarks/sampling.py                        # up to 10^8 rows, hybrid batches of 1,024
    python benchmarks/sampling.py --rows 1e4 1e9 --batch-size 256
    python benchmarks/sampling.py --alpha 0 --batch-pairs single    # cross-lingual batches alone
    python benchmarks/sampling.py --small                # whether it runs, not how fast

Each line is measured in a process of its own. `full`: every row has every language, and no passage is shared: nothing
is stored by row. `uneven`: rows have 2 to 9 of 9 languages and share passages; coverage and keys are files on disk,
memory-mapped. The peer is sentence-transformers: `no_duplicates`, plain and with hashes, over a data set on disk of
one-language pairs that share passages as `uneven` does, and `proportional` over two halves of it, drawn at random.

heap: the most that Python and numpy allocated at any time, construction included. RSS: how much the process grew; the
part in brackets is pages of mapped files, which the system drops when something else needs the memory.

The last line is a JSON object: ours and peer (milliseconds of a batch, medians, of `uneven` and of the peer's sampler
that keeps duplicates apart, at as many rows), ratio (the peer's time over ours), peer_first (seconds before the peer's
first batch) and rows, which has every line.
"""

import argparse
import json
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Hybrid

LANGUAGES = ("ar", "de", "en", "es", "hi", "ru", "th", "tr", "zh")
ROWS_PER_PASSAGE = 5
ROWS_AT_ONCE = 10**6
PEERS = ("no_duplicates", "no_duplicates_hashed", "proportional")


@dataclass(frozen=True)
class Source:
    num_rows: int
    coverage: NDArray[np.uint64] | None = None
    keys: NDArray[np.int64] | None = None
    conflict_rate: float = 0.0
    name: str = "benchmark"
    fingerprint: str = ""
    languages: tuple[str, ...] = LANGUAGES
    is_translations: bool = False


@dataclass(frozen=True)
class Measured:
    """first: seconds until there is a batch. batch, slowest, any_order: milliseconds. Memory in MiB."""

    sampler: str
    rows: int
    first: float
    batch: float
    slowest: float
    rss: float
    rss_of_files: float
    heap: float | None = None
    any_order: float | None = None
    far_step: float | None = None


def resident() -> tuple[float, float]:
    """MiB in memory of this process: all of it, and what belongs to mapped files."""
    status = Path("/proc/self/status")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines()) if status.exists() else {}
    whole, of_files = (int(lines.get(name, "0 kB").split()[0]) / 1024 for name in ("VmRSS", "RssFile"))
    return whole, of_files


def grown(before: tuple[float, float]) -> dict[str, float]:
    whole, of_files = resident()
    return {"rss": whole - before[0], "rss_of_files": max(0.0, of_files - before[1])}


def milliseconds(draw: Callable[[], object]) -> float:
    start = perf_counter()
    draw()
    return (perf_counter() - start) * 1e3


def passages(num_rows: int) -> Iterator[NDArray[np.int64]]:
    """The number of each row's passage, in pieces; ROWS_PER_PASSAGE rows share one on average."""
    rng = np.random.default_rng(1)
    for start in range(0, num_rows, ROWS_AT_ONCE):
        yield rng.integers(0, max(1, num_rows // ROWS_PER_PASSAGE), min(ROWS_AT_ONCE, num_rows - start))


def write_uneven(folder: Path, num_rows: int) -> None:
    """coverage.npy (num_rows,) and keys.npy (num_rows, 2), the second key equal to the first."""
    rng = np.random.default_rng(0)
    coverage = np.lib.format.open_memmap(folder / "coverage.npy", mode="w+", dtype=np.uint64, shape=(num_rows,))
    keys = np.lib.format.open_memmap(folder / "keys.npy", mode="w+", dtype=np.int64, shape=(num_rows, 2))
    for number, piece in enumerate(passages(num_rows)):
        rows = slice(number * ROWS_AT_ONCE, number * ROWS_AT_ONCE + len(piece))
        coverage[rows] = (
            rng.integers(0, 2 ** len(LANGUAGES), len(piece)) | 0b100 | 1 << rng.choice([0, 1, 3], len(piece))
        )
        keys[rows] = piece[:, None]


def measure_plan(name: str, num_rows: int, batch_size: int, num_steps: int, folder: Path, strategy: Hybrid) -> Measured:
    def make_plan() -> BatchPlan:
        source = Source(num_rows)
        if name == "uneven":
            coverage, keys = (np.load(folder / f"{file}.npy", mmap_mode="r") for file in ("coverage", "keys"))
            source = Source(num_rows, coverage, keys, conflict_rate=ROWS_PER_PASSAGE / num_rows)
        return BatchPlan([source], strategy=strategy, languages=LANGUAGES, batch_size=batch_size, seed=0)

    before = resident()
    start = perf_counter()
    plan = make_plan()
    plan.batch(0)
    first = perf_counter() - start
    in_order = [milliseconds(lambda step=step: plan.batch(step)) for step in range(1, num_steps)]
    memory = grown(before)
    far_step = milliseconds(lambda: plan.batch(10**6)) / 1e3  # lays out all steps up to it, once
    steps = np.random.default_rng(0).integers(0, 10**6, max(1, num_steps // 10)).tolist()
    any_order = median(milliseconds(lambda step=step: plan.batch(step)) for step in steps)
    del plan
    tracemalloc.start()  # after the timing, which it would slow down
    plan = make_plan()
    for step in (*range(20), 10**5):
        plan.batch(step)
    heap = tracemalloc.get_traced_memory()[1] / 2**20
    return Measured(
        name,
        num_rows,
        first,
        median(in_order),
        max(in_order),
        **memory,
        heap=heap,
        any_order=any_order,
        far_step=far_step,
    )


def write_pairs(folder: Path, num_rows: int) -> None:
    """A data set on disk with a question of its own in each row."""
    from datasets import Dataset

    def rows() -> Iterator[dict[str, str]]:
        for number, piece in enumerate(passages(num_rows)):
            for row, passage in enumerate(piece.tolist(), start=number * ROWS_AT_ONCE):
                yield {
                    "anchor": f"What does row {row} of the table ask?",
                    "positive": f"The text of passage {passage}.",
                }

    Dataset.from_generator(rows, cache_dir=str(folder / "cache")).save_to_disk(folder / "pairs")


def measure_peer(name: str, num_rows: int, batch_size: int, num_steps: int, folder: Path, _: Hybrid) -> Measured:
    import torch
    from datasets import load_from_disk
    from sentence_transformers.sampler import DefaultBatchSampler, NoDuplicatesBatchSampler, ProportionalBatchSampler

    dataset = load_from_disk(folder / "pairs")
    before = resident()
    generator = torch.Generator()
    options: dict[str, Any] = {"batch_size": batch_size, "drop_last": True, "generator": generator, "seed": 0}
    start = perf_counter()
    if name == "proportional":
        halves = [dataset.select(range(num_rows // 2)), dataset.select(range(num_rows // 2, num_rows))]
        each = [
            DefaultBatchSampler(torch.utils.data.RandomSampler(half, generator=generator), batch_size, drop_last=True)
            for half in halves
        ]
        joined = torch.utils.data.ConcatDataset(halves)
        sampler: Any = ProportionalBatchSampler(joined, each, generator=generator, seed=0)
    else:
        hashed = {"precompute_hashes": True, "precompute_num_proc": 1} if name.endswith("hashed") else {}
        sampler = NoDuplicatesBatchSampler(dataset, **options, **hashed)
    batches = iter(sampler)
    next(batches)
    first = perf_counter() - start
    taken = []
    for _ in range(num_steps):
        taken.append(milliseconds(lambda: next(batches)))
    return Measured(name, num_rows, first, median(taken), max(taken), **grown(before))


def measured(name: str, num_rows: int, batch_size: int, num_steps: int, strategy: Hybrid, folder: Path) -> Measured:
    """Files are written in one process, and used in another."""
    measure, write = (measure_peer, write_pairs) if name in PEERS else (measure_plan, write_uneven)
    if name != "full" and not (folder / "pairs").exists():
        in_a_process_of_its_own(write, folder, num_rows)
    return in_a_process_of_its_own(measure, name, num_rows, batch_size, num_steps, folder, strategy)


def in_a_process_of_its_own(function: Callable[..., Any], *arguments: Any) -> Any:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e4, 1e6, 1e8])
    parser.add_argument("--peer-rows", type=float, default=1e6)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--batch-pairs", default="mixed")
    parser.add_argument("--small", action="store_true", help="few rows and steps: whether it runs, not how fast")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.rows, arguments.peer_rows, arguments.batch_size, arguments.steps = [2e3], 2e3, 32, 20
    strategy = Hybrid(alpha=arguments.alpha, batch_pairs=arguments.batch_pairs)
    cases = [("full", int(rows), arguments.steps) for rows in arguments.rows]
    peer_rows = int(arguments.peer_rows)
    cases += [("uneven", rows, arguments.steps) for rows in sorted({*map(int, arguments.rows), peer_rows})]
    cases += [(name, peer_rows, min(200, arguments.steps)) for name in PEERS]
    table = Table(title=f"batches of {arguments.batch_size}, {len(LANGUAGES)} languages")
    columns = ["sampler", "rows", "first s", "batch ms", "slowest ms", "any order ms", "jump to 10^6 s", "heap MiB"]
    for column in [*columns, "RSS MiB"]:
        table.add_column(column, justify="left" if column == "sampler" else "right")
    with tempfile.TemporaryDirectory() as temporary:
        results = [
            measured(name, rows, arguments.batch_size, steps, strategy, Path(temporary)) for name, rows, steps in cases
        ]
    for result in results:
        optional = [
            "" if value is None else f"{value:.2f}" for value in (result.any_order, result.far_step, result.heap)
        ]
        table.add_row(
            *(
                result.sampler,
                f"{result.rows:,}",
                f"{result.first:.2f}",
                f"{result.batch:.2f}",
                f"{result.slowest:.2f}",
            ),
            *optional,
            f"{result.rss:.0f} ({result.rss_of_files:.0f})",
        )
    Console(width=120).print(table)
    by_name = {(result.sampler, result.rows): result for result in results}
    ours, peer = (by_name[name, peer_rows] for name in ("uneven", "no_duplicates"))
    summary = {"ratio": peer.batch / ours.batch, "ours": ours.batch, "peer": peer.batch, "peer_first": peer.first}
    print(json.dumps(summary | {"rows": [asdict(result) for result in results]}))


if __name__ == "__main__":
    main()
