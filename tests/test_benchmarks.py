"""Every benchmark runs at a small size and ends in the figures that it promises. No time is asserted."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
RATIO = {"ratio", "ours", "peer", "spread"}
PROMISED = {  # by command, without --small: keys of its last line
    "encode.py": RATIO | {"peak_fraction", "texts", "text_source"},
    "train.py --precision bf16": RATIO | {"step", "peak_fraction", "memory"},
    "teacher.py": {"plain", "live", "kept", "kept_over_plain", "live_over_plain", "spread", "difference"},
    "large_batches.py": RATIO | {"over_plain", "pairs", "memory"},
}
APART = {  # a part of the others, modules' sizes, quality on data that is not embedded, and what needs a GPU
    "measure.py", "structure.py", "passage_transforms.py", "fair.py", "gpu.py",
}  # fmt: skip
OTHERS = sorted({script.name for script in BENCHMARKS.glob("*.py")} - {name.split()[0] for name in PROMISED} - APART)


def run(*arguments: str) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=BENCHMARKS.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.benchmark
@pytest.mark.parametrize("command", PROMISED)
def test_a_benchmark_of_speed_runs_and_ends_in_its_figures(command: str) -> None:
    script, *arguments = command.split()
    figures = json.loads(run(str(BENCHMARKS / script), "--small", *arguments))
    assert PROMISED[command] <= figures.keys()
    numbers = [value for value in figures.values() if isinstance(value, float)]
    assert numbers
    assert all(math.isfinite(value) and value >= 0 for value in numbers)


@pytest.mark.benchmark
@pytest.mark.parametrize("script", OTHERS)
def test_the_other_benchmarks_run_and_end_in_json(script: str) -> None:
    assert isinstance(json.loads(run(str(BENCHMARKS / script), "--small")), dict | list)


@pytest.mark.gpu
def test_the_benchmark_of_a_gpu_runs(tmp_path: Path) -> None:
    run(str(BENCHMARKS / "gpu.py"), "--json", str(tmp_path / "gpu.json"), "--seconds", "60")
    assert json.loads((tmp_path / "gpu.json").read_text())
