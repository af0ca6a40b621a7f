"""Time per batch and memory of the batch plan, for sources of 10^4 to 10^8 rows.

    python benchmarks/sampling.py                        # up to 10^8 rows, hybrid batches of 1,024
    python benchmarks/sampling.py --rows 1e4 1e9 --batch-size 256
    python benchmarks/sampling.py --alpha 0 --batch-pairs single    # cross-lingual batches alone

Each line is measured in a process of its own. `full`: every row has every language, and no passage is shared: nothing
is stored by row. `uneven`: rows have 2 to 9 of 9 languages and share passages; coverage and keys are files on disk,
memory-mapped. heap: the most that Python and numpy allocated at any time, construction included; RSS: how much the
process grew, which counts the pages of mapped files that the system keeps in memory because nothing else needs it.
"""

import argparse
import resource
import sys
import tempfile
import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Hybrid

LANGUAGES = ("ar", "de", "en", "es", "hi", "ru", "th", "tr", "zh")
ROWS_PER_PASSAGE = 5
LARGEST_UNEVEN = 10**7
ROWS_AT_ONCE = 10**6
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Source:
    num_rows: int
    coverage: NDArray[np.uint64] | None = None
    keys: NDArray[np.int64] | None = None
    conflict_rate: float = 0.0
    is_translations: bool = False
    name: str = "benchmark"
    fingerprint: str = ""
    languages: tuple[str, ...] = LANGUAGES


@dataclass(frozen=True)
class Measured:
    """Times in seconds; memory in bytes."""

    construction: float
    sequential: float
    slowest: float
    random_access: float
    far_step: float
    heap: int
    rss: int


def write_uneven(folder: Path, num_rows: int) -> None:
    """coverage.npy (num_rows,) and keys.npy (num_rows, 2), the second key equal to the first."""
    rng = np.random.default_rng(0)
    coverage = np.lib.format.open_memmap(folder / "coverage.npy", mode="w+", dtype=np.uint64, shape=(num_rows,))
    keys = np.lib.format.open_memmap(folder / "keys.npy", mode="w+", dtype=np.int64, shape=(num_rows, 2))
    for start in range(0, num_rows, ROWS_AT_ONCE):
        count = min(ROWS_AT_ONCE, num_rows - start)
        patterns = rng.integers(0, 2 ** len(LANGUAGES), count) | 0b100 | 1 << rng.choice([0, 1, 3], count)
        coverage[start : start + count] = patterns
        passages = rng.integers(0, max(1, num_rows // ROWS_PER_PASSAGE), count)
        keys[start : start + count] = passages[:, None]


def source_of(num_rows: int, folder: Path | None) -> Source:
    if folder is None:
        return Source(num_rows)
    coverage = np.load(folder / "coverage.npy", mmap_mode="r")
    keys = np.load(folder / "keys.npy", mmap_mode="r")
    return Source(num_rows, coverage, keys, conflict_rate=ROWS_PER_PASSAGE / num_rows)


def times(plan: BatchPlan, steps: Iterable[int]) -> list[float]:
    taken = []
    for step in steps:
        start = perf_counter()
        plan.batch(step)
        taken.append(perf_counter() - start)
    return taken


def measure(num_rows: int, batch_size: int, num_steps: int, folder: Path | None, strategy: Hybrid) -> Measured:
    def make_plan() -> BatchPlan:
        source = source_of(num_rows, folder)
        return BatchPlan([source], strategy=strategy, languages=LANGUAGES, batch_size=batch_size, seed=0)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = perf_counter()
    plan = make_plan()
    construction = perf_counter() - start
    plan.batch(0)
    sequential = times(plan, range(1, num_steps))
    [far_step] = times(plan, [10**6])  # lays out all steps up to it, once
    random_access = times(plan, np.random.default_rng(0).integers(0, 10**6, num_steps // 10).tolist())
    unit = 1 if sys.platform == "darwin" else 1024
    rss = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit
    del plan
    tracemalloc.start()  # after the timing, which it would slow down
    plan = make_plan()
    times(plan, [*range(20), 10**5])
    _, heap = tracemalloc.get_traced_memory()
    return Measured(construction, median(sequential), max(sequential), median(random_access), far_step, heap, rss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e4, 1e5, 1e6, 1e7, 1e8])
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--batch-pairs", default="mixed")
    arguments = parser.parse_args()
    strategy = Hybrid(alpha=arguments.alpha, batch_pairs=arguments.batch_pairs)
    table = Table(title=f"hybrid batches of {arguments.batch_size}, {len(LANGUAGES)} languages")
    columns = ["source", "rows", "set-up s", "in order ms", "slowest ms", "any order ms", "first jump to 10^6 s"]
    for column in [*columns, "heap MiB", "RSS MiB"]:
        table.add_column(column, justify="left" if column == "source" else "right")
    cases = [("full", int(rows)) for rows in arguments.rows]
    cases += [("uneven", int(rows)) for rows in arguments.rows if rows <= LARGEST_UNEVEN]
    for name, num_rows in cases:
        with tempfile.TemporaryDirectory() as temporary, get_context("spawn").Pool(1) as pool:
            folder = Path(temporary) if name == "uneven" else None
            if folder is not None:
                write_uneven(folder, num_rows)
            result = pool.apply(measure, (num_rows, arguments.batch_size, arguments.steps, folder, strategy))
        table.add_row(
            name,
            f"{num_rows:,}",
            f"{result.construction:.2f}",
            f"{result.sequential * 1e3:.2f}",
            f"{result.slowest * 1e3:.2f}",
            f"{result.random_access * 1e3:.2f}",
            f"{result.far_step:.2f}",
            f"{result.heap / MEBIBYTE:.1f}",
            f"{result.rss / MEBIBYTE:.1f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
