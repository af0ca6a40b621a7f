"""A run of two steps, once for all tests that read its card; they write into copies."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.conftest import write_benchmark

from mixlingua.cli.main import main

ARGUMENTS = [
    "model=tiny", "trainer.max_steps=2", "trainer.precision=32-true", "data.batch_size=8", "data.num_workers=0",
    "data.max_rows=64", "data.languages=[de]", "sampler=monolingual", "logger=[]", "evaluation=xquad_r",
    "evaluation.tasks.xquad_r.languages=[de,en]",
]  # fmt: skip


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    write_benchmark(folder.parent / "xquad-r")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")
        main([*ARGUMENTS, f"hydra.run.dir={folder}", f"paths.data={folder.parent}", "hydra/job_logging=none"])
    return folder


@pytest.fixture
def run_dir(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`python run.py ARGUMENTS` inside the test's process; the exit status."""

    def run(*arguments: str) -> int:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PL_GLOBAL_SEED", "0")
        try:
            main([*arguments, "hydra/job_logging=none"])
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return run
