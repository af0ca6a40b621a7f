"""What a run meets around it: variables of W&B, little shared memory, folders that cannot be written."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from mixlingua.cli.check import problems
from mixlingua.cli.command_line import ACTIONS
from mixlingua.cli.configuration import compose
from mixlingua.errors import StorageError, user_error
from mixlingua.files import cache_dir

Launch = Callable[..., int]


def test_one_wandb_run_for_all_jobs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = compose(["model=tiny", "logger=[wandb]"])
    train = ACTIONS["train"]
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    assert [text for text in problems(cfg, train, multirun=True) if text.startswith("WANDB_RUN_ID=mine")]
    assert not problems(cfg, train, multirun=False)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no /dev/shm here")
def test_workers_that_do_not_fit_dev_shm_are_refused(
    launch: Launch, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    """2 queries of 64 tokens and 2 passages of 128, 16 bytes a token, in two batches a worker, and keys: 13 kB."""
    free = shutil.disk_usage("/dev/shm")._replace(free=20_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    options = ["model=tiny", "evaluation=[]", "trainer.max_steps=1", "data.batch_size=2"]
    assert launch(*options, "data.num_workers=2", "hydra.run.dir=two") == 2
    assert "data.num_workers=2: batches waiting in /dev/shm may take 0 MB" in capfd.readouterr().err
    assert launch(*options, "data.num_workers=1", "hydra.run.dir=one") == 0


def test_the_configured_cache_is_that_of_the_run_and_of_nothing_after_it(
    launch: Launch, tmp_path: Path, own_cache: Path
) -> None:
    found = []

    def probe(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
        found.append(cache_dir())
        return {}

    for options in (["paths.cache=here", "hydra.run.dir=one"], ["hydra.run.dir=two"]):
        assert launch("action=probe", *options, probe=probe) == 0
    assert found == [tmp_path / "here", own_cache]


def test_a_server_bounds_what_is_kept_of_shapes_unless_the_environment_says_otherwise(
    launch: Launch, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "")
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY")
    assert launch("action=serve", "corpus=atlas", "model=tiny") == 2
    assert "corpus: action=serve serves index=DIR" in capfd.readouterr().err
    assert (os.environ["LRU_CACHE_CAPACITY"], os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"]) == ("7", "64")


@pytest.mark.parametrize("command", [["hydra.run.dir=file/run"], ["hydra.sweep.dir=file/sweep", "-m"]])
def test_a_folder_that_cannot_be_written_is_a_message(
    launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture, command: list[str]
) -> None:
    (tmp_path / "file").write_text("a file where a folder would be")  # refused to the superuser too
    assert launch("action=probe", *command, probe=lambda cfg, run_dir: {}) == 2
    error = capfd.readouterr().err
    assert "Traceback" not in error and error.startswith("error: ") and "file" in error and "(hydra.run.dir" in error


@pytest.mark.parametrize("number", [1, 13, 30])  # EPERM, EACCES, EROFS
def test_the_system_s_refusal_is_a_message_that_names_the_file(number: int) -> None:
    try:
        raise RuntimeError("writing") from OSError(number, "refused", "/some/cache")
    except RuntimeError as error:
        found = user_error(error)
    assert isinstance(found, StorageError) and str(found).startswith("/some/cache: refused.")
