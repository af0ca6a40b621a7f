"""The layer rules: which package may import which, and the one home of each outside library."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "src" / "mixlingua"

# Library -> the only files, or folders, of src/mixlingua that import it.
HOMES = {
    "torch.distributed": ["model/distributed.py"],
    "faiss": ["retrieval/index.py"],
    "wandb": ["report/wandb.py"],
    "peft": ["model/lora.py"],
    "jinja2": ["report/page.py"],
    "wandb_workspaces": ["report/wandb_dashboard.py"],
    "sklearn": ["evaluation/"],
    "hydra": ["cli/"],
    "omegaconf": ["cli/"],
}


def imported_names(code: str) -> Iterator[str]:
    """Every module or attribute path that an import statement of the code names."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def strangers(library: str, code: str) -> list[str]:
    return [name for name in imported_names(code) if name == library or name.startswith(f"{library}.")]


@pytest.mark.parametrize("library", HOMES)
def test_each_outside_library_has_one_home(library: str) -> None:
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE).as_posix()
        if not any(place == home or (home.endswith("/") and place.startswith(home)) for home in HOMES[library]):
            assert not strangers(library, path.read_text(encoding="utf-8")), f"{place} imports {library}"


@pytest.mark.parametrize("code", ["import torch.distributed as dist", "from torch import distributed"])
def test_every_form_of_import_is_seen(code: str) -> None:
    assert strangers("torch.distributed", code)


def test_lower_packages_do_not_import_higher_ones() -> None:
    linter = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", linter], cwd=SOURCE.parent.parent, capture_output=True, text=True,
                          env={"PYTHONPATH": str(SOURCE.parent), "PATH": ""})  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_cheap_modules_do_not_import_torch() -> None:
    code = "import sys, mixlingua.languages, mixlingua.files, mixlingua.sampling; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE.parent)})
    assert done.returncode == 0
