"""trainer.precision=auto: the run's files and its output say which precision the machine took."""

from collections.abc import Callable
from pathlib import Path

import torch
from omegaconf import OmegaConf

from mixlingua.evaluation.run_folder import read_results
from mixlingua.training.checkpoints import read_checkpoint
from mixlingua.training.trainer import native_precision


def test_auto_is_recorded_as_what_was_taken_and_trains_as_that(launch: Callable[..., int], tmp_path: Path) -> None:
    taken = native_precision("cpu")
    options = ["evaluation=[]", "trainer.max_steps=2"]
    assert launch(*options, "trainer.precision=auto", "hydra.run.dir=auto") == 0
    assert launch(*options, f"trainer.precision={taken}", "hydra.run.dir=named") == 0
    cfg = OmegaConf.load(tmp_path / "auto" / "config.yaml")
    assert cfg.trainer.precision == cfg.evaluation.precision == taken
    assert f"trainer.precision=auto: this machine takes {taken}" in (tmp_path / "auto" / "run.log").read_text()
    auto, named = (read_checkpoint(tmp_path / run / "checkpoints" / "last.ckpt") for run in ("auto", "named"))
    assert all(torch.equal(auto["state_dict"][name], tensor) for name, tensor in named["state_dict"].items())


def test_a_report_names_the_precision_of_its_figures(launch: Callable[..., int], tmp_path: Path) -> None:
    options = ["evaluation.precision=bf16-mixed"]
    assert launch("action=evaluate", *options, "hydra.run.dir=run") == 0
    assert read_results(tmp_path / "run").provenance["precision"] == "bf16-mixed"
