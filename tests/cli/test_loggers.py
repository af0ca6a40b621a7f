"""The loggers of a run."""

import csv
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.demos.boring_classes import BoringModel

from mixlingua.cli.configuration import compose
from mixlingua.cli.run_record import run_loggers
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


@pytest.fixture
def logged() -> list[dict[str, float]]:
    return []


@pytest.fixture
def trainer(logged: list[dict[str, float]]) -> Trainer:
    """A trainer that logs every second step."""
    made = Trainer(logger=False, max_steps=1, accelerator="cpu", enable_progress_bar=False, log_every_n_steps=2)
    made.loggers = [SimpleNamespace(log_metrics=lambda metrics, step: logged.append(metrics))]  # type: ignore[list-item]
    return made


def test_batch_mix_logs_shares_of_the_batches_so_far(trainer: Trainer, logged: list[dict[str, float]]) -> None:
    mix = BatchMix()
    for kind in ("monolingual", "crosslingual", "crosslingual", "crosslingual"):
        mix.on_train_batch_end(trainer, BoringModel(), None, SimpleNamespace(kind=kind, source="ntrex"), 0)
    assert logged[0] == {"batches/crosslingual": 0.5, "batches/monolingual": 0.5, "sources/ntrex": 1.0}
    assert logged[1] == {"batches/crosslingual": 0.75, "batches/monolingual": 0.25, "sources/ntrex": 1.0}


def test_speed_counts_the_time_within_batches_alone(trainer: Trainer, logged: list[dict[str, float]]) -> None:
    mask = {"attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]])}  # 5 tokens
    batch = SimpleNamespace(query_languages=["de", "en"], queries=mask, passages=mask)
    speed = TrainingSpeed()
    for _ in range(4):
        time.sleep(0.2)  # between steps: not counted
        speed.on_train_batch_start(trainer, BoringModel(), batch, 0)  # type: ignore[arg-type]
        time.sleep(0.02)
        speed.on_train_batch_end(trainer, BoringModel(), None, batch, 0)
    assert len(logged) == 2
    for each in logged:
        assert each["speed/tokens_per_second"] == pytest.approx(5 * each["speed/pairs_per_second"])
        assert 4 / 0.4 < each["speed/pairs_per_second"] <= 4 / 0.04
