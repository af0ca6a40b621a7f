"""A run folder belongs to one run, whatever the state of another that would have it too."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mixlingua.cli.run_folder import CLAIM, claim, release
from mixlingua.errors import ConfigError
from mixlingua.reading import read_status

Launch = Callable[..., int]
SOURCE = str(Path(__file__).resolve().parents[2] / "src")
SAME_TIME = "${now:%Y}"  # two commands of one second, for sure

PROBE = """
import sys, time
from pathlib import Path
sys.path.insert(0, {source!r})
from mixlingua.cli import command_line, main

def run(cfg, run_dir):
    here = Path.cwd()
    (run_dir / f"result{{cfg.seed}}-{{__import__('os').environ.get('RANK', '0')}}").touch()
    (here / f"ready{{cfg.seed}}").touch()
    while cfg.seed > 0 and not all((here / f"ready{{seed}}").exists() for seed in (1, 2)):
        time.sleep(0.01)
    return {{"seed": float(cfg.seed)}}

sys.modules["probe"] = sys.modules["__main__"]
command_line.ACTIONS["probe"] = command_line.Action("probe:run", "a stub", ())
if __name__ == "__main__":
    main.main()
"""


@pytest.fixture(autouse=True)
def released() -> object:
    yield
    release()


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    file = tmp_path / "entry.py"
    file.write_text(PROBE.format(source=SOURCE))
    return file


def start(probe: Path, *arguments: str, module: tuple[str, ...] = ()) -> subprocess.Popen:
    command = [sys.executable, *module, str(probe), "action=probe", *arguments]
    return subprocess.Popen(command, cwd=probe.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.whole
def test_two_runs_of_one_moment_have_a_folder_each(probe: Path, tmp_path: Path) -> None:
    both = [start(probe, f"seed={seed}", f"hydra.run.dir=out/{SAME_TIME}") for seed in (1, 2)]
    for process in both:
        assert process.wait(120) == 0, process.communicate()
    folders = sorted((tmp_path / "out").iterdir())
    assert [folder.name.endswith("-2") for folder in folders] == [False, True]
    for folder in folders:
        (seed,) = read_status(folder)["metrics"].values()
        assert [path.name for path in folder.glob("result*")] == [f"result{seed:.0f}-0"]
        assert f"seed: {seed:.0f}" in (folder / "config.yaml").read_text()


@pytest.mark.whole
def test_two_sweeps_of_one_moment_have_a_folder_each(probe: Path, tmp_path: Path) -> None:
    both = [start(probe, f"seed={seed}", f"hydra.sweep.dir=out/{SAME_TIME}", "-m") for seed in (1, 2)]
    for process in both:
        assert process.wait(120) == 0, process.communicate()
    folders = sorted((tmp_path / "out").iterdir())
    assert len(folders) == 2
    assert {read_status(folder / "0")["metrics"]["seed"] for folder in folders} == {1.0, 2.0}
    assert all(len(list((folder / "0").glob("result*"))) == 1 for folder in folders)


def test_a_folder_that_a_run_is_writing_is_refused_to_others(launch: Launch, tmp_path: Path, capfd) -> None:
    code = f"import sys; sys.path.insert(0, {SOURCE!r})\nfrom pathlib import Path\n"
    code += "from mixlingua.cli.run_folder import claim\nclaim(Path('run')); print('held', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    for options in ([], ["overwrite=true"]):
        assert launch("action=probe", "hydra.run.dir=run", *options, probe=lambda cfg, run_dir: {}) == 2
        assert f'{{"pid": {holder.pid}, "host"' in capfd.readouterr().err
    assert [path.name for path in (tmp_path / "run").iterdir()] == [CLAIM]
    holder.communicate("\n")
    assert launch("action=probe", "hydra.run.dir=run", probe=lambda cfg, run_dir: {}) == 0


def test_what_is_no_folder_is_refused(launch: Launch, tmp_path: Path, capfd) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for folder in ("notes.txt", "nowhere"):
        assert launch("action=probe", f"hydra.run.dir={folder}") == 2
        assert capfd.readouterr().err.startswith(f"error: {folder}: cannot be written (File exists: {folder}).")
    for arguments in (["hydra.run.dir="], ["-m", "hydra.sweep.dir=", "seed=0,1"]):
        assert launch("action=probe", *arguments) == 2
        assert "name a folder; '.' is the one that you are in" in capfd.readouterr().err


def test_a_claim_ends_with_the_process_and_not_with_its_children(tmp_path: Path) -> None:
    if (child := os.fork()) == 0:  # as a DataLoader's worker is
        claim(tmp_path / "run")
        if (grandchild := os.fork()) == 0:
            os.execvp("sleep", ["sleep", "5"])
        (tmp_path / "grandchild").write_text(str(grandchild))
        os._exit(0)
    os.waitpid(child, 0)
    claim(tmp_path / "run")
    assert json.loads((tmp_path / "run" / CLAIM).read_text())["pid"] == os.getpid()
    os.kill(int((tmp_path / "grandchild").read_text()), 9)


@pytest.mark.parametrize("state", ["running", "failed", "interrupted"])
def test_results_of_another_run_are_not_mixed_with(launch: Launch, tmp_path: Path, capfd, state: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    overrides = ["action=probe", "seed=1"]
    (run / "status.json").write_text(json.dumps({"state": state, "action": "probe", "overrides": overrides}))
    (run / "metrics_before.json").write_text("{}")
    assert launch("action=probe", "seed=2", "hydra.run.dir=run", probe=lambda cfg, run_dir: {}) == 2
    assert "run holds files of a run with other arguments (metrics_before.json)" in capfd.readouterr().err
    assert launch("action=probe", "seed=1", "hydra.run.dir=run", probe=lambda cfg, run_dir: {}) == 0
    (run / "metrics_before.json").unlink()


@pytest.mark.parametrize("options", [[], ["overwrite=true"]])
@pytest.mark.parametrize(("action", "name"), [("train", "model"), ("evaluate", "csv"), ("index", "rows")])
def test_a_folder_of_no_run_keeps_what_lies_where_results_go(
    launch: Launch, tmp_path: Path, capfd, options: list[str], action: str, name: str
) -> None:
    (tmp_path / "thesis" / name).mkdir(parents=True)
    (tmp_path / "thesis" / name / "ch1.tex").write_text("text")
    assert launch(f"action={action}", "evaluation=xquad_r", "hydra.run.dir=thesis", *options) == 2
    assert f"thesis was never the folder of a run (no status.json), but holds {name}" in capfd.readouterr().err
    assert (tmp_path / "thesis" / name / "ch1.tex").read_text() == "text"


def test_a_run_that_failed_before_it_worked_is_no_obstacle(launch: Launch, tmp_path: Path) -> None:
    def fails(cfg: object, run_dir: Path) -> dict[str, float]:
        raise ConfigError("wrong")

    assert launch("action=probe", "seed=1", "hydra.run.dir=run", probe=fails) == 2
    assert launch("action=probe", "seed=2", "hydra.run.dir=run", probe=lambda cfg, run_dir: {}) == 0


@pytest.mark.slow
def test_the_processes_of_torchrun_share_a_folder(probe: Path, tmp_path: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    process = start(probe, "hydra.run.dir=out/${now:%Y-%f}", module=torchrun)  # never one name for two
    assert process.wait(120) == 0, process.communicate()
    (folder,) = (tmp_path / "out").iterdir()
    assert {path.name for path in folder.glob("result*")} == {"result0-0", "result0-1"}


def test_processes_whose_folder_is_made_of_the_time_are_refused(launch: Launch, monkeypatch, capfd) -> None:
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert launch("action=probe", probe=lambda cfg, run_dir: {}) == 2
    assert "hydra.run.dir: " in capfd.readouterr().err
