"""Signals and dead processes: a run ends whole, says what happened, and leaves the right status."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from mixlingua.cli.run_record import read_status
from mixlingua.training.checkpoints import read_checkpoint

Start = Callable[..., Popen]
LONG = ["trainer.max_steps=100000", "evaluation=[]", "hydra.run.dir=run"]


def children_of(process: Popen) -> dict[int, str]:
    """What a process has started: process ids with their command lines."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "stat").read_text().rpartition(")")[2].split()
            line = (folder / "cmdline").read_text()
        except (OSError, NotADirectoryError):
            continue
        if int(words[1]) == process.pid:
            found[int(folder.name)] = line
    return found


def ranks_of(process: Popen) -> list[int]:
    """The ranks among them, neither a worker that is forked nor the tracker of resources."""
    marks = ("spawn_main", "train_ddp_process")
    return sorted(pid for pid, line in children_of(process).items() if any(mark in line for mark in marks))


def wait_for(process: Popen, reached: Callable[[], bool]) -> None:
    until = time.monotonic() + 240
    while not reached():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


def gone(pids: list[int]) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_and_says_how_to_go_on(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    """The whole process group gets it, as by Ctrl-C in a terminal and by `timeout`, and workers make batches in it."""
    process = start(*LONG, "checkpoint.every_n_steps=100000", "data.num_workers=1", "trainer.log_every_n_steps=1")
    wait_for(process, (tmp_path / "run/csv/metrics.csv").exists)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert f"{number.name}: the step that runs is finished and saved." in errors
    assert f"interrupted by {number.name}. " in errors and "Traceback" not in errors
    assert re.search(r"python run.py resume=\S*run hydra.run.dir=\S*run$", errors.strip().splitlines()[-1])
    status = read_status(tmp_path / "run")
    assert (status["state"], status["error"]) == ("interrupted", f"interrupted by {number.name}")
    assert 0 < read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["global_step"] < 100000


def own_part(place: Path, group: str, code: str, name: str) -> str:
    """Make slow_task.py, which may touch "begun", and a choice `slow` of a group; the option that finds it."""
    (place / "slow_task.py").write_text(f"import time\nfrom pathlib import Path\n\n{code}")
    (place / "own" / group).mkdir(parents=True)
    holder = "evaluation.tasks" if group == "evaluation" else group
    (place / "own" / group / "slow.yaml").write_text(f"# @package {holder}.slow\n_target_: slow_task.{name}\n")
    return f"--config-dir={place / 'own'}"


def test_a_signal_outside_training(start: Start, tmp_path: Path) -> None:
    code = "def slow():\n    Path('begun').touch()\n    time.sleep(600)\n"
    option = own_part(tmp_path, "evaluation", code, "slow")
    process = start(option, "action=evaluate", "model=tiny", "evaluation=[slow]", "hydra.run.dir=run", alone=True)
    wait_for(process, (tmp_path / "begun").exists)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.strip().splitlines()[-1].startswith("interrupted by SIGTERM.")
    assert read_status(tmp_path / "run")["state"] == "interrupted"


WRITER = """
from pytorch_lightning import Callback

class Slow(Callback):
    def on_train_start(self, trainer, module):
        try:
            Path("begun").touch()
            time.sleep(600)
        finally:
            raise RuntimeError("a file was not written whole")
"""


def test_an_error_that_a_signal_causes_is_an_interruption(start: Start, tmp_path: Path) -> None:
    """As of a file that was being written, or of a worker that got the signal too."""
    process = start(own_part(tmp_path, "callbacks", WRITER, "Slow"), *LONG, "callbacks=[slow]")
    wait_for(process, (tmp_path / "begun").exists)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "interrupted by SIGTERM. " in errors and "Traceback" not in errors
    assert read_status(tmp_path / "run")["state"] == "interrupted"


TWO = ("trainer.accelerator=cpu", "trainer.devices=2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "whom"),
    [("ddp", "main"), ("ddp", "rank"), ("ddp", "all"), ("ddp_spawn", "main"), ("ddp_spawn", "all")],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_of_all_processes(
    start: Start, tmp_path: Path, strategy: str, whom: str, number: signal.Signals
) -> None:
    """Rank 0 or the process that spawns the ranks alone gets it, or rank 1 alone, or all, as from a terminal."""
    options = ["checkpoint.every_n_steps=100000", "data.num_workers=1", "trainer.log_every_n_steps=1"]
    process = start(f"trainer={strategy}", *TWO, *LONG, *options)
    wait_for(process, (tmp_path / "run/csv/metrics.csv").exists)
    ranks = ranks_of(process)
    if whom == "all":
        os.killpg(process.pid, number)
    else:
        os.kill(process.pid if whom == "main" else ranks[-1], number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert errors.count("finished and saved") == (whom != "rank")
    assert errors.count(f"interrupted by {number.name}. Go on from") == 1 and "Traceback" not in errors
    assert read_status(tmp_path / "run")["state"] == "interrupted"
    step = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["global_step"]
    assert 0 < step < 100000
    logged = (tmp_path / "run/csv/metrics.csv").read_text().splitlines()
    assert len(logged) > step  # a line for each step, whenever the file was written last
    assert gone(ranks)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
@pytest.mark.parametrize("victim", ["rank", "main twice", "main SIGKILL"])
def test_processes_end_together(start: Start, tmp_path: Path, strategy: str, victim: str) -> None:
    process = start(f"trainer={strategy}", *TWO, *LONG)
    wait_for(process, lambda: (tmp_path / "run/checkpoints/last.ckpt").exists())
    ranks = ranks_of(process)
    assert len(ranks) == (1 if strategy == "ddp" else 2)
    if victim == "rank":
        os.kill(ranks[-1], signal.SIGKILL)
    elif victim == "main SIGKILL":
        process.kill()
    else:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)  # two of a kind that wait are one
        process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert gone(ranks)
    status = read_status(tmp_path / "run")
    if victim == "rank":
        assert process.returncode == 2, errors
        assert "Traceback" not in errors
        (message,) = [line for line in errors.splitlines() if line.startswith("error: ")]
        assert message.startswith(f"error: rank 1 (process {ranks[-1]}) was ended by SIGKILL")
        assert status["state"] == "failed" and status["error"] == message.removeprefix("error: ")
    elif victim == "main SIGKILL":
        assert status["state"] == "running"
    else:
        assert process.returncode == 143, errors
        assert "interrupted by SIGTERM. " in errors and "resume=" in errors
        assert status["state"] == "interrupted"
