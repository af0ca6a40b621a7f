"""What a user sees for bad input: one message with file or key, value and way out, and nothing half-written."""

import errno
import json
import os
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from mixlingua.cli.run_record import read_status
from mixlingua.errors import StorageError
from mixlingua.files import atomic_write
from mixlingua.training.checkpoints import read_checkpoint

Launch = Callable[..., int]
STATE = ("state_dict", "PairDataModule", "optimizer_states", "settings", "remembered")  # of a checkpoint


@pytest.fixture
def refused(launch: Launch, tmp_path: Path, shared_cache: Path, capfd: pytest.CaptureFixture) -> Callable[..., str]:
    """The message of a run that must end with status 2, leaving no results, no checkpoint and nothing unfinished."""

    def run(*changed: str) -> str:
        stores = set(shared_cache.rglob("stores/*/train"))
        capfd.readouterr()
        assert launch("evaluation=[]", "hydra.run.dir=run", *changed) == 2
        error = capfd.readouterr().err
        assert "Traceback" not in error and error.startswith("error: ")
        message = error.removeprefix("error: ").strip()
        status = read_status(tmp_path / "run")
        assert (status["state"], status["error"]) == ("failed", message)
        assert not (tmp_path / "run" / "metrics.json").exists() and not (tmp_path / "run" / "model").exists()
        assert not [path for folder in (tmp_path, shared_cache) for path in folder.rglob("*.partial*")]
        assert set(shared_cache.rglob("stores/*/train")) >= stores
        return message

    return run


def spoil_row(file: Path, number: int, spoil: Callable[[bytes], bytes]) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    lines[number - 1] = spoil(lines[number - 1])
    file.write_bytes(b"".join(lines))


def without_french_passage(line: bytes) -> bytes:
    row = json.loads(line)
    del row["passages"]["fr"]
    return json.dumps(row).encode() + b"\n"


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda file: file.rename(file.with_name("pairs1.jsonl")), [": no such file", "Did you mean 'pairs1.jsonl'?"]),
        (lambda file: file.write_bytes(b""), [": the file is empty."]),
        (lambda file: spoil_row(file, 3, lambda line: line[:-5] + b"\n"), [":3: malformed JSON ("]),
        (
            lambda file: spoil_row(
                file, 2, lambda line: line.replace(b"Hund", b"H\xfcnd").replace(b"Wald", b"W\xfcld")
            ),
            [":2: invalid UTF-8 at byte ", "Convert the file to UTF-8"],
        ),
        (
            lambda file: spoil_row(file, 5, without_french_passage),
            [":5: no passage in 'fr' for row 'row-4'", "Drop the row or the language."],
        ),
    ],
    ids=["missing", "empty", "malformed", "encoding", "language"],
)
def test_bad_files(
    refused: Callable[..., str], data: Path, spoil: Callable[[Path], object], expected: list[str]
) -> None:
    spoil(data / "pairs.jsonl")
    message = refused()
    assert str(data / "pairs.jsonl") in message
    assert all(part in message for part in expected), message


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            ["data.languages=[de]", "sampler=crosslingual"],
            ["sampler=crosslingual: ", "two or more", "(de)", "add a parallel"],
        ),
        (["data.batch_size=100"], ["jsonl", "data.batch_size", "100", "60"]),
        (["sampler.alpha=1.5"], ["sampler.alpha: 1.5 lies outside [0, 1]"]),
        (["data.languages=[de,german]"], ["data.languages: unknown language 'german'", "'de'"]),
        (["model.name_or_path=tinny"], ["model.name_or_path=tinny: no such folder", "Did you mean 'tiny'?"]),
        (
            ["sampler.alpha=-1", "data.batch_size=0", "optimizer.lr=0"],
            ["problems in the configuration", "sampler.alpha", "data.batch_size=0"],
        ),
    ],
    ids=["one-language", "batch", "alpha", "language", "model", "several"],
)
def test_bad_values(refused: Callable[..., str], changed: list[str], expected: list[str]) -> None:
    message = refused(*changed)
    assert all(part in message for part in expected), message


def test_a_model_that_is_not_there_offline(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # read from the environment at import
    message = refused("model.name_or_path=nobody/nothing")
    assert message.startswith("model.name_or_path=nobody/nothing: not in the local cache")
    assert all(way in message for way in ("hf download nobody/nothing", "HF_ENDPOINT", "model=e5_small_q4"))


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda file: file.write_text("no checkpoint"), "other.ckpt: cannot be read as a checkpoint ("),
        (lambda file: torch.save({"weights": torch.ones(2)}, file), "other.ckpt: holds no training state"),
        (lambda file: torch.save({"state_dict": {}}, file), "other.ckpt: weights without a training state"),
        (
            lambda file: torch.save({key: {} for key in STATE}, file),
            "other.ckpt: belongs to another model: encoder.",
        ),
        (lambda file: None, "no checkpoint at other.ckpt"),
    ],
    ids=["unreadable", "archive", "weights", "model", "missing"],
)
def test_a_checkpoint_that_cannot_be_resumed(
    refused: Callable[..., str], tmp_path: Path, write: Callable[[Path], object], expected: str
) -> None:
    write(tmp_path / "other.ckpt")
    assert expected in refused("resume=other.ckpt", "logger=[]")
    assert expected in refused("resume=other.ckpt")  # the CSV logger looks into it first


