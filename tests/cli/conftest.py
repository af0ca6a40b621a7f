"""The entry point with a stub for the action."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from mixlingua.cli.command_line import ACTIONS, Action

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def conf() -> Path:
    return REPOSITORY / "conf"


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch, entry: Callable[[list[str]], int]) -> Callable[..., int]:
    """`python run.py ARGUMENTS` in tmp_path; returns the exit status. The action `probe` calls the given function."""

    def run(*arguments: str, probe: Callable[[DictConfig, Path], dict[str, float]] | None = None) -> int:
        module = type(sys)("mixlingua_probe")
        module.__dict__["run"] = probe
        monkeypatch.setitem(sys.modules, "mixlingua_probe", module)
        stub = Action("mixlingua_probe:run", "a stub", (), keys=(*ACTIONS["train"].uses, *ACTIONS["train"].keys))
        monkeypatch.setitem(ACTIONS, "probe", stub)
        return entry([*arguments])

    return run
