"""The house rules of imports: layers, no circles, one home for each outside library, no torch where none is needed."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "src" / "mixlingua"

# Library -> the only files, or folders, of src/mixlingua that import it.
HOMES = {
    "torch.distributed": ["distributed.py"],
    "wandb": ["report/wandb.py"],
    "wandb_workspaces": ["report/wandb_dashboard.py"],
    "peft": ["model/lora.py"],
    "jinja2": ["report/page.py"],
    "sklearn": ["evaluation/", "model/language_layers.py"],
    "faiss": ["search/engines.py"],
    "pymilvus": ["search/milvus.py"],
    "hydra": ["cli/", "library.py"],
    "omegaconf": ["cli/", "library.py"],
    "fastapi": ["serving/app.py"],
    "uvicorn": ["serving/server.py"],
    "onnxruntime": ["publish/export.py"],
}
CHEAP = ["errors", "files", "languages", "sampling.plan", "sampling.strategies", "cli.launch"]


def imported_names(code: str) -> Iterator[str]:
    """Every module or attribute path that an import statement of the code names."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("library", HOMES)
def test_each_outside_library_has_one_home(library: str) -> None:
    importing = set()
    for path in sorted(SOURCE.rglob("*.py")):
        names = imported_names(path.read_text(encoding="utf-8"))
        if any(name == library or name.startswith(f"{library}.") for name in names):
            importing.add(path.relative_to(SOURCE).as_posix())
    homes = HOMES[library]
    assert all(any(file.startswith(home) for file in importing) for home in homes), "a home that imports it no more"
    assert not [file for file in importing if not any(file.startswith(home) for home in homes)]


def test_no_import_circle() -> None:
    graph = grimp.build_graph("mixlingua", cache_dir=None)
    assert len(graph.modules) > 50
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


def test_lower_packages_do_not_import_higher_ones() -> None:
    linter = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", linter], cwd=SOURCE.parent.parent, capture_output=True, text=True,
                          env={"PYTHONPATH": str(SOURCE.parent), "PATH": ""})  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", CHEAP)
def test_cheap_modules_do_not_import_torch(module: str) -> None:
    code = f"import sys, mixlingua.{module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE.parent)}, check=True)
