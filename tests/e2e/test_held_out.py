"""Choosing settings by held-out rows: measured after training, and again on the saved model."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Launch = Callable[..., int]
BOTH = "evaluation=[xquad_r,held_out]"
HELD_OUT = (BOTH, "data.validation_fraction=0.3", "evaluation.tasks.held_out.languages=[de,en,fr]")


def test_trained_and_measured_on_what_was_held_out(launch: Launch, tmp_path: Path) -> None:
    assert launch(*HELD_OUT, "hydra.run.dir=run") == 0
    run = tmp_path / "run"
    found = json.loads((run / "metrics.json").read_text())
    assert {key.split("/")[1] for key in found if key.startswith("held_out/")} >= {"monolingual", "crosslingual"}
    source = ["data=jsonl", f"data.sources.jsonl.path={tmp_path / 'pairs.jsonl'}"]
    saved = [*source, "model=folder", f"model.name_or_path={run / 'model'}", "hydra.run.dir=again"]
    assert launch("action=evaluate", *HELD_OUT, *saved) == 0
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert again == pytest.approx({key: found[key] for key in again}, abs=1e-6)


def test_without_a_fraction_it_says_what_to_set(launch: Launch, capfd: pytest.CaptureFixture) -> None:
    assert launch(BOTH) == 2
    assert "data.validation_fraction=0.0 holds nothing out. Set it" in capfd.readouterr().err
