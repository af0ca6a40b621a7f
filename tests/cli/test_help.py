"""--help: complete, and answered without loading what takes seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

import mixlingua
from mixlingua.cli.command_line import config_groups, help_text
from mixlingua.cli.main import main


def test_help_names_every_group_and_choice_and_marks_the_defaults() -> None:
    text = help_text()
    groups = text.partition("Groups and their choices")[2]  # an action may have a group's name
    for group, choices in config_groups().items():
        line = next(line for line in groups.splitlines() if line.split()[:1] == [group])
        assert {word.strip("*,") for word in line.split()[1:]} == set(choices)
    assert {"e5_small", "e5_small_q4*", "hybrid*"} <= {word.strip(",") for word in text.split()}


def test_help_imports_neither_torch_nor_hydra(conf: Path, tmp_path: Path) -> None:
    code = (
        "import runpy, sys; sys.argv = ['run.py', '--help'];"
        f"runpy.run_path({str(conf.parent / 'run.py')!r}, run_name='__main__');"
        "sys.exit(len({'torch', 'hydra', 'pytorch_lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Groups and their choices" in done.stdout


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("data.sources.jsonl.path=pair.jsonl", "data.sources.jsonl.path=pair.jsonl: no such file or folder. Did you "
                                               "mean 'pairs.jsonl'?"),
        ("model.name_or_path=./nowhere", "model.name_or_path=./nowhere: no such file or folder."),
    ],
)  # fmt: skip
def test_a_missing_file_is_said_without_torch(conf: Path, tmp_path: Path, argument: str, said: str) -> None:
    (tmp_path / "pairs.jsonl").touch()
    code = (
        "import sys; from mixlingua.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "data=jsonl", "model=folder", argument]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(conf.parent / "src")}, capture_output=True,
                          text=True)  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (2, "False\n", f"error: {said}\n")


def test_the_version_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"mixlingua {mixlingua.__version__}\n"
