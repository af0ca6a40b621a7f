"""RUN/status.json in every way a run can end."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixlingua.cli.run_record import SaidOnce, holds_finished_run, is_rank_zero, read_status, recorded


def test_a_run_that_ends_well_is_finished_with_its_figures(tmp_path: Path) -> None:
    with recorded(tmp_path, "train", ["seed=1"]) as metrics:
        assert read_status(tmp_path)["state"] == "running"
        metrics["map"] = 0.5
    status = read_status(tmp_path)
    assert status["state"] == "finished"
    assert status["metrics"] == {"map": 0.5}
    assert status["overrides"] == ["seed=1"]
    assert status["pid"] == os.getpid()
    assert status["started"] <= status["ended"]
    assert holds_finished_run(tmp_path)


@pytest.mark.parametrize(
    ("error", "state"),
    [(ValueError("no such file"), "failed"), (KeyboardInterrupt(), "interrupted"), (SystemExit(1), "interrupted")],
)
def test_a_run_that_ends_badly_says_how(error: BaseException, state: str, tmp_path: Path) -> None:
    with pytest.raises(type(error)), recorded(tmp_path, "train", []):
        raise error
    status = read_status(tmp_path)
    assert status["state"] == state
    assert status["error"] == (str(error) or type(error).__name__)
    assert not holds_finished_run(tmp_path)


def test_a_killed_run_stays_running(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from mixlingua.cli.run_record import recorded\n"
        "with recorded(Path(sys.argv[1]), 'train', []):\n    time.sleep(60)"
    )
    source = str(Path(__file__).resolve().parents[2] / "src")
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env={"PYTHONPATH": source}) as process:
        while not (tmp_path / "status.json").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert read_status(tmp_path)["state"] == "running"
    assert read_status(tmp_path)["pid"] == process.pid
    assert not holds_finished_run(tmp_path)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1", "LOCAL_RANK": "0"}, False),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "4", "LOCAL_RANK": "0"}, False),
        ({"SLURM_PROCID": "3"}, False),
    ],
)
def test_only_rank_zero_writes(
    variables: dict[str, str], expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_rank_zero() is expected
    with recorded(tmp_path, "train", []):
        pass
    assert (tmp_path / "status.json").exists() is expected


def test_warnings_pass_once_and_all_else_as_often_as_it_is_said(caplog):
    logger = logging.getLogger("said")
    caplog.handler.addFilter(once := SaidOnce())
    try:
        with caplog.at_level(logging.INFO):
            for number in (1, 1, 2):
                logger.warning("warning %d", number)
                logger.info("step")
                logger.error("error")
    finally:
        caplog.handler.removeFilter(once)
    assert caplog.messages == ["warning 1", "step", "error", "step", "error", "warning 2", "step", "error"]
