"""From the data configuration to stores: the limit of rows, and what errors of readers name."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from mixlingua.cli.check import problems
from mixlingua.cli.command_line import ACTIONS
from mixlingua.cli.configuration import complete, compose
from mixlingua.cli.sources import open_stores, open_tasks
from mixlingua.cli.train import make_plans
from mixlingua.data.store import SIDES, ParallelStore
from mixlingua.errors import ConfigError, user_error


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


PLACES = {
    "data.sources.mine": open_stores,
    "data.validation_sources.mine": open_stores,
    "evaluation.tasks.mine.source": open_tasks,
}


def with_reader(key: str, path: Path, **options: str) -> DictConfig:
    """A configuration with a reader of parallel text at `key`, which is not the reader's name."""
    reader = {"_target_": "mixlingua.data.readers.parallel.ParallelReader", "path": str(path), **options}
    benchmark = {"_target_": "mixlingua.evaluation.benchmarks.translations.parallel_sentences", "source": reader}
    chosen = complete(benchmark if key.endswith(".source") else reader)
    cfg = compose(["evaluation=[]"])
    OmegaConf.update(cfg, key.removesuffix(".source"), chosen, force_add=True)
    return cfg


@pytest.mark.parametrize("key", PLACES)
def test_an_error_of_a_reader_names_the_key_where_it_stands(key: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a", "fold": "train", "texts": {"de": "Ja.", "en": "Yes."}}\n')
    with pytest.raises(Exception, match="fold") as raised:
        PLACES[key](with_reader(key, path, fold="trian"))
    assert str(user_error(raised.value)).startswith(
        f"{key}.fold is 'trian', and the rows are of train. Did you mean 'train'?"
    )


@pytest.mark.parametrize("key", PLACES)
def test_a_refused_value_of_a_reader_is_told_by_its_key_before_data_are_read(key: str, tmp_path: Path) -> None:
    (told,) = problems(with_reader(key, tmp_path / "missing", pairing="sam"), ACTIONS["train"])
    assert told == f"{key}.pairing=sam: it is one of same, next. Did you mean 'same'?"


def with_benchmarks(*names: str) -> DictConfig:
    """A configuration with a choice that is all but the last of these benchmarks, and one that is the last."""
    *first, last = ({"_target_": "types.SimpleNamespace", "name": name, "main_metric": "map"} for name in names)
    several = {"_target_": "builtins.list", "_args_": [first]}
    return OmegaConf.create({"evaluation": {"tasks": {"several": several, "one": last}}})


def test_a_choice_that_is_several_benchmarks_gives_all_of_them() -> None:
    assert [task.name for task in open_tasks(with_benchmarks("first", "second", "third"))] == [
        "first", "second", "third",
    ]  # fmt: skip


def test_benchmarks_of_one_name_are_refused_when_they_are_opened() -> None:
    with pytest.raises(ConfigError, match=r"More than one task is named 'first', .*evaluation\.tasks\.KEY\.name=NAME"):
        open_tasks(with_benchmarks("first", "second", "first"))
