"""python run.py -m: one folder for each job, and what becomes of the others when one fails."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

from mixlingua.cli.run_record import read_status

Start = Callable[..., Popen]


def test_a_sweep_of_samplers_and_seeds(start: Start, tmp_path: Path) -> None:
    process = start(
        "-m", "sampler=monolingual,crosslingual,hybrid", "seed=0,1", "trainer.max_steps=4", "hydra.sweep.dir=sweep"
    )
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, output + errors
    jobs = sorted((tmp_path / "sweep").glob("[0-9]*"))
    assert [job.name for job in jobs] == list("012345")
    assert {read_status(job)["state"] for job in jobs} == {"finished"}
    assert all("sampler" in (job / "config.yaml").read_text() for job in jobs)
    pages = [(job / "report.html").read_text(encoding="utf-8") for job in jobs]
    assert all("<h2>Training</h2>" in page and "<h2>Worst queries</h2>" in page for page in pages)
    figures = {(job / "metrics.json").read_text() for job in jobs}
    assert len(figures) == 6
    # The model before training depends on the seed alone.
    before = [json.loads((job / "metrics_before.json").read_text()) for job in jobs]
    assert before[0] == before[2] == before[4] != before[1] == before[3] == before[5]


def test_a_failing_job_is_named_at_once_and_the_others_go_on(launch: Callable[..., int], capfd, tmp_path: Path) -> None:
    assert launch("-m", "sampler.alpha=0.5,2,1", "evaluation=[]", "trainer.max_steps=2", "hydra.sweep.dir=sweep") == 1
    errors = capfd.readouterr().err
    assert "job 1 (" in errors and "sampler.alpha: 2 lies outside [0, 1]" in errors and "Traceback" not in errors
    states = [read_status(tmp_path / "sweep" / str(job))["state"] for job in range(3)]
    assert states == ["finished", "failed", "finished"]
    assert not (tmp_path / "sweep" / "1" / "metrics.json").exists()
