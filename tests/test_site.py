"""The site builds without a warning, its reference holds every choice and module, and its tables are the data's."""

import importlib.util
import logging
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from mkdocs.commands.build import build
from mkdocs.config import load_config

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "src" / "mixlingua"


def script(name: str) -> ModuleType:
    """A module of docs/scripts, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", REPOSITORY / "docs" / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a broken link, an orphan page or an unreadable docstring raises."""
    folder = tmp_path_factory.mktemp("site")
    logging.getLogger("mkdocs").setLevel(logging.WARNING)
    build(load_config(str(REPOSITORY / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def test_every_page_is_in_the_navigation(site: Path) -> None:
    pages = {path.stem for path in (REPOSITORY / "docs").glob("*.md")}
    assert {path.parent.name for path in site.glob("*/index.html")} == pages - {"index"}


def test_the_site_holds_no_scripts_of_ours(site: Path) -> None:
    assert not (site / "scripts").exists()


def test_the_reference_has_every_choice(site: Path) -> None:
    page = (site / "reference" / "configuration" / "index.html").read_text(encoding="utf-8")
    for path in (REPOSITORY / "conf").glob("*/*.yaml"):
        assert f">{path.parent.name}={path.stem}</code>" in page, f"{path} is missing"


def test_the_reference_has_every_module(site: Path) -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (site / "reference").glob("*/index.html"))
    for path in SOURCE.rglob("*.py"):
        if path.name != "__init__.py":
            name = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
            assert f'id="{name}"' in pages, f"{name} is missing"


def test_the_reference_explains_a_key_by_its_constructor() -> None:
    reference = script("reference")
    choice = reference.read_choice(REPOSITORY / "conf" / "loss" / "infonce.yaml")
    keys = {key.name.rpartition(".")[2]: key for key in choice.keys}
    assert choice.target == "mixlingua.losses.infonce.InfoNCE"
    assert {"weight", "symmetric", "hardness"} <= set(keys)
    assert keys["hardness"].default in {"0.0", "0"}
    assert keys["hardness"].meaning


def test_the_tables_are_those_of_the_data() -> None:
    tables = script("tables")
    marked: set[str] = set()
    for page in tables.PAGES:
        text = page.read_text(encoding="utf-8")
        marked |= set(re.findall(r"<!-- table: (\w+) -->", text))
        assert tables.filled(text) == text, f"{page.name}: run python docs/scripts/tables.py"
    assert marked == set(tables.TABLES)


def test_a_changed_figure_changes_its_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tables = script("tables")
    for path in tables.RESULTS.glob("*.csv"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8").replace(",.631,", ",.632,"))
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    page = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert ".631" in page and ".632" not in page
    assert ".632" in tables.filled(page)


def test_every_result_says_how_it_came_about() -> None:
    import csv

    for path in (REPOSITORY / "docs" / "results").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows, f"{path.name} has no rows"
        assert {"seed", "precision", "hardware", "older_sources"} <= set(rows[0])
        assert {row["older_sources"] for row in rows} <= {"yes", "no"}


def test_the_navigation_of_the_configuration_file_is_complete() -> None:
    nav = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    pages = [page for section in nav for entries in section.values() for entry in entries for page in entry.values()]
    assert len(pages) == len(set(pages))
