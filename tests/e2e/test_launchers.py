"""Sweeps whose jobs other processes run: Hydra's launchers as a choice."""

from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from mixlingua.reading import read_status

Start = Callable[..., Popen]
SWEEP = ("-m", "sampler.alpha=0.5,2,1", "evaluation=[]", "trainer.max_steps=2", "hydra.sweep.dir=sweep")


def check(process: Popen, sweep: Path) -> None:
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 1, output + errors
    assert [read_status(sweep / str(job))["state"] for job in range(3)] == ["finished", "failed", "finished"]
    lines = [line.split() for line in output.splitlines() if line.strip()[:1].isdigit()]
    assert [(line[0], line[-1]) for line in lines] == [("0", "finished"), ("1", "failed"), ("2", "finished")]
    assert "job 1 (" in errors + output and "sampler.alpha: 2 lies outside [0, 1]" in errors + output


def test_a_sweep_by_joblib(start: Start, tmp_path: Path) -> None:
    """A worker of a DataLoader in each job; a job that fails does not stop the others."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "data.num_workers=1")
    check(start(*SWEEP, *launcher), tmp_path / "sweep")


@pytest.mark.slow
def test_a_sweep_by_submitit(start: Start, tmp_path: Path) -> None:
    """submitit's local executor starts its jobs as that for SLURM does, from a pickle."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    process = start(*SWEEP, "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10")
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 1, output + errors
    assert [read_status(tmp_path / "sweep" / str(job))["state"] for job in range(3)] == [
        "finished",
        "failed",
        "finished",
    ]
