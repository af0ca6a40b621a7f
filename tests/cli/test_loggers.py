"""The loggers of a run."""

import csv
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning.demos.boring_classes import BoringModel
from pytorch_lightning.loggers import Logger

from mixlingua.cli.configuration import compose
from mixlingua.cli.run_record import run_loggers
from mixlingua.errors import ConfigError
from mixlingua.training.callbacks import BatchMix, TrainingSpeed


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_csv_and_tensorboard_write_into_the_run_folder(tmp_path: Path) -> None:
    cfg = compose(["logger=[csv,tensorboard]", "hydra.run.dir=x"])
    with run_loggers(cfg, tmp_path) as loggers:
        for logger in loggers:
            logger.log_metrics({"atlas/crosslingual/map": 0.5}, step=3)
    assert rows(tmp_path / "csv" / "metrics.csv") == [{"atlas/crosslingual/map": "0.5", "step": "3"}]
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_what_was_logged_before_a_failure_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), run_loggers(compose(["logger=csv"]), tmp_path) as loggers:
        loggers[0].log_metrics({"loss": 1.0}, step=1)
        raise ZeroDivisionError
    assert rows(tmp_path / "csv" / "metrics.csv")[0]["loss"] == "1.0"


def test_no_logger_is_a_choice(tmp_path: Path) -> None:
    with run_loggers(compose(["logger=[]"]), tmp_path) as loggers:
        assert loggers == []


class Kept(Logger):
    """Keeps every value by name and step."""

    name, version = "kept", "0"

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[tuple[str, int | None], list[float]] = defaultdict(list)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        for key, value in metrics.items():
            if key != "epoch":
                self.values[key, step].append(value)


@pytest.mark.whole
def test_no_name_has_two_values_at_a_step(launch: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured in between, at the last step, and at the end with other weights; two batches a step; validated."""
    kept = Kept()
    monkeypatch.setattr("mixlingua.cli.run_record.csv_logger", lambda run_dir, flush_every_n_steps: kept)
    options = "model=tiny data.batch_size=8 data.num_workers=0 data.validation_fraction=0.2 data.validation_batches=1"
    options += " trainer.max_steps=4 trainer.accumulate_grad_batches=2 trainer.val_check_interval=2"
    options += " evaluation.every_n_steps=2 averaging.ema_decay=0.5"
    assert launch(*options.split()) == 0
    assert {key for key, values in kept.values.items() if len(values) > 1} == set()
    steps = [step for key, step in kept.values if key == "atlas/multilingual/map"]
    assert steps == [0, 2, 4, 5]  # before, in between twice, and the averaged weights
    assert [step for key, step in kept.values if key == "sources/atlas"] == [1, 2, 3, 4]


@pytest.fixture
def logged() -> list[dict[str, float]]:
    return []


@pytest.fixture
def trainer(logged: list[dict[str, float]]) -> Any:
    """Of a trainer that logs every second step, what callbacks look at."""
    logger = SimpleNamespace(log_metrics=lambda metrics, step: logged.append(metrics))
    return SimpleNamespace(loggers=[logger], log_every_n_steps=2, global_step=0, world_size=1)


def test_batch_mix_logs_shares_of_the_batches_so_far(trainer: Any, logged: list[dict[str, float]]) -> None:
    mix = BatchMix()
    for kind in ("monolingual", "crosslingual", "crosslingual", "crosslingual"):
        trainer.global_step += 1
        mix.on_train_batch_end(trainer, BoringModel(), None, SimpleNamespace(kind=kind, source="ntrex"), 0)
    assert logged[0] == {"batches/crosslingual": 0.5, "batches/monolingual": 0.5, "sources/ntrex": 1.0}
    assert logged[1] == {"batches/crosslingual": 0.75, "batches/monolingual": 0.25, "sources/ntrex": 1.0}


def test_speed_counts_the_time_within_batches_alone(trainer: Any, logged: list[dict[str, float]]) -> None:
    mask = {"attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]])}  # 5 tokens
    batch = SimpleNamespace(query_languages=["de", "en"], queries=mask, passages=mask)
    speed = TrainingSpeed()
    for _ in range(4):
        time.sleep(0.2)  # between steps: not counted
        trainer.global_step += 1
        speed.on_train_batch_start(trainer, BoringModel(), batch, 0)
        time.sleep(0.02)
        speed.on_train_batch_end(trainer, BoringModel(), None, batch, 0)
    assert len(logged) == 2
    for each in logged:
        assert each["speed/tokens_per_second"] == pytest.approx(5 * each["speed/pairs_per_second"])
        assert 4 / 0.4 < each["speed/pairs_per_second"] <= 4 / 0.04


def test_lines_are_written_after_one_step_at_least(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"logger\.csv\.flush_every_n_steps=0: a whole number of 1 or more"),
        run_loggers(compose(["logger.csv.flush_every_n_steps=0"]), tmp_path),
    ):
        pass
