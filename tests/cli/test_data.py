"""From the data configuration to stores: the limit of rows."""

from pathlib import Path

import pytest

from mixlingua.cli.configuration import compose
from mixlingua.cli.train import make_plans, open_stores
from mixlingua.data.store import SIDES, ParallelStore


@pytest.fixture(autouse=True)
def cache(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXLINGUA_CACHE", str(session_cache))


def stores(*overrides: str) -> tuple[list[ParallelStore], list[ParallelStore]]:
    return open_stores(compose(["data.validation_fraction=0.2", *overrides]))


def ids(store: ParallelStore) -> set[str]:
    return set(store.ids(range(store.num_rows)))


def test_max_rows_takes_nested_subsets_of_the_training_rows() -> None:
    ((whole,), (held_out,)) = stores()
    ((some,), (held_out_too,)) = stores("data.max_rows=100")
    ((more,), _) = stores("data.max_rows=200")
    ((other,), _) = stores("data.max_rows=100", "seed=1")
    assert (some.num_rows, more.num_rows) == (100, 200)
    assert ids(some) < ids(more) < ids(whole)
    assert ids(other) != ids(some)
    assert held_out_too.fingerprint == held_out.fingerprint


def test_a_limit_above_the_source_is_said(caplog: pytest.LogCaptureFixture) -> None:
    ((whole,), _) = stores()
    ((same,), _) = stores("data.max_rows=1000000")
    assert same.fingerprint == whole.fingerprint
    assert f"atlas has {whole.num_rows:d} rows, and all are used" in caplog.text


def test_batches_come_from_the_subset_alone() -> None:
    cfg = compose(["data.max_rows=150", "sampler=crosslingual", "data.batch_size=16"])
    plan, validation_plan = make_plans(cfg, *open_stores(cfg))
    assert validation_plan is None
    drawn = {row for step in range(60) for row in plan.batch(step).rows.tolist()}
    assert drawn == set(range(150))


def test_a_schedule_knows_the_steps_of_the_training_and_validation_is_monolingual() -> None:
    steps = ["trainer.max_steps=60", "trainer.accumulate_grad_batches=2"]
    cfg = compose(["data.validation_fraction=0.2", "sampler=scheduled", *steps])
    plan, validation_plan = make_plans(cfg, *open_stores(cfg))
    assert (plan.strategy.max_steps, plan.strategy.batches_per_step) == (60, 2)
    assert validation_plan is not None
    assert {validation_plan.batch(step).kind for step in range(8)} == {"monolingual"}


def test_rows_to_validate_with_are_kept_apart_from_the_training_rows() -> None:
    """Rows that data.max_rows leaves out of training may be validated with, unless a text of theirs is trained on."""
    cfg = compose(["data.max_rows=100"])
    cfg.data.validation_sources = {"atlas": cfg.data.sources.atlas}
    (training,), (validation,) = open_stores(cfg)
    assert training.num_rows == 100 and validation.num_rows > 0
    for side in SIDES:
        for language in training.languages:
            assert not {*training.text_keys(side, language)[0]} & {*validation.text_keys(side, language)[0]}
