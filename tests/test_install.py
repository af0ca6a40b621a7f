"""The package as it is installed: outside the clone, with its configuration and its command."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
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
    environment = {**os.environ, "PYTHONPATH": str(site)}
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
                locked[_normal(match[1])] = match[2]
    for text in [*project["dependencies"], *extras]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(locked[_normal(requirement.name)]), text


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *(text for group in project["optional-dependencies"].values() for text in group)]
    declared = {_normal(Requirement(text).name) for text in texts}
    distributions = packages_distributions()
    for file in (REPOSITORY / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in (name.split(".")[0] for name in names):
                if name not in sys.stdlib_module_names and name not in ("mixlingua", "hydra_plugins"):
                    owners = {_normal(owner) for owner in distributions.get(name, [name])}
                    assert owners & declared, f"{file} imports {name}, which pyproject.toml does not declare"


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")
