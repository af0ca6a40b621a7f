"""loss=[infonce,transport]: the tokens of a trained run lie nearer to the teacher's."""

import csv
from collections.abc import Callable
from pathlib import Path


def test_training_brings_tokens_together(launch: Callable[..., int], tmp_path: Path) -> None:
    options = ["loss=[infonce,transport]", "loss.transport.weight=20", "sampler=crosslingual", "evaluation=[]"]
    more = ["trainer.max_steps=24", "trainer.log_every_n_steps=1", "optimizer.lr=5e-3", "hydra.run.dir=run"]
    assert launch(*options, *more) == 0
    with (tmp_path / "run" / "csv" / "metrics.csv").open() as lines:
        costs = [float(row["train/transport"]) for row in csv.DictReader(lines) if row.get("train/transport")]
    assert sum(costs[-6:]) < 0.8 * sum(costs[:6])
