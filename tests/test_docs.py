"""What the README and the docs say can be typed, can be typed; their code runs; what they name and link to is there."""

import ast
import gzip
import json
import re
import shlex
import urllib.error
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf, read_write
from tests.documented import CONFIGS, DOCS, PAGES, README, REPOSITORY, blocks, command_lines, run_commands

from mixlingua import files as fetch
from mixlingua.cli import check, names
from mixlingua.cli.command_line import ACTIONS, spelled_out
from mixlingua.cli.configuration import compose
from mixlingua.data.readers.jsonl import JsonlReader
from mixlingua.errors import MixlinguaError

SOURCE = REPOSITORY / "src" / "mixlingua"
# What a documented command may lack on the machine of the tests. Nothing else may be wrong with it.
LACKING = (
    "could not be fetched|Get https|no GPU is visible|GPUs are visible here|this is no SLURM job|no checkpoint at"
    "|pip install hydra-|belongs here, with newstest2019|parts.SquaredDistance"
    "|DIR/qa/belebele\\.jsonl\\.gz: no such file|averaging.models: .*: no such file"
)
# Commands that are no `python run.py`, with what runs them.
OTHER_COMMANDS = {
    "pip install -r requirements.txt": ".ci/run",
    "pip install -r requirements-dev.txt": ".ci/run",
    "pytest -n auto": ".ci/run",
    "ruff check": "tests/test_quality.py",
    "ruff format --check": "tests/test_quality.py",
    "mypy": "tests/test_quality.py",
    "mkdocs serve": "tests/test_site.py, by a build",
    "python docs/scripts/tables.py": "tests/test_site.py",
}


def problems(command: list[str]) -> list[str]:
    """What the command-line check and the preflight say against a command; of a sweep, its first job."""
    command = spelled_out(command)
    names.check_command_line(command)
    if "hydra/sweeper=optuna" in command or "--help" in command or "--cfg" in command:
        return []
    overrides = [argument for argument in command if not argument.startswith("-")]
    (jobs,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(overrides), None)
    with_hydra = compose(jobs[0], with_hydra=True)
    cfg = OmegaConf.masked_copy(with_hydra, [key for key in with_hydra if key != "hydra"])
    with read_write(with_hydra):
        with_hydra.hydra.runtime.output_dir = "outputs/DATE/TIME"
    HydraConfig.instance().set_config(with_hydra)  # which ${hydra:...} reads
    try:
        files = re.compile(r"[\w.]*(path|folder|name_or_path)=")  # of the reader's own, which are not here
        typed = [text for text in jobs[0] if not files.match(text)]
        return check.problems(cfg, ACTIONS[cfg.action], typed, multirun="-m" in command)
    finally:
        HydraConfig.instance().cfg = None


