"""What Optuna is asked to search, and a study that goes on; the action is a stub, so that trials cost nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import DictConfig

from mixlingua.cli.command_line import ACTIONS

pytest.importorskip("optuna")

GIVEN = {
    "hydra/sweeper": "optuna",
    "hydra.sweep.dir": "sweep",
    "hydra.sweeper.n_trials": "1",
    "action": "probe",
    "objective": "score",
    "sampler.alpha": "interval(0,1)",
}


@pytest.fixture
def search(launch: Callable[..., int]) -> Callable[..., int]:
    """A sweep of one trial in tmp_path/sweep, with further or other arguments; returns the exit status."""

    def probe(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
        return {"score": 0.5, "loss": 0.5}

    def run(*changed: str) -> int:
        given = GIVEN | dict(text.split("=", 1) for text in changed)
        return launch("-m", *(f"{key}={value}" for key, value in given.items()), probe=probe)

    return run


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("objective=loss", "objective was 'score', is 'loss'"),
        ("hydra.sweeper.direction=minimize", "hydra.sweeper.direction was 'maximize', is 'minimize'"),
        ("trainer.max_steps=7", "trainer.max_steps was 60, is 7"),
        ("data=ntrex", "data.sources.ntrex.path was None"),
        ("sampler.alpha=interval(0,0.5)", "sampler.alpha was 'FloatDistribution(high=1.0"),
        ("sampler.alpha=0.5", "sampler.alpha was 'FloatDistribution(high=1.0"),
        ("model=choice(tiny,minilm)", 'model was None, is "CategoricalDistribution'),
    ],
)
def test_a_study_goes_on_with_equal_settings_only(
    search: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: str, message: str
) -> None:
    assert search("trainer.max_steps=60") == 0
    assert search("trainer.max_steps=60", changed) == 2
    said = capsys.readouterr().err
    assert "hydra.sweep.dir=sweep: its study cannot be continued: " in said and message in said
    assert search("trainer.max_steps=60", "logger=[]", "sampler.alpha=interval(0.0,1.0)") == 0
    assert {folder.name for folder in (tmp_path / "sweep").iterdir() if folder.is_dir()} == {"0", "1"}


def test_whole_numbers_and_logarithms_are_searched_as_such(search: Callable[..., int], tmp_path: Path) -> None:
    from optuna import load_study
    from optuna.distributions import FloatDistribution, IntDistribution
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    words = {
        "data.batch_size": ("tag(log,range(8,1024))", IntDistribution(8, 1023, log=True)),
        "trainer.max_steps": ("int(interval(4,12))", IntDistribution(4, 12)),
        "data.max_rows": ("tag(int,log,interval(1,10))", IntDistribution(1, 10, log=True)),
        "checkpoint.patience": ("range(1,10,3)", IntDistribution(1, 7, step=3)),
        "+trainer.limit_val_batches": ("interval(0.5,1)", FloatDistribution(0.5, 1)),
        "optimizer.lr": ("tag(log,interval(1e-5,1e-3))", FloatDistribution(1e-5, 1e-3, log=True)),
    }
    assert search(*(f"{key}={text}" for key, (text, _) in words.items())) == 0
    study = load_study(
        study_name="study", storage=JournalStorage(JournalFileBackend(str(tmp_path / "sweep/study.log")))
    )
    found = study.trials[0].distributions
    assert {key: found[key] for key in words} == {key: expected for key, (_, expected) in words.items()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("range(10,1,-3)", "the step of a range is -3"),
        ("range(5,5)", "the range is empty"),
        ("tag(lg,interval(1,10))", "unknown tag lg; it takes int and log"),
        ("tag(log,choice(1,2))", "unknown tag log; it takes none"),
        ("tag(log,range(0.5,2.5,0.5))", "unknown tag log; it takes none"),
        ("tag(log,range(2,10,2))", "step"),
        ("tag(int,interval(0.5,3))", "needs whole ends"),
        ("interval(3,1)", "low <= high"),
        ("glob(*)", "interval, range and choice"),
    ],
)
def test_words_without_a_counterpart_are_refused(
    search: Callable[..., int], capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    assert search(f"hydra.sweeper.params={{data.max_rows:'{words}'}}") == 2
    said = capsys.readouterr().err
    assert f"data.max_rows={words}: " in said and message in said


def test_nothing_is_given_up_without_figures_in_between(
    search: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search("hydra.sweeper.prune=true") == 2
    assert "hydra.sweeper.prune=true: " in (said := capsys.readouterr().err) and "evaluation.every_n_steps=N" in said
    measured = ("hydra.sweeper.prune=true", "evaluation.every_n_steps=choice(10,20)")
    assert search(*measured, "action=evaluate") == 2
    assert "only action=train measures in between, not action=evaluate" in capsys.readouterr().err
    monkeypatch.setitem(ACTIONS, "train", replace(ACTIONS["train"], function="mixlingua_probe:run"))
    assert search(*measured, "action=train") == 0
