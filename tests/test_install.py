"""The package as it is installed: outside the clone, with its configuration and its command."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_an_installed_package_trains_from_any_folder(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    for folder in ("src", "conf"):
        shutil.copytree(REPOSITORY / folder, clone / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, clone / name)
    site = tmp_path / "site"
    options = ["--no-deps", "--no-build-isolation", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *options, str(clone)], check=True)
    shutil.rmtree(clone)
    (elsewhere := tmp_path / "elsewhere").mkdir()
    command = [
        sys.executable,
        str(site / "bin" / "mixlingua"),
        "model=tiny",
        "trainer.max_steps=2",
        "data.num_workers=0",
    ]
    environment = {**os.environ, "PYTHONPATH": str(site), "MIXLINGUA_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(elsewhere.glob("outputs/*/*/metrics.json"))) == 1


def test_the_locked_versions_are_within_the_declared_ranges() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    locked = {}
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (REPOSITORY / name).read_text(encoding="utf-8").splitlines():
            if match := re.match(r"([\w.-]+)==(\S+)", line):
                locked[match[1].lower().replace("_", "-")] = match[2]
    for text in [*project["dependencies"], *extras]:
        requirement = Requirement(text)
        name = requirement.name.lower().replace("_", "-")
        if name != "hydra-optuna-sweeper":  # needs an own environment: it is not in the lock
            assert requirement.specifier.contains(locked[name]), text
