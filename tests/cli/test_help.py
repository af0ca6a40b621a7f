"""--help: complete, and answered without loading what takes seconds."""

import subprocess
import sys
from pathlib import Path

from mixlingua.cli.command_line import config_groups, help_text


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
