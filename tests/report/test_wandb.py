"""The W&B logger offline: what a run leaves on disk, and which runs of one process are one."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import wandb

from mixlingua.errors import ConfigError
from mixlingua.evaluation.run_folder import read_results
from mixlingua.report.logged import log_outcome
from mixlingua.report.pairs import save_heatmap, save_share_heatmap
from mixlingua.report.run_page import write_run_page
from mixlingua.report.wandb import WandbRun


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb-data"))
    monkeypatch.setenv("WANDB_SILENT", "true")


def open_run(run_dir: Path, mode: str = "auto", **settings: Any) -> WandbRun:
    run_dir.mkdir(exist_ok=True)
    return WandbRun(run_dir, project="p", entity=None, name=None, group="sweep", tags=["t"], mode=mode, **settings)


def test_runs_without_a_key_are_kept_offline_and_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    ids = []
    for name in ("one", "two"):
        logger = open_run(tmp_path / name)
        logger.log_metrics({"atlas/crosslingual/map": 0.25}, step=3)
        assert dict(logger.experiment.summary)["atlas_crosslingual_map"] == 0.25
        assert logger.experiment.group == "sweep"
        ids.append(logger.experiment.id)
        logger.finish(exit_code=0)
        assert wandb.run is None
        (offline,) = (tmp_path / name / "wandb").glob("offline-run-*")
        assert list(offline.glob("*.wandb"))
    assert len(set(ids)) == 2
    assert "WANDB_MODE" not in os.environ
    assert "kept offline" in caplog.text


def test_what_a_run_folder_holds_is_logged(run_dir: Path, tmp_path: Path) -> None:
    rows = read_results(run_dir).rows
    save_heatmap(run_dir / "heatmap_atlas.png", "atlas", "map", None, rows)
    save_share_heatmap(run_dir / "languages_atlas.png", "atlas", {("de", "de"): 0.7, ("de", "ar"): 0.3})
    write_run_page(run_dir, [])
    (run_dir / "model").mkdir()
    (run_dir / "model" / "weights").write_bytes(b"\0" * 9)
    logger = open_run(run_dir, log_model=True)
    log_outcome([object(), logger], run_dir, rows, {"atlas": "map"})
    logger.finish(exit_code=0)

    assert json.loads((run_dir / "wandb" / "logged.json").read_text()) == {
        "scalars": [], "tables": ["atlas_map_by_pair", "worst_queries"],
        "images": ["atlas_languages", "atlas_map_by_pair_heatmap"], "pages": ["report"],
    }  # fmt: skip
    (media,) = (run_dir / "wandb").glob("offline-run-*/files/media")
    (pairs,) = map(json.loads, (each.read_text() for each in media.rglob("atlas_map_by_pair_*.table.json")))
    assert pairs["columns"] == ["query", "ar", "de", "vi"]
    assert pairs["data"][0] == ["ar", 0.5, 0.5, 0.5]
    (worst,) = map(json.loads, (each.read_text() for each in media.rglob("worst_queries_*.table.json")))
    (line,) = (dict(zip(worst["columns"], cells, strict=True)) for cells in worst["data"])
    assert (line["query"], line["relevant passage"], line["relevant rank"]) == ("ما هي عاصمة بيرو؟", "Peru", 7)
    assert len(list(media.rglob("*.png"))) == 2
    (page,) = media.rglob("*.html")
    assert page.read_text(encoding="utf-8") == (run_dir / "report.html").read_text(encoding="utf-8")
    staged = [path.read_bytes() for path in (tmp_path / "wandb-data").rglob("*") if path.is_file()]
    for file in ("report.html", "metrics.json", "model/weights"):
        assert (run_dir / file).read_bytes() in staged, f"{file} is in no artifact"


def test_a_run_left_open_is_not_continued_and_one_that_is_resumed_is(tmp_path: Path) -> None:
    first = open_run(tmp_path / "one", mode="offline")
    first.log_hyperparams({"seed": 0})
    wandb_id = first.experiment.id
    assert json.loads((tmp_path / "one" / "wandb" / "run.json").read_text()) == {"id": wandb_id, "project": "p"}
    second = open_run(tmp_path / "two", mode="offline")
    assert second.experiment.id != wandb_id
    second.finish(exit_code=1)
    third = open_run(tmp_path / "one", mode="offline", id=wandb_id)
    assert third.experiment.id == wandb_id
    third.finish(exit_code=0)


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"logger.wandb.mode=on: it is one of auto, online, offline, disabled"):
        open_run(tmp_path / "one", mode="on")
