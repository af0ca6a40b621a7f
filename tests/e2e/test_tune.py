"""Optuna proposes the values of a sweep of real, small runs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mixlingua.reading import read_status

FIGURE = "xquad_r/multilingual/map"
SEARCH = ("-m", "hydra/sweeper=optuna", f"objective={FIGURE}", "hydra.sweep.dir=sweep", "evaluation.before=false")


def test_two_trials_the_better_one_and_a_third_later(launch: Callable[..., int], tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    given = (*SEARCH, "sampler.alpha=interval(0.0,1.0)", "trainer.max_steps=2")
    assert launch(*given, "hydra.sweeper.n_trials=2") == 0
    assert launch(*given, "hydra.sweeper.n_trials=1") == 0  # goes on with the study
    jobs = [tmp_path / "sweep" / job for job in "012"]
    scores = [read_status(job)["metrics"][FIGURE] for job in jobs]
    alphas = [OmegaConf.load(job / "config.yaml").sampler.alpha for job in jobs]
    found = OmegaConf.load(tmp_path / "sweep" / "optimization_results.yaml")
    assert len(set(alphas)) == 3
    assert found.best_value == max(scores)
    assert found.best_params["sampler.alpha"] == alphas[found.best_job] and scores[found.best_job] == max(scores)


def test_a_hopeless_trial_is_given_up(launch: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    """A rate of 0.5 ruins the model, which shows after two steps; this seed proposes it third, after two of 0.001."""
    pytest.importorskip("optuna")
    given = (
        "hydra.sweeper.prune=true",
        "hydra.sweeper.startup=1",
        "hydra.sweeper.n_trials=3",
        "hydra.sweeper.seed=4",
        "trainer.max_steps=6",
    )
    assert launch(*SEARCH, *given, "optimizer.lr=choice(1e-3,0.5)", "evaluation.every_n_steps=2") == 0
    jobs = [tmp_path / "sweep" / job for job in "012"]
    assert [float(OmegaConf.load(job / "config.yaml").optimizer.lr) for job in jobs] == [1e-3, 1e-3, 0.5]
    assert [read_status(job)["state"] for job in jobs] == ["finished", "finished", "pruned"]
    assert not (jobs[2] / "model").exists()
    assert "pruned" in capfd.readouterr().out


def test_what_cannot_be_searched_is_said(launch: Callable[..., int], capfd: pytest.CaptureFixture) -> None:
    pytest.importorskip("optuna")
    assert launch("-m", "hydra/sweeper=optuna", "sampler.alpha=interval(0,1)") == 2
    assert "objective: needs a value" in capfd.readouterr().err
    assert launch(*SEARCH, "hydra.sweeper.direction=up", "sampler.alpha=interval(0,1)") == 2
    assert "hydra.sweeper.direction=up: it is maximize or minimize" in capfd.readouterr().err
    both = ("hydra.sweeper.prune=true", "hydra.sweeper.n_jobs=2", "sampler.alpha=interval(0,1)")
    assert launch(*SEARCH, *both) == 2
    assert "hydra.sweeper.prune=true: only trials that run one after another" in capfd.readouterr().err
