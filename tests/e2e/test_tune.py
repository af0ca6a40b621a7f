"""Hydra's Optuna sweeper on real, small runs."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mixlingua.cli.run_record import read_status


@pytest.mark.skipif(find_spec("optuna") is None, reason="pip install hydra-optuna-sweeper==1.3.0")
def test_two_trials_and_the_better_one(launch: Callable[..., int], tmp_path: Path) -> None:
    """Alpha is chosen between two values; the best trial is the one with the larger mAP."""
    figure = "xquad_r/multilingual/map"
    sweeper = ("hydra/sweeper=optuna", "hydra.sweeper.direction=maximize", "hydra.sweeper.n_trials=2",
               "hydra.sweeper.n_jobs=1", "hydra.sweeper.sampler.seed=0")  # fmt: skip
    given = (f"objective={figure}", "sampler.alpha=interval(0.0,1.0)", "trainer.max_steps=2", "hydra.sweep.dir=sweep")
    assert launch("-m", *sweeper, *given) == 0
    jobs = [tmp_path / "sweep" / job for job in "01"]
    scores = [read_status(job)["metrics"][figure] for job in jobs]
    alphas = [OmegaConf.load(job / "config.yaml").sampler.alpha for job in jobs]
    found = OmegaConf.load(tmp_path / "sweep" / "optimization_results.yaml")
    assert found.best_value == max(scores)
    assert found.best_params["sampler.alpha"] in [a for a, s in zip(alphas, scores, strict=True) if s == max(scores)]
    assert alphas[0] != alphas[1]
