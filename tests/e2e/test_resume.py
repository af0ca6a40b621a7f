"""A run that is killed and resumed ends as one that was not."""

import csv
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from tests.runs import same, weights

from mixlingua.cli.run_record import read_status
from mixlingua.training.checkpoints import read_checkpoint

Start = Callable[..., Popen]
Launch = Callable[..., int]


# Not the losses by kind: Lightning repeats the latest of each in every line, and forgets it in a new process.
LOGGED = ("step", "train/loss", "batches/monolingual", "sources/jsonl", "xquad_r/multilingual/map")


def logged(run: Path) -> list[dict[str, str]]:
    log = run / "csv" / "metrics.csv"
    return list(csv.DictReader(log.open(encoding="utf-8"))) if log.exists() else []


def results(run: Path) -> dict[str, Any]:
    names = ["metrics.json", "metrics_before.json"]
    return {name: json.loads((run / name).read_text()) for name in names} | {
        "rows": json.loads((run / "report.json").read_text())["rows"],
        "status": read_status(run)["state"],
        "log": sorted(tuple(row.get(name, "") for name in LOGGED) for row in logged(run)),
    }


def step_on_disk(run: Path) -> int:
    file = run / "checkpoints" / "last.ckpt"
    return int(read_checkpoint(file)["global_step"]) if file.exists() else 0


def steps_done(run: Path) -> int:
    """The number of steps that are logged; each is logged after the checkpoint of its end."""
    return max((int(row["step"]) + 1 for row in logged(run) if row.get("train/loss")), default=0)


def kill_when(process: Popen, run: Path, reached: Callable[[], bool]) -> None:
    """Stop the process again and again for a look at its files, and kill it while it stands still."""
    started, until = time.time(), time.monotonic() + 600
    log = run / "csv" / "metrics.csv"
    while process.poll() is None and not (log.exists() and log.stat().st_mtime > started):
        time.sleep(0.02)
    while True:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "the moment to kill at never came"
        process.send_signal(signal.SIGSTOP)
        if reached():
            break
        process.send_signal(signal.SIGCONT)
        time.sleep(0.003)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def finish(process: Popen) -> None:
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, output + errors


