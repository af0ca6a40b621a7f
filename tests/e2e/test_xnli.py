"""A benchmark that is no retrieval beside one that is, before and after training."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mixlingua.cli.run_record import read_status

LABELS = ("entailment", "neutral", "contradiction")
COLUMNS = ("language", "gold_label", "sentence1", "sentence2", "pairID")


def test_xnli_beside_xquad_r(launch: Callable[..., int], data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "xnli").mkdir()
    for name, first, count in (("dev", 0, 90), ("test", 90, 30)):
        lines = ["\t".join(COLUMNS)]
        for number in range(first, first + count):
            for language in ("en", "sw"):
                premise, hypothesis = f"{language} {number // 3} and more", f"{language} {number % 3} {number // 3}"
                lines.append("\t".join((language, LABELS[number % 3], premise, hypothesis, str(number))))
        (data / "xnli" / f"xnli.{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    languages = "evaluation.tasks.xnli.languages=[en,sw]"
    assert launch("evaluation=[xquad_r,xnli]", languages, "trainer.max_steps=2", "hydra.run.dir=run") == 0
    shown = capsys.readouterr().out
    assert "accuracy, low-resource" in shown and "30 sentence pairs" not in shown
    for name in ("metrics_before.json", "metrics.json"):
        metrics = json.loads((data / "run" / name).read_text())
        assert {key for key in metrics if key.startswith("xnli/")} == {
            f"xnli/monolingual/{metric}"
            for metric in ("accuracy", "macro_f1", "accuracy_low_resource", "macro_f1_low_resource")
        }
    report = json.loads((data / "run" / "report.json").read_text())
    assert report["provenance"]["tasks"]["xnli"]["revision"].endswith("probe 1 on 90 pairs of xnli.dev.tsv")
    assert "xnli/monolingual/accuracy" in read_status(data / "run")["metrics"]
    assert (data / "run" / "heatmap_xquad_r.png").exists()
    assert (data / "run" / "heatmap_xnli.png").exists()
