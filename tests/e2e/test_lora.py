"""A run that trains an adapter: what it announces and leaves behind, and that it resumes exactly."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.runs import metrics, weights

Launch = Callable[..., int]
QUERY = "encoder.layer.1.attention.self.query"


def test_trained_resumed_and_read_back(launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["adapter=lora", "adapter.rank=4", "adapter.alpha=8", "loss=[infonce,distillation]", "data.pivot=en"]
    options += ["optimizer.schedule=constant", "optimizer.lr=1e-2", "averaging.start_share=0.25"]
    assert launch(*options, "evaluation.every_n_steps=4", "hydra.run.dir=whole") == 0
    plan = " ".join(capfd.readouterr().out.split())
    assert "adapter lora (rank 4, alpha 8, dropout 0.0, targets None, train_dense False)" in plan
    assert "0.00102M trained" in plan  # 2 layers, 2 targets, 2 matrices of 4 by 32
    whole = weights(tmp_path / "whole")

    base = whole[f"encoder.transformer.{QUERY}.base_layer.weight"]
    a, b = (whole[f"encoder.transformer.{QUERY}.lora_{side}.default.weight"] for side in "AB")
    saved = whole[f"model/{QUERY}.weight"]
    torch.testing.assert_close(saved, base + (1 - 0.25) * 8 / 4 * b @ a)
    assert (saved - base).abs().max() > 1e-3
    kept = json.loads((tmp_path / "whole" / "adapter" / "adapter_config.json").read_text())
    assert (kept["r"], kept["lora_alpha"]) == (4, 0.75 * 8)
    provenance = json.loads((tmp_path / "whole" / "report.json").read_text())["provenance"]
    assert provenance["adapter"] == {
        "_target_": "mixlingua.model.lora.LoRA", "rank": 4, "alpha": 8, "dropout": 0.0, "targets": None,
        "train_dense": False,
    }  # fmt: skip

    assert launch(*options, "trainer.max_steps=4", "hydra.run.dir=first") == 0
    assert launch(*options, "hydra.run.dir=second", "resume=first") == 0
    second = weights(tmp_path / "second")
    assert second.keys() == whole.keys() and all(torch.equal(second[name], whole[name]) for name in whole)
    assert metrics(tmp_path / "second") == metrics(tmp_path / "whole")
    capfd.readouterr()
    assert launch(*options, "adapter.rank=2", "hydra.run.dir=third", "resume=first") == 2
    message = " ".join(capfd.readouterr().err.split())
    assert "lora_A.default.weight is (4, 32) there and (2, 32) here. Resume with the run's own" in message

    folder = ["model=folder", f"model.name_or_path={tmp_path / 'whole' / 'model'}"]
    assert launch("action=evaluate", *folder, "hydra.run.dir=read") == 0
    assert metrics(tmp_path / "read") == pytest.approx(metrics(tmp_path / "whole"))
    before = metrics(tmp_path / "whole", "metrics_before")
    assert before != metrics(tmp_path / "whole")