def test_a_run_that_is_killed_twice_ends_as_one_that_was_not(start: Start, tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    options = ["trainer.max_steps=40", "logger.csv.flush_every_n_steps=1", "data.num_workers=1"]
    uninterrupted = start(*options, f"hydra.run.dir={whole}")

    first = start(*options, f"hydra.run.dir={killed}")
    kill_when(first, killed, lambda: 2 <= step_on_disk(killed) < steps_done(killed))
    step = step_on_disk(killed)
    assert steps_done(killed) > step >= 2  # between two checkpoints
    assert read_status(killed)["state"] == "running" and not (killed / "metrics.json").exists()

    finish(uninterrupted)
    second = start(f"hydra.run.dir={killed}", f"resume={killed}", alone=True)  # which takes over those of the first
    kill_when(second, killed, lambda: step_on_disk(killed) > step and steps_done(killed) == step_on_disk(killed))
    assert step_on_disk(killed) < 40  # just after a checkpoint

    finish(start(f"hydra.run.dir={killed}", f"resume={killed}", alone=True))
    assert step_on_disk(killed) == 40
    assert same(weights(killed), weights(whole))
    assert results(killed) == results(whole)


@pytest.fixture
def stopped(launch: Launch, tmp_path: Path) -> Path:
    """The folder of a run that has come to step 4 of a schedule that does not depend on the number of steps."""
    assert launch("trainer.max_steps=4", "optimizer.schedule=constant", "evaluation=[]", "hydra.run.dir=stopped") == 0
    return tmp_path / "stopped"


def test_other_data_is_refused(launch: Launch, stopped: Path, capfd: pytest.CaptureFixture) -> None:
    with (stopped.parent / "pairs.jsonl").open("a") as file:
        file.write('{"id": "new", "queries": {"de": "Neu?"}, "passages": {"de": "Neu."}}\n')
    assert launch("optimizer.schedule=constant", "evaluation=[]", "hydra.run.dir=other", f"resume={stopped}") == 2
    assert "rows of the sources was [60], is [61]" in capfd.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("ema_decay", ["null", "0.5"])
def test_a_run_that_is_killed_while_it_is_measured_is_measured(
    launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture, recwarn: pytest.WarningsRecorder, ema_decay: str
) -> None:
    """All steps are done, and the last checkpoint is there: what comes after it is done again."""
    options = ["data.validation_fraction=0.4", "data.validation_batches=1", "trainer.val_check_interval=2"]
    options += ["averaging.start_share=0.3", "postprocess=projection", "postprocess.rows_per_language=20"]
    options += ["trainer.max_steps=4", f"averaging.ema_decay={ema_decay}"]
    assert launch(*options, "hydra.run.dir=whole") == 0
    whole = tmp_path / "whole"
    expected, state = (results(whole), weights(whole)), read_checkpoint(whole / "checkpoints" / "last.ckpt")
    for file in ("metrics.json", "report.json", "model/model.safetensors"):
        (whole / file).unlink()
    capfd.readouterr()

    assert launch("hydra.run.dir=again", "resume=whole", *options) == 0
    assert "no step left of 4: the resumed run is finished and measured" in (tmp_path / "again/run.log").read_text()
    assert launch("hydra.run.dir=whole", "resume=whole", "overwrite=true", *options) == 0
    for run in (tmp_path / "again", whole):
        found = results(run), weights(run)
        assert same(found[1], expected[1])
        assert {**found[0], "log": None} == {**expected[0], "log": None}
        again = read_checkpoint(run / "checkpoints" / "last.ckpt")
        assert [again[name] for name in ("global_step", "PairDataModule")] == [4, state["PairDataModule"]]
    assert launch("hydra.run.dir=other", "resume=whole", *options, "averaging.start_share=0.9") == 0
    assert not same(weights(tmp_path / "other"), expected[1])
    assert not [str(warning.message) for warning in recwarn if "heckpoint" in str(warning.message)]


def test_resuming_in_another_folder_ends_like_one_run(launch: Launch, tmp_path: Path) -> None:
    options = ["optimizer.schedule=constant", "optimizer.lr=1e-2", "data.validation_fraction=0.4"]
    options += ["loss=[infonce,queue]", "data.validation_batches=1", "trainer.val_check_interval=2"]
    assert launch(*options, "hydra.run.dir=whole", "trainer.max_steps=8") == 0
    assert launch(*options, "hydra.run.dir=first", "trainer.max_steps=4") == 0
    assert launch(*options, "hydra.run.dir=second", "trainer.max_steps=8", "resume=first") == 0
    best = [read_checkpoint(tmp_path / run / "checkpoints" / "best.ckpt") for run in ("whole", "second")]
    assert best[0]["global_step"] == best[1]["global_step"]
    assert same(best[0]["state_dict"], best[1]["state_dict"])
    assert same(weights(tmp_path / "second"), weights(tmp_path / "whole"))
    second, whole = (results(tmp_path / run) for run in ("second", "whole"))
    del second["log"], whole["log"]  # the first run measured at its own end too
    assert second == whole
    assert (tmp_path / "second" / "per_query_before").is_dir()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_decides_the_weights(launch: Launch, tmp_path: Path, seed: int) -> None:
    assert launch("hydra.run.dir=first", "evaluation=[]") == 0
    assert launch("hydra.run.dir=second", "evaluation=[]", f"seed={seed}") == 0
    assert same(weights(tmp_path / "first"), weights(tmp_path / "second")) is (seed == 0)


@pytest.mark.parametrize(
    ("changed", "differences"),
    [
        (["seed=1"], ["seed was 0, is 1"]),
        (["data.batch_size=4"], ["batch_size was 8, is 4"]),
        (["sampler=monolingual"], ["hybrid", "monolingual"]),
        (["sampler.alpha=0.25"], ["alpha was 0.5, is 0.25"]),
        (["data.languages=[de,en]", "seed=3"], ["languages", "seed was 0, is 3"]),
        (["optimizer.lr=0.5"], ["optimizer.lr"]),
    ],
    ids=lambda value: value[0] if "=" in value[0] else "",
)
def test_another_set_up_is_refused_with_its_differences(
    launch: Launch, stopped: Path, capfd: pytest.CaptureFixture, changed: list[str], differences: list[str]
) -> None:
    before = (stopped / "checkpoints" / "last.ckpt").read_bytes()
    capfd.readouterr()
    assert (
        launch("optimizer.schedule=constant", "evaluation=[]", "hydra.run.dir=other", f"resume={stopped}", *changed)
        == 2
    )
    message = capfd.readouterr().err.splitlines()[-1]
    assert message.startswith("error: the checkpoint cannot be resumed") and "Restore these settings" in message
    assert all(difference in message for difference in differences)
    assert (stopped / "checkpoints" / "last.ckpt").read_bytes() == before
    assert not (stopped.parent / "other" / "checkpoints").exists()


@pytest.mark.parametrize("changed", ["seed=1", "optimizer.lr=0.5", "data.num_negatives=1", "model.dropout=2"])
def test_a_resume_that_is_refused_leaves_the_run_as_it_was(
    launch: Launch, stopped: Path, capfd: pytest.CaptureFixture, changed: str
) -> None:
    """Before anything loads, by the checkpoint, by the data and by the sampler: what is resumed next is the old run."""
    (stopped / "metrics.json").unlink()
    status = json.dumps(read_status(stopped) | {"state": "interrupted"})
    (stopped / "status.json").write_text(status)
    configuration = (stopped / "config.yaml").read_text()
    options = ("optimizer.schedule=constant", "evaluation=[]", "hydra.run.dir=stopped", "resume=stopped")
    assert launch(*options, changed) == 2, capfd.readouterr()
    assert (stopped / "status.json").read_text() == status
    assert (stopped / "config.yaml").read_text() == configuration
    assert launch(*options, "trainer.max_steps=5") == 0
    assert read_status(stopped)["state"] == "finished"
