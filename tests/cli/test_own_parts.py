"""A user's own loss, sampler, benchmark and callback, and MLflow as logger: YAML files and a package beside them."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import mixlingua
from mixlingua.cli.run_record import read_status
from mixlingua.cli.sources import check_objective, open_tasks
from mixlingua.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = """
from dataclasses import dataclass
from pathlib import Path

from pytorch_lightning import Callback

from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.losses.base import StepLoss
from mixlingua.sampling.strategies import Strategy


class Squared(StepLoss):
    def __init__(self, weight: float = 1.0, power: float = 2.0) -> None:
        super().__init__(weight)
        self.power = power

    def forward(self, step):
        return (1 - (step.queries * step.passages[: len(step.queries)]).sum(1)).pow(self.power).mean()


@dataclass(frozen=True, kw_only=True)
class InTurn(Strategy):
    every: int = 2

    @property
    def kinds(self):
        return ("monolingual", "crosslingual")

    def draw(self, uniforms, steps):
        return (steps % self.every != 0).astype(int)


def greetings(languages=("de", "en")) -> RetrievalTask:
    texts = {"de": {"1": "Hallo", "2": "Danke"}, "en": {"1": "Hello", "2": "Thanks"}}
    return RetrievalTask(
        name="greetings", revision="1", licence="none", note="",
        queries={language: texts[language] for language in languages},
        passages={x: {f"{x}:{i}": text for i, text in texts[x].items()} for x in languages},
        qrels={x: {i: {f"{y}:{i}": 1 for y in languages} for i in texts[x]} for x in languages},
    )


class Kinds(Callback):
    def __init__(self, file: str = "kinds.txt") -> None:
        self.file = file

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        with Path(self.file).open("a") as file:
            print(batch.kind, file=file)
"""
FILES = {
    "loss/squared.yaml": "# @package loss\nsquared:\n  _target_: own.parts.Squared\n",
    "sampler/in_turn.yaml": "_target_: own.parts.InTurn\n",
    "evaluation/greetings.yaml": "# @package evaluation\ntasks:\n  greetings:\n    _target_: own.parts.greetings\n",
    "callbacks/kinds.yaml": "# @package callbacks\nkinds:\n  _target_: own.parts.Kinds\n",
    "logger/mlflow.yaml": (
        "# @package logger.mlflow\n_target_: pytorch_lightning.loggers.MLFlowLogger\n"
        "experiment_name: greetings\ntracking_uri: sqlite:///mlflow.db\n"
    ),
}
CHOICES = ["--config-dir", "own_conf", "loss=[infonce,squared]", "sampler=in_turn", "evaluation=[greetings]",
           "callbacks=[kinds]", "logger=[mlflow]", "model=tiny", "data.num_workers=0", "hydra.run.dir=run"]  # fmt: skip


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").touch()
    (tmp_path / "own" / "parts.py").write_text(PACKAGE)
    for name, text in FILES.items():
        file = tmp_path / "own_conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, str(REPOSITORY / "run.py"), *CHOICES, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.whole
def test_own_parts_train_and_are_measured(own: Path) -> None:
    pytest.importorskip("mlflow", reason="pip install mlflow-skinny sqlalchemy alembic")
    done = run(
        own, "trainer.max_steps=6", "sampler.every=3", "loss.squared.power=1.5", "callbacks.kinds.file=drawn.txt"
    )
    assert done.returncode == 0, done.stderr
    monolingual, crosslingual = ["monolingual"], ["crosslingual", "crosslingual"]
    assert (own / "drawn.txt").read_text().split() == 2 * (monolingual + crosslingual)
    assert "greetings/multilingual/map" in read_status(own / "run")["metrics"]
    with sqlite3.connect(own / "mlflow.db") as database:
        logged = set(database.execute("SELECT key, step FROM metrics"))
        assert database.execute("SELECT value FROM params WHERE key = 'sampler/every'").fetchall() == [("3",)]
        assert database.execute("SELECT status FROM runs").fetchall() == [("FINISHED",)]
    assert {("train/squared", 5), ("greetings/multilingual/map", 6)} <= logged


def test_their_keys_are_declared_and_checked(own: Path) -> None:
    done = run(own, "loss.squared.powr=3", "sampler.evry=1")
    assert done.returncode == 2
    assert "Did you mean 'loss.squared.power'?" in done.stderr and "Did you mean 'sampler.every'?" in done.stderr


def test_a_choice_without_its_package_line_is_told(tmp_path: Path) -> None:
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "bare.yaml").write_text("_target_: mixlingua.losses.infonce.InfoNCE\nweight: 1.0\n")
    command = [sys.executable, str(REPOSITORY / "run.py"), f"--config-dir={tmp_path / 'conf'}", "loss=bare"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "begins with the line '# @package loss.NAME'" in done.stderr


def test_an_objective_that_a_run_will_not_have_is_told_before_it() -> None:
    tasks = [mixlingua.benchmark("atlas")]
    for good in (None, "atlas/multilingual/map", "atlas/multilingual/rank_distance"):
        check_objective(good, tasks)
    for wrong in ("atlas", "xquad_r/multilingual/map", "atlas/multilingual/mpa"):
        with pytest.raises(ConfigError, match=f"objective={wrong}: this run will have atlas/SETTING/map"):
            check_objective(wrong, tasks)


def test_a_function_that_returns_no_task_is_told() -> None:
    cfg = OmegaConf.create({"evaluation": {"tasks": {"own": {"_target_": "builtins.dict", "a": 1}}}})
    with pytest.raises(ConfigError, match=r"evaluation\.tasks\.own: builtins\.dict gave {'a': 1}, which is no task"):
        open_tasks(cfg)
