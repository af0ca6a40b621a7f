"""Two processes on one machine (CPU, gloo) train and measure as one does."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest
from safetensors.torch import load_file

from mixlingua.cli.run_record import read_status
from mixlingua.model.local_weights import tiny_folder

Start = Callable[..., Popen]

# A logger of the user's own, chosen by config, that is asked to log on every rank: it keeps what each rank measured.
RANKS = """
import json
from pytorch_lightning.loggers import Logger
from mixlingua import distributed

class Ranks(Logger):
    def __init__(self, run_dir):
        super().__init__()
        self.run_dir = run_dir
    name, version = "ranks", "0"
    def log_hyperparams(self, *args, **kwargs):
        pass
    def log_metrics(self, metrics, step=None):
        measured = {name: value for name, value in metrics.items() if name.startswith("xquad_r/")}
        if measured:
            (self.run_dir / f"rank{distributed.rank()}_step{step}.json").write_text(json.dumps(measured))
"""


@pytest.fixture
def without_dropout(tmp_path: Path) -> str:
    """A copy of the tiny model that has none: ranks draw other dropout than one process does."""
    folder = tmp_path / "still"
    folder.mkdir()
    for file in tiny_folder(0).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    assert config["hidden_dropout_prob"] == config["attention_probs_dropout_prob"] == 0.1  # so `tiny` trains with it
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return f"model.name_or_path={folder}"


def test_two_processes_measure_what_one_does(start: Start, tmp_path: Path, without_dropout: str) -> None:
    (tmp_path / "ranks_logger.py").write_text(RANKS)
    own = tmp_path / "own" / "logger"
    own.mkdir(parents=True)
    (own / "ranks.yaml").write_text(
        "# @package logger.ranks\n_target_: ranks_logger.Ranks\n_partial_: true\n", encoding="utf-8"
    )
    options = [f"--config-dir={own.parent}", "logger=[csv,ranks]", without_dropout, "trainer.max_steps=4"]
    options += ["postprocess=projection", "postprocess.rows_per_language=20"]
    processes = {
        "one": start(*options, "hydra.run.dir=one"),
        "two": start(*options, "trainer=ddp_spawn", "trainer.devices=2", "hydra.run.dir=two"),
    }
    for process in processes.values():
        output, errors = process.communicate(timeout=600)
        assert process.returncode == 0, output + errors
    one, two = tmp_path / "one", tmp_path / "two"
    for step in (0, 4):
        ranks = [json.loads((two / f"rank{rank}_step{step}.json").read_text()) for rank in (0, 1)]
        assert ranks[0] == ranks[1] and ranks[0]
        assert ranks[0] == pytest.approx(json.loads((one / f"rank0_step{step}.json").read_text()), abs=1e-5)
    assert not (one / "rank1_step0.json").exists()
    assert "arning" not in errors and "%" not in errors  # of two processes, the last that was read
    expected, found = (json.loads((run / "metrics.json").read_text()) for run in (one, two))
    assert found == pytest.approx(expected, abs=1e-5)
    made = {path.relative_to(one) for path in one.rglob("*")}
    assert made | {Path("rank1_step0.json"), Path("rank1_step4.json")} == {
        path.relative_to(two) for path in two.rglob("*")
    }
    assert read_status(two)["state"] == "finished"


def test_shared_weights_train_as_whole_ones(start: Start, tmp_path: Path, without_dropout: str) -> None:
    """FSDP2 over two processes, stopped half-way and resumed, against one process with all weights."""
    options = [without_dropout, "optimizer.schedule=constant", "evaluation.every_n_steps=2", "loss=[infonce,queue]"]
    fsdp = ["trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=2"]
    one = start(*options, "trainer.max_steps=4", "hydra.run.dir=one")
    half = start(*options, *fsdp, "trainer.max_steps=2", "hydra.run.dir=half")
    for process in (one, half):
        output, errors = process.communicate(timeout=600)
        assert process.returncode == 0, output + errors
    two = start(*options, *fsdp, "trainer.max_steps=4", "resume=half", "hydra.run.dir=two")
    output, errors = two.communicate(timeout=600)
    assert two.returncode == 0, output + errors
    expected, found = (json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("one", "two"))
    assert found == pytest.approx(expected, abs=1e-5)
    weights = [load_file(tmp_path / run / "model" / "model.safetensors") for run in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
    assert max((weights[0][name] - weights[1][name]).abs().max().item() for name in weights[0]) < 1e-5


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp"])
def test_an_error_in_another_process_is_one_message(start: Start, tmp_path: Path, strategy: str) -> None:
    process = start(f"trainer={strategy}", "trainer.accelerator=cpu", "trainer.devices=2", "optimizer.lr=1e30",
                    "evaluation=[]", "hydra.run.dir=run")  # fmt: skip
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    messages = {line for line in errors.splitlines() if line.startswith("error: ")}
    assert all(message.startswith("error: Step 1: the loss is nan at batch 1 (") for message in messages)
    status = read_status(tmp_path / "run")
    assert status["state"] == "failed" and f"error: {status['error']}" in messages
    assert not (tmp_path / "run" / ".error.json").exists()
