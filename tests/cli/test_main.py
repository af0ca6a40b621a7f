"""From the command line to the end of a run or sweep, with a stub for the action."""

import gc
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from traceback import format_exception

import pytest
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from mixlingua.cli.job import JobResult
from mixlingua.cli.launch import _show_sweep, sweep_table
from mixlingua.cli.run_record import read_status
from mixlingua.cli.show import plan_table, show_table
from mixlingua.errors import DataError, errors_on_stderr

Launch = Callable[..., int]
REPORTS = Path(__file__).resolve().parents[2] / "docs" / "reports.md"


def half_seed(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Fails for seed 1, and in an unforeseen way for seed 2."""
    if cfg.seed == 1:
        raise DataError("pairs.jsonl:3: no text")
    if cfg.seed == 2:
        raise ZeroDivisionError
    return {"half": cfg.seed / 2}


def test_a_message_is_written_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """What print writes in two pieces may have the message of another process in between."""
    written: list[str] = []
    monkeypatch.setattr(sys.stderr, "write", lambda text: written.append(text) or len(text))
    with pytest.raises(SystemExit), errors_on_stderr():
        raise DataError("pairs.jsonl:3: no text")
    assert written == ["error: pairs.jsonl:3: no text\n"]


def test_a_run_leaves_its_resolved_configuration_and_status(launch: Launch, tmp_path: Path) -> None:
    assert launch("action=probe", "seed=3", "hydra.run.dir=out", probe=half_seed) == 0
    written = OmegaConf.to_container(OmegaConf.load(tmp_path / "out" / "config.yaml"), resolve=False)
    assert "${" not in json.dumps(written)
    assert isinstance(written, dict)
    assert written["seed"] == 3
    status = read_status(tmp_path / "out")
    assert status["state"] == "finished"
    assert status["metrics"] == {"half": 1.5}


@pytest.mark.parametrize("refused", [[], ["model=tiny", "trainer.precision=64"]])
def test_garbage_is_collected_again_when_modules_are_imported(launch: Launch, refused: list[str]) -> None:
    seen: list[bool] = []

    def probe(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
        seen.append(gc.isenabled())
        return {}

    status = launch(*(refused or ["action=probe"]), probe=probe)
    assert (status, seen) == ((2, []) if refused else (0, [True]))
    assert gc.isenabled()


def test_an_error_for_the_user_is_one_message(
    launch: Launch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch("action=probe", "seed=1", "hydra.run.dir=out", probe=half_seed) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: pairs.jsonl:3: no text"
    assert read_status(tmp_path / "out")["state"] == "failed"


def test_the_traceback_is_there_when_asked_for(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(DataError):
        launch("action=probe", "seed=1", probe=half_seed)


def test_the_traceback_of_a_constructor_is_there_when_asked_for(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launch("action=train", "model=tiny", "sampler.alpha=2") == 2
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(InstantiationException) as raised:
        launch("action=train", "model=tiny", "sampler.alpha=2")
    assert "strategies.py" in "".join(format_exception(raised.value))


def test_an_unknown_action_is_refused_before_anything_is_written(
    launch: Launch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch("action=evalute", "hydra.run.dir=out") == 2
    assert "Did you mean 'evaluate'?" in capsys.readouterr().err
    assert not (tmp_path / "out" / "status.json").exists()


def test_a_finished_run_is_kept_unless_told_otherwise(
    launch: Launch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch("action=probe", "seed=4", "hydra.run.dir=out", probe=half_seed) == 0
    before = (tmp_path / "out" / "status.json").read_text()
    assert launch("action=probe", "seed=6", "hydra.run.dir=out", probe=half_seed) == 2
    assert "holds a finished run" in capsys.readouterr().err
    assert (tmp_path / "out" / "status.json").read_text() == before
    assert launch("action=probe", "seed=6", "hydra.run.dir=out", "overwrite=true", probe=half_seed) == 0
    assert read_status(tmp_path / "out")["metrics"] == {"half": 3.0}


def test_jobs_of_a_sweep_that_share_a_folder_do_not_replace_one_another(
    launch: Launch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = ("hydra.sweep.dir=sweep", "hydra.sweep.subdir=one")
    assert launch("-m", "action=probe", "seed=4,6", *same, probe=half_seed) == 1
    assert "one holds a finished run; choose another hydra.sweep.dir, or hydra.sweep.subdir" in capsys.readouterr().err
    assert read_status(tmp_path / "sweep" / "one")["metrics"] == {"half": 2.0}


def test_a_failing_job_is_named_at_once_and_stops_no_other(
    launch: Launch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []

    def probe(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
        order.append(capsys.readouterr().err)
        return half_seed(cfg, run_dir)

    assert launch("-m", "action=probe", "seed=0,1,2,3", "hydra.sweep.dir=sweep", probe=probe) == 1
    assert [read_status(tmp_path / "sweep" / str(job))["state"] for job in range(4)] == [
        "finished", "failed", "failed", "finished",
    ]  # fmt: skip
    assert "job 1 (action=probe seed=1) failed: pairs.jsonl:3: no text" in order[2]  # before job 2 starts
    assert "Traceback" not in order[2]
    assert "ZeroDivisionError" in order[3]
    table = capsys.readouterr().out
    lines = [line.split() for line in table.splitlines() if line.strip()[:1].isdigit()]
    assert lines == [
        ["0", "seed=0", "finished", "0.0000"],
        ["1", "seed=1", "failed"],
        ["2", "seed=2", "failed"],
        ["3", "seed=3", "finished", "1.5000"],
    ]


def test_jobs_of_a_sweep_start_from_the_same_random_state(launch: Launch) -> None:
    drawn = []

    def probe(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
        import torch

        drawn.append(torch.rand(1).item())
        return {}

    assert launch("-m", "action=probe", "trainer.max_steps=1,2", "seed=5", probe=probe) == 0
    assert drawn[0] == drawn[1]


def test_an_interrupted_sweep_stops(launch: Launch, tmp_path: Path) -> None:
    def probe(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
        raise KeyboardInterrupt

    assert launch("-m", "action=probe", "seed=0,1", "hydra.sweep.dir=sweep", probe=probe) == 130
    assert read_status(tmp_path / "sweep" / "0")["state"] == "interrupted"
    assert not (tmp_path / "sweep" / "1").exists()


CONSTRUCTORS = """
import os, signal

class Sampler:
    def __init__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

class Writing(Sampler):
    def __init__(self) -> None:
        try:
            super().__init__()
        finally:
            raise OSError("a file was not written whole")
"""
AT_IMPORT = """
from mixlingua_constructors import Writing

Writing()
"""


@pytest.mark.parametrize(
    "target",
    ["mixlingua_constructors.Sampler", "mixlingua_constructors.Writing", "mixlingua_at_import.Sampler"],
)
def test_a_signal_while_the_configuration_is_checked_is_no_problem_of_it(
    launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], target: str
) -> None:
    """Also where a constructor, or an import, raises an error of its own because of it."""
    (tmp_path / "mixlingua_constructors.py").write_text(CONSTRUCTORS)
    (tmp_path / "mixlingua_at_import.py").write_text(AT_IMPORT)
    (tmp_path / "conf" / "sampler").mkdir(parents=True)
    (tmp_path / "conf" / "sampler" / "mine.yaml").write_text(f"_target_: {target}\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("mixlingua_constructors", "mixlingua_at_import"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert launch("--config-dir=conf", "model=tiny", "sampler=mine", "hydra.run.dir=run") == 143
    error = capfd.readouterr().err
    assert error.splitlines()[-1].startswith("interrupted by SIGTERM.") and "Traceback" not in error
    status = read_status(tmp_path / "run")
    assert (status["state"], status["error"]) == ("interrupted", "interrupted by SIGTERM")


def ends(how: str) -> Callable[[DictConfig, Path], dict[str, float]]:
    def probe(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
        if how in ("SIGINT", "SIGTERM"):
            os.kill(os.getpid(), signal.Signals[how])
        if how == "mistake":
            raise DataError("pairs.jsonl:3: no text")
        return {}

    return probe


def test_the_documented_exit_statuses_are_those_that_a_run_ends_with(
    launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    documented = dict(re.findall(r"^\| (\d+) \| .* \| (?:`(\w+)`.*)?\|$", REPORTS.read_text(), re.MULTILINE))
    seen = {}
    for how, arguments in {"well": [], "mistake": [], "SIGINT": [], "SIGTERM": []}.items():
        run = f"hydra.run.dir={how}"
        status = launch("action=probe", run, *arguments, probe=ends(how))
        seen[str(status)] = read_status(tmp_path / how)["state"]
    status = launch("-m", "action=probe", "seed=0,1", "hydra.sweep.dir=sweep", probe=ends("mistake"))
    seen[str(status)] = read_status(tmp_path / "sweep" / "0")["state"]
    line = f"{sys.executable} {REPORTS.parents[1] / 'run.py'} --cfg job | true; exit ${{PIPESTATUS[0]}}"
    closed = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=tmp_path)
    seen[str(closed.returncode)] = ""
    assert closed.stderr == ""
    assert seen == documented


METRICS = {f"atlas/{setting}/map": 0.5 for setting in ("monolingual", "crosslingual", "multilingual")}


def test_eighty_columns_show_what_differs_and_every_figure():
    jobs = [
        ([f"sampler={sampler}", "seed=1"], JobResult(Path("run"), METRICS | {"atlas/multilingual/rank_distance": 1231}))
        for sampler in ("monolingual", "crosslingual")
    ]
    console = Console(width=80)
    with console.capture() as captured:
        console.print(sweep_table(jobs))
    text = captured.get()
    assert "sampler=crosslingual" in text and "1,231.0" in text and text.count("0.5000") == 6
    assert "seed=1" not in text  # common to all
    assert "…" not in text


def test_lists_and_brackets_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are no markup."""
    folder = tmp_path / "my [run]"
    _show_sweep([([f"data.languages=[de,{other}]"], JobResult(folder / other)) for other in ("en", "fr")])
    table = plan_table("Plan")
    table.add_row("results", "[run]")
    show_table(table)
    shown = " ".join(capsys.readouterr().out.split())
    assert "[de,en]" in shown and "[de,fr]" in shown and "my [run]" in shown and "results [run]" in shown
