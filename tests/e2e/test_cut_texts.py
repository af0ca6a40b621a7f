"""A run says how many texts are longer than its model reads: before it trains, at its end, and in its files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest


def test_a_run_says_how_many_texts_are_cut(
    launch: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    limits = ["model.max_passage_length=20", "data.max_passage_length=16"]
    assert launch(*limits, "trainer.max_steps=2", "hydra.run.dir=run") == 0
    before, _, after = " ".join(capfd.readouterr().out.split()).partition("monolingual mAP")
    assert "sampled passages are longer than 16 tokens and are cut" in before
    trained, measured = "trained on jsonl: 60 of 60 sampled passages", "xquad_r: 2 of 24 passages"
    assert f"{trained} are longer than 16 tokens" in after and f"{measured} are longer than 20 tokens" in after
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert f"{trained} are longer than 16 tokens" in page and f"{measured} are longer than 20 tokens" in page
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))["provenance"]
    assert report["cut"]["jsonl"]["passage"]["limit"] == 16
    assert report["tasks"]["xquad_r"]["cut"]["passage"]["limit"] == 20
