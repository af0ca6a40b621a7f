"""A run that pools two layers and measures joined passages as well: its files, and the saved model measured again."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.runs import metrics

Launch = Callable[..., int]
JOINED = "evaluation=xquad_r_joined"


def test_trained_measured_and_measured_again(launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    options = ["model.layer_weights=[0.3,0.7]", "model.pretraining=a dictionary", "hydra.run.dir=run"]
    assert launch(JOINED, *options) == 0
    run = tmp_path / "run"
    assert "xquad_r_joined" in capfd.readouterr().out
    found = metrics(run)
    for setting in ("monolingual", "crosslingual", "multilingual"):
        assert found[f"xquad_r_joined/{setting}/map"] != found[f"xquad_r/{setting}/map"]
    assert metrics(run, "metrics_before").keys() == found.keys()
    about = json.loads((run / "report.json").read_text())["provenance"]["tasks"]
    assert "joining=None" in about["xquad_r"]["passage_transforms"]
    assert "joining=Joining(temperature=0.05)" in about["xquad_r_joined"]["passage_transforms"]
    pictures = {path.name for path in run.glob("*.png")}
    assert pictures == {
        f"{kind}_{task}.png" for kind in ("heatmap", "languages") for task in ("xquad_r", "xquad_r_joined")
    }

    saved = ["model=folder", f"model.name_or_path={run / 'model'}", "hydra.run.dir=again"]
    assert launch("action=evaluate", JOINED, *saved) == 0
    assert metrics(tmp_path / "again") == pytest.approx(found, abs=1e-6)
    assert "Pretrained weights: a dictionary." in capfd.readouterr().out, "the folder says so too"


def test_every_transform_of_a_benchmark(launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    fewer = "evaluation.tasks.xquad_r_hub_corrected.hub_correction.neighbours"
    options = ["action=evaluate", "evaluation=xquad_r_transforms", f"{fewer}=5", "hydra.run.dir=run"]
    assert launch(*options) == 0
    warning = "differ from the published files"
    assert capfd.readouterr().err.count(warning) == (tmp_path / "run" / "run.log").read_text().count(warning) == 1
    found = metrics(tmp_path / "run")
    for setting in ("monolingual", "crosslingual", "multilingual"):
        corrected = found[f"xquad_r_hub_corrected/{setting}/map"]
        assert found[f"xquad_r_context_hub_corrected/{setting}/map"] == pytest.approx(corrected), (
            "each paragraph is one sentence"
        )
    for suffix in ("hub_corrected", "context_joined_hub_corrected"):
        assert found[f"xquad_r_{suffix}/multilingual/map"] != found["xquad_r/multilingual/map"]
    about = json.loads((tmp_path / "run" / "report.json").read_text())["provenance"]["tasks"]
    assert (
        "hub_correction=HubCorrection(weight=0.4, neighbours=5)" in about["xquad_r_hub_corrected"]["passage_transforms"]
    )

    capfd.readouterr()
    assert launch(*options[:2], "hydra.run.dir=small") == 2
    said = capfd.readouterr().err
    assert (
        "task xquad_r_hub_corrected: hub_correction.neighbours=50: needs more than 50 passages in each language" in said
    )
    assert "too few are in de (12), en (12). Set it to 11" in said
