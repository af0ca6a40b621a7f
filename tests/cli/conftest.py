"""Fixtures that run the entry point inside the test's process."""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from omegaconf import DictConfig

from mixlingua.cli.command_line import ACTIONS, Action
from mixlingua.cli.main import main

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def conf() -> Path:
    return REPOSITORY / "conf"


@pytest.fixture
def kept_logging() -> Iterator[None]:
    """Undo what Hydra does to the root logger."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kept_logging: None) -> Callable[..., int]:
    """`python run.py ARGUMENTS` in tmp_path; returns the exit status. The action `probe` calls the given function."""

    def run(*arguments: str, probe: Callable[[DictConfig, Path], dict[str, float]] | None = None) -> int:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # set by the run, and undone with this
        module = type(sys)("mixlingua_probe")
        module.__dict__["run"] = probe
        monkeypatch.setitem(sys.modules, "mixlingua_probe", module)
        monkeypatch.setitem(ACTIONS, "probe", Action("mixlingua_probe:run", "a stub", ()))
        try:
            main(arguments)
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return run
