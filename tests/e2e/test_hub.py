"""A recipe of the hub from its first byte to a folder that sentence-transformers reads, on a hub of our own."""

import pytest

from mixlingua.model.pretrained import PretrainedEncoder


@pytest.fixture
def hub(hub_of, labse):
    return hub_of(labse)


def test_a_recipe_of_the_hub_is_fetched_trained_evaluated_and_saved(hub, start, assert_same_vectors, tmp_path):
    process = start("model=labse", "trainer.max_steps=1", "checkpoint.every_n_steps=1", f"hydra.run.dir={tmp_path}/run")
    output = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert any("sentence-transformers/LaBSE" in path for path in hub.seen)
    assert "HTTP Request" not in (tmp_path / "run" / "run.log").read_text(encoding="utf-8")
    assert (tmp_path / "run" / "metrics.json").is_file()
    encoder = PretrainedEncoder(str(tmp_path / "run" / "model")).load(seed=0).eval()
    assert [type(layer).__name__ for layer in encoder.dense] == ["Dense"]
    assert_same_vectors(encoder, tmp_path / "run" / "model")


def test_a_hub_that_refuses_is_one_line_and_exit_status_2(hub, start):
    hub.api_fault = (403, "GatedRepo")
    process = start("model=labse")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "is gated" in errors and "HF_TOKEN" in errors and "Traceback" not in errors


LOSS = """
import torch

class Mine(torch.nn.Module):
    def __init__(self, weight: float = 1.0):
        super().__init__()
        self.weight = weight

    def forward(self, step):
        return (step.queries - step.passages).square().sum()
"""


def test_a_module_of_ones_own_as_loss_is_refused_by_name_and_works_when_derived(start, tmp_path):
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "mine.yaml").write_text("# @package loss\nmine:\n  _target_: own_loss.Mine\n")
    for base, status in (("torch.nn.Module", 2), ("mixlingua.losses.base.StepLoss", 0)):
        code = LOSS.replace("torch.nn.Module", base).replace("import torch", "import torch, mixlingua.losses.base")
        if status == 0:
            code = code.replace("super().__init__()", "super().__init__(weight)")
        (tmp_path / "own_loss.py").write_text(code)
        process = start(f"--config-dir={tmp_path / 'conf'}", "loss=mine", "trainer.max_steps=1", "evaluation=[]")
        _, errors = process.communicate(timeout=200)
        assert process.returncode == status, errors
        assert ("own_loss.Mine is no loss of a step" in errors) == (status == 2)
        assert "Traceback" not in errors
