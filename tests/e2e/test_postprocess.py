"""A layer fitted after training, or to a model as it is: what is measured is what is saved; training is as without."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.runs import metrics, provenance, same, trained

from mixlingua.cli.run_record import read_status

Launch = Callable[..., int]
ROWS = "postprocess.rows_per_language=25"
PROJECTION = ("postprocess=projection", ROWS)


def test_trained_resumed_and_read_back(launch: Launch, tmp_path: Path) -> None:
    options = ["optimizer.schedule=constant", "evaluation.every_n_steps=7"]
    assert launch(*options, "hydra.run.dir=plain") == 0
    assert launch(*options, *PROJECTION, "hydra.run.dir=whole") == 0
    plain, whole = tmp_path / "plain", tmp_path / "whole"
    assert same(trained(plain), trained(whole)), "training knows nothing of the layer"
    assert metrics(whole) != metrics(plain)
    before = [json.loads((run / "metrics_before.json").read_text()) for run in (plain, whole)]
    assert before[0] == before[1]
    weight = load_file(whole / "model" / "2_Dense" / "model.safetensors")["linear.weight"]
    torch.testing.assert_close(weight @ weight, weight, rtol=0, atol=1e-5)
    assert round(float(weight.trace())) == 32 - 2  # three languages
    assert not (plain / "model" / "2_Dense").exists()
    assert provenance(plain)["postprocess"] is None
    assert provenance(whole)["postprocess"] == {
        "_target_": "mixlingua.retrieval.postprocess.Projection", "dims": None, "languages": ["de", "en", "fr"],
        "rows_per_language": 25, "data": ["jsonl"],
    }  # fmt: skip

    assert launch(*options, *PROJECTION, "hydra.run.dir=first", "trainer.max_steps=4") == 0
    assert launch(*options, *PROJECTION, "hydra.run.dir=second", "resume=first") == 0
    assert metrics(tmp_path / "second") == metrics(whole)
    assert same(load_file(tmp_path / "second" / "model" / "2_Dense" / "model.safetensors"), {"linear.weight": weight})

    as_saved = ["action=evaluate", "model=folder", f"model.name_or_path={whole / 'model'}"]
    assert launch(*as_saved, "hydra.run.dir=again") == 0
    assert metrics(tmp_path / "again") == pytest.approx(metrics(whole), abs=1e-6)
    assert not (tmp_path / "again" / "model").exists()  # nothing new to save


def test_a_model_as_it_is(launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    options = ["action=evaluate", "hydra.sweep.dir=sweep", ROWS]
    assert launch("action=evaluate", "hydra.run.dir=sweep/0") == 0
    assert launch(*options, "postprocess=centring", "hydra.run.dir=sweep/1") == 0
    assert launch(*options, "postprocess=projection", "hydra.run.dir=sweep/2", "checkpoint.save_model=false") == 0
    runs = [tmp_path / "sweep" / str(job) for job in range(3)]
    assert [(run / "model").exists() for run in runs] == [False, True, False]
    assert len({provenance(run)["weights"] for run in runs}) == 3
    assert len({json.dumps(metrics(run)) for run in runs}) == 3

    saved = f"model.name_or_path={runs[1] / 'model'}"
    assert launch("action=evaluate", "model=folder", saved, "hydra.run.dir=again") == 0
    assert metrics(tmp_path / "again") == pytest.approx(metrics(runs[1]), abs=1e-6)

    capfd.readouterr()
    assert launch("action=compare", f"runs={tmp_path / 'sweep'}", "hydra.run.dir=compared") == 0
    assert "postprocess=centring" in " ".join(capfd.readouterr().out.split())


def test_too_little_text_is_said_before_training(launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    assert launch(*PROJECTION, "postprocess.rows_per_language=61", "hydra.run.dir=run") == 2
    message = capfd.readouterr().err.splitlines()[-1]
    assert "postprocess.rows_per_language=61: jsonl has fewer rows in de (60), en (60), fr (60)" in message
    assert read_status(tmp_path / "run")["state"] == "failed"
    assert not (tmp_path / "run" / "checkpoints").exists() and not (tmp_path / "run" / "metrics_before.json").exists()


def test_none_leaves_out_what_an_experiment_chose(launch: Launch, tmp_path: Path) -> None:
    experiment = tmp_path / "own" / "experiment" / "mine.yaml"
    experiment.parent.mkdir(parents=True)
    experiment.write_text(
        "# @package _global_\ndefaults:\n  - override /postprocess: projection\npostprocess:\n  rows_per_language: 25\n"
    )
    mine = (f"--config-dir={tmp_path / 'own'}", "experiment=mine", "action=evaluate", "checkpoint.save_model=false")
    assert launch(*mine, "hydra.run.dir=with") == 0
    assert launch(*mine, "postprocess=none", "hydra.run.dir=without") == 0
    assert launch("action=evaluate", "hydra.run.dir=plain") == 0
    assert metrics(tmp_path / "without") == metrics(tmp_path / "plain") != metrics(tmp_path / "with")
    assert launch(*mine, "postprocess=none", "postprocess.rows_per_language=5", "hydra.run.dir=both") == 2