@pytest.fixture
def workplace(own_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder without network and with the examples' files, as the current one."""

    def refused(*arguments: Any, **settings: Any) -> None:
        raise urllib.error.URLError("the tests fetch nothing")

    monkeypatch.setattr(fetch.urllib.request, "urlopen", refused)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(DOCS)
    with gzip.open("pairs.jsonl.gz", "wt") as file:
        for number in range(200):
            queries, passages = ({code: f"{side} {number} {code}" for code in ("de", "en")} for side in "qp")
            file.write(json.dumps({"id": number, "queries": queries, "passages": passages}) + "\n")
    Path("pairs.tsv").write_text("f\ta\tq\tp\n")
    Path("data/dictionaries").mkdir(parents=True)
    Path("data/dictionaries/en-de.txt").write_text("where wo\nriver fluss\n")
    Path("data/dictionaries/en-es.txt").write_text("end fin\nend termina\n")
    return tmp_path


def test_pages_have_commands() -> None:
    assert len(run_commands()) > 100
    assert "sampler=hybrid sampler.alpha=0.4" in run_commands()


@pytest.mark.parametrize("command", run_commands())
def test_a_documented_command_is_accepted(command: str, workplace: Path) -> None:
    try:
        said = problems(shlex.split(command))
    except MixlinguaError as error:
        said = [str(error)]
    assert [problem for problem in said if not re.search(LACKING, problem)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_other_command_is_run_somewhere_or_marked(page: Path) -> None:
    others = [line for code in blocks(page, "bash") for line in command_lines(code) if "python run.py" not in line]
    assert [line for line in others if line not in OTHER_COMMANDS] == []


PYTHON = [(page, number) for page in PAGES for number in range(len(blocks(page, "python")))]


@pytest.mark.parametrize(("page", "number"), PYTHON, ids=lambda value: getattr(value, "name", str(value)))
def test_python_examples_run(page: Path, number: int, workplace: Path) -> None:
    code = blocks(page, "python")[number].replace('"e5_small_q4"', '"tiny"')
    exec(compile(code, str(page), "exec"), {"__name__": "example"})


def test_the_example_of_code_switching_switches(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks(DOCS / "codeswitch.md", "python")
    exec(compile(example, "codeswitch.md", "exec"), {})
    note, *texts = capsys.readouterr().out.splitlines()
    assert note == "en: into de (2 words), es (1 words)"
    assert len(texts) == 5
    words = {word for text in texts for word in text.rstrip("?").split()}
    assert words <= {"Where", "Wo", "does", "the", "river", "fluss", "end", "fin", "termina"}
    assert words & {"Wo", "fluss", "fin", "termina"}


def test_the_tutorial_shows_a_row_of_the_example() -> None:
    rows = list(JsonlReader(DOCS / "pairs.jsonl").rows())
    assert len(rows) == 3
    (shown,) = map(json.loads, blocks(DOCS / "tutorial.md", "json"))
    assert shown == {"id": rows[2].id, "queries": rows[2].queries, "passages": rows[2].passages}


def test_the_example_of_the_format_is_read(tmp_path: Path) -> None:
    (tmp_path / "example.jsonl").write_text(blocks(DOCS / "data.md", "json")[0], encoding="utf-8")
    first, second = JsonlReader(tmp_path / "example.jsonl").rows()
    assert sorted(first.queries) == ["de", "en"]
    assert second.passage_id == "p7"


def test_the_example_of_an_experiment_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(blocks(DOCS / "train.md", "yaml")[0])
    names.check_command_line(["--config-dir", str(tmp_path), "experiment=mine"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    generated = "reference/"  # made when the site is built, which checks these
    inside = [target for target in targets if "://" not in target and not target.startswith(generated)]
    assert [target for target in inside if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_are_short(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > 120] == []


def test_the_readme_fits_two_screens() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120


def test_pages_that_the_code_names_exist() -> None:
    for path in [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.html"), *CONFIGS]:
        for page in re.findall(r"docs/\w+\.md", path.read_text(encoding="utf-8")):
            assert (REPOSITORY / page).exists(), f"{path.relative_to(REPOSITORY)} names {page}"


def names_in(path: Path) -> set[str]:
    """The functions and classes that a module defines, methods as `Class.method`."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return names


@pytest.mark.parametrize("report", sorted((REPOSITORY / "tests" / "reports").glob("*.md")), ids=lambda file: file.stem)
def test_every_test_that_a_report_names_is_there(report: Path) -> None:
    """Its file is named with it, or is the last one that was named before it."""
    file, content = "", ""
    for named in re.findall(r"`([^`\n]*test_[^`\n]*)`", report.read_text(encoding="utf-8")):
        path, name = (named, "") if named.endswith(".py") else named.rpartition("::")[::2]
        if path:
            file = path.removeprefix("tests/")
            content = (REPOSITORY / "tests" / file).read_text(encoding="utf-8")
        assert not name or re.search(rf"^def {name}\(", content, re.MULTILINE), f"{file} has no {name}"


def test_the_answers_of_the_architecture_are_there() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    answers = re.findall(r"^\| .+\? \| `([\w/]+\.py)` \| `(\w+)` \|$", page, flags=re.MULTILINE)
    steps = re.findall(r"`([\w/]+\.py)`, `([\w.]+)`", page)
    assert len(answers) >= 13
    assert len(steps) == 15
    for file, name in [*answers, *steps]:
        assert name in names_in(SOURCE / file), f"{file} has no {name}"


def test_the_glossary_is_short() -> None:
    glossary = (DOCS / "architecture.md").read_text(encoding="utf-8").partition("## Glossary")[2]
    terms = [term for line in glossary.splitlines() if line.startswith("- ") for term in re.findall(r"\*\*", line)]
    assert 30 <= len(terms) // 2 <= 40
