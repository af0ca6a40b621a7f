"""loss=[infonce,transport]: tokens of a trained run lie nearer to the teacher's than those of a run without it."""

import csv
from collections.abc import Callable
from pathlib import Path


def test_training_brings_tokens_together(launch: Callable[..., int], tmp_path: Path) -> None:
    """Equal batches with and without weight; with a weight of 0 the cost is only logged."""
    options = ["loss=[infonce,transport]", "sampler=crosslingual", "evaluation=[]", "trainer.max_steps=20"]
    options += ["optimizer.lr=1e-2", "optimizer.schedule=constant", "trainer.log_every_n_steps=1"]
    latest = []
    for weight in (0, 20):
        assert launch(*options, f"loss.transport.weight={weight}", f"hydra.run.dir=weight{weight}") == 0
        with (tmp_path / f"weight{weight}" / "csv" / "metrics.csv").open() as lines:
            costs = [float(row["train/transport"]) for row in csv.DictReader(lines) if row["train/transport"]]
        latest.append(sum(costs[-6:]) / 6)
    assert latest[1] < 0.5 * latest[0]