def test_a_folder_with_a_finished_run_is_left_alone(
    launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    assert launch("evaluation=[]", "hydra.run.dir=run", "trainer.max_steps=1") == 0
    held = {
        path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file() and path.suffix != ".log"
    }
    assert launch("evaluation=[]", "hydra.run.dir=run", "trainer.max_steps=2") == 2
    assert "run holds a finished run; choose another hydra.run.dir, or give overwrite=true." in capfd.readouterr().err
    assert held == {path: path.read_bytes() for path in held}
    assert launch("evaluation=[]", "hydra.run.dir=run", "trainer.max_steps=2", "overwrite=true") == 0


def test_what_an_overwritten_run_has_left_is_no_result_of_the_new_one(
    launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    run = tmp_path / "run"
    assert launch("evaluation=[]", "hydra.run.dir=run", "trainer.max_steps=1") == 0
    left = ["metrics_before.json", "report_before.json", "checkpoints/best.ckpt", "heatmap_atlas.png"]
    for name in (*left, "mine.txt"):
        (run / name).write_text("of the earlier run")
    again = ["evaluation=[]", "evaluation.before=false", "hydra.run.dir=run", "trainer.max_steps=1", "overwrite=true"]
    assert launch(*again, "model=folder", "model.name_or_path=run/model") == 2
    assert "this run begins with run/model, which lies in the folder that it overwrites" in capfd.readouterr().err
    assert (run / "metrics_before.json").exists() and read_status(run)["state"] == "finished"
    assert launch(*again) == 0
    assert [name for name in (*left, "mine.txt") if (run / name).exists()] == ["mine.txt"]
    (tmp_path / "pairs.jsonl").write_text("{")
    assert launch(*again) == 2
    assert not (run / "model").exists() and not (run / "metrics.json").exists()  # config.yaml is of the failed run


@pytest.mark.parametrize("name", ["last.ckpt", "model", "jsonl-"])
def test_a_full_disk(
    launch: Launch,
    tmp_path: Path,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
    name: str,
) -> None:
    """The space ends at the fourth step's checkpoint, the model folder or the store."""
    replace, seen = os.replace, []

    def until_full(source: Path, target: Path) -> None:
        if Path(target).name.startswith(name):
            seen.append(target)
            if len(seen) > (name == "last.ckpt"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr("mixlingua.files.os.replace", until_full)
    assert launch("evaluation=[]", "hydra.run.dir=run") == 2
    monkeypatch.undo()
    error = next(line for line in capfd.readouterr().err.splitlines() if line.startswith("error: "))
    assert str(seen[-1]) in error and "the disk is full" in error and "Free some space" in error
    run = tmp_path / "run"
    assert read_status(run)["state"] == "failed" and not (run / "metrics.json").exists()
    assert not (run / "model").exists()
    assert not list(tmp_path.rglob("*.partial*"))
    if name == "last.ckpt":
        assert read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == 2


def save_to_a_full_device() -> None:
    """torch reports a full disk as an error of its own, with the system's as context."""
    if not Path("/dev/full").is_char_device():
        pytest.skip("no /dev/full here: a device that is always full")
    with open("/dev/full", "wb") as file:  # opened, never named to a writer, which might rename something over it
        torch.save({"a": torch.zeros(100_000)}, file)


def fail_as_safetensors() -> None:
    """What safetensors 0.8 raises on a file system that is full."""
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def save_a_file_that_is_too_large() -> None:
    """As on a file system whose files may have 4 GB, or after ulimit -f."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with tempfile.TemporaryFile() as file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            torch.save({"a": torch.zeros(100_000)}, file)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("write", [save_to_a_full_device, save_a_file_that_is_too_large, fail_as_safetensors])
def test_what_writers_in_other_languages_report_is_recognised(tmp_path: Path, write: Callable[[], None]) -> None:
    with (
        pytest.raises(StorageError, match=r"kept\.bin: cannot be written, the disk is full"),
        atomic_write(tmp_path / "kept.bin"),
    ):
        write()
    assert not list(tmp_path.iterdir())


def test_a_learning_rate_that_ruins_the_weights(refused: Callable[..., str]) -> None:
    message = refused("optimizer.lr=1e30")
    assert message.startswith("Step 1: the loss is nan at batch 1 (")
    assert "source jsonl, languages " in message and "Lower optimizer.lr" in message


OWN_LOSS = """
from mixlingua.losses.infonce import InfoNCE

class NanAtFive(InfoNCE):
    steps = 0

    def forward(self, step):
        self.steps += 1
        return super().forward(step) * (float("nan") if self.steps == 6 else 1)
"""


def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_nan_loss.py").write_text(OWN_LOSS)
    (tmp_path / "own" / "loss").mkdir(parents=True)
    (tmp_path / "own" / "loss" / "spoilt.yaml").write_text(
        "# @package loss\nspoilt:\n  _target_: own_nan_loss.NanAtFive\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    message = refused("sampler=crosslingual", "--config-dir=own", "loss=[spoilt]")
    assert message.startswith("Step 5: the loss is nan at batch 5 (crosslingual, source jsonl, languages ")
    assert "->" in message and "checkpoints/last.ckpt" in message
    assert read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == 4
