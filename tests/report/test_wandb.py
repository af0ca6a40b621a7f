"""The W&B logger offline: what a run leaves on disk, and that two runs of one process stay apart."""

import os
from pathlib import Path

import pytest
import wandb

from mixlingua.errors import ConfigError
from mixlingua.evaluation.results import ResultRow
from mixlingua.report.pairs import log_pairs, save_heatmap
from mixlingua.report.wandb import WandbRun


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    monkeypatch.setenv("WANDB_SILENT", "true")


def open_run(run_dir: Path, mode: str = "auto") -> WandbRun:
    run_dir.mkdir()
    return WandbRun(run_dir, project="p", entity=None, name=None, group="sweep", tags=["t"], mode=mode)


@pytest.mark.usefixtures("no_key")
def test_runs_without_a_key_are_kept_offline_whole_and_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    rows = [
        ResultRow("atlas", "monolingual" if q == p else "crosslingual", q, p, "map", 0.5, 3) for q in "xy" for p in "xy"
    ]
    save_heatmap(tmp_path / "heatmap.png", "atlas", "map", None, rows)
    ids = []
    for name in ("one", "two"):
        logger = open_run(tmp_path / name)
        logger.log_metrics({"atlas/crosslingual/map": 0.25}, step=3)
        log_pairs([logger], rows, {"atlas": "map"}, {"atlas": tmp_path / "heatmap.png"})
        assert dict(logger.experiment.summary)["atlas_crosslingual_map"] == 0.25
        assert logger.experiment.group == "sweep"
        ids.append(logger.experiment.id)
        logger.finish(exit_code=0)
        assert wandb.run is None
        (offline,) = (tmp_path / name / "wandb").glob("offline-run-*")
        assert list(offline.glob("*.wandb"))
        assert list(offline.rglob("atlas_map_by_pair*.table.json"))
        assert list(offline.rglob("*.png"))
    assert len(set(ids)) == 2
    assert "WANDB_MODE" not in os.environ
    assert "kept offline" in caplog.text


@pytest.mark.usefixtures("no_key")
def test_a_run_left_open_is_not_continued(tmp_path: Path) -> None:
    first = open_run(tmp_path / "one", mode="offline").experiment.id
    second = open_run(tmp_path / "two", mode="offline")
    assert second.experiment.id != first
    second.finish(exit_code=1)


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"logger.wandb.mode is 'on'.*auto, online, offline, disabled"):
        open_run(tmp_path / "one", mode="on")
