"""The notebooks run from top to bottom, and are saved with what they show."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """What each code cell wrote to standard output."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(o.text for o in cell.outputs if o.get("name") == "stdout") for cell in cells]


def pictures(notebook: nbformat.NotebookNode) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


@each
def test_saved_with_pictures_and_without_errors(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert pictures(notebook) >= 1
    assert [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"] == []


@pytest.mark.slow
@each
def test_runs_and_shows_what_is_saved(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    saved, saved_pictures = printed(notebook), pictures(notebook)
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(path.parent)}}).execute()
    again = printed(notebook)
    assert again[0] == saved[0]  # what is not computed with weights, whose last digits may differ between machines
    assert list(map(bool, again)) == list(map(bool, saved))
    assert pictures(notebook) == saved_pictures
