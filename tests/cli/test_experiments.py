"""The experiments that are sweeps: one command each, with a stub for the action."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mixlingua.cli.configuration import compose

Launch = Callable[..., int]


def swept(launch: Launch, *arguments: str, keys: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """The values of these keys in each job of the sweep."""
    seen: list[tuple[Any, ...]] = []

    def probe(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
        seen.append(tuple(OmegaConf.select(cfg, key) for key in keys))
        return {cfg.objective or "figure": 1 - abs(cfg.sampler.get("alpha", 0) - 0.5)}

    assert launch(*arguments, "action=probe", "hydra.sweep.dir=sweep", probe=probe) == 0
    return seen


def test_an_experiment_is_a_sweep_by_itself_and_the_command_line_replaces_its_values(launch: Launch) -> None:
    keys = ("sampler.alpha", "seed", "trainer.max_steps", "data.sources")
    jobs = swept(launch, "experiment=alpha_sweep", "seed=5", "data=atlas", keys=keys)
    assert [job[:3] for job in jobs] == [(alpha, 5, 120) for alpha in (0, 0.25, 0.5, 0.75, 1)]
    assert set(jobs[0][3]) == {"atlas"}


def test_encoders_may_be_folders(launch: Launch) -> None:
    given = ("-m", "experiment=model_scale", "model=folder", "model.name_or_path=a,b", "trainer=cpu")
    assert swept(launch, *given, keys=("model.name_or_path", "trainer.accelerator")) == [("a", "cpu"), ("b", "cpu")]


@pytest.mark.parametrize(
    ("experiment", "params"),
    [
        ("alpha_sweep", {"sampler.alpha": "0,0.25,0.5,0.75,1", "seed": "0,1,2"}),
        ("size_sweep", {"sampler": "monolingual,crosslingual,hybrid", "data.max_rows": "100,200,400,800,1600",
                        "seed": "0,1,2"}),
        ("model_scale", {"model": "e5_small,e5_base,e5_large"}),
    ],
)  # fmt: skip
def test_what_is_swept_and_that_each_value_composes(experiment: str, params: dict[str, str]) -> None:
    cfg = compose([f"experiment={experiment}"], with_hydra=True)
    assert cfg.hydra.mode == RunMode.MULTIRUN
    assert cfg.hydra.sweeper.params == params
    first = [f"{key}={values.split(',')[0]}" for key, values in params.items()]
    assert compose([f"experiment={experiment}", *first]).trainer.max_steps == 120


def test_tune_tries_values_and_names_the_best(launch: Launch, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    jobs = swept(launch, "-m", "experiment=tune", "hydra.sweeper.n_trials=3", keys=("sampler.alpha", "optimizer.lr"))
    assert len(set(jobs)) == 3
    assert all(0 <= alpha <= 1 and 1e-5 <= rate <= 2e-4 for alpha, rate in jobs)
    found = OmegaConf.load(tmp_path / "sweep" / "optimization_results.yaml")
    best = min(jobs, key=lambda job: abs(job[0] - 0.5))
    assert found.best_params["sampler.alpha"] == pytest.approx(best[0])
    assert found.best_value == pytest.approx(1 - abs(best[0] - 0.5))


def test_an_objective_is_a_figure_that_the_run_has(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    def probe(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
        return {"atlas/multilingual/map": 0.5}

    wrong = "objective=atlas/multilingual/mpa"
    assert launch("action=probe", wrong, probe=probe) == 2
    assert "this run has atlas/multilingual/map. Did you mean 'atlas/multilingual/map'?" in capsys.readouterr().err
