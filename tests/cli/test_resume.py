"""A resumed run needs no arguments of its own."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from mixlingua.cli.launch import with_arguments_of_resumed
from mixlingua.cli.names import check_command_line
from mixlingua.cli.run_record import recorded
from mixlingua.errors import ConfigError, DataError

STOPPED = ("experiment=samplers", "sampler=hybrid", "trainer.max_steps=4")


def stopped_run(folder: Path, overrides: Sequence[str] = STOPPED) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").touch()
    with recorded(folder, "train", list(overrides)):
        pass
    return folder


def test_the_stopped_run_s_arguments_come_first_and_new_ones_replace_them(tmp_path):
    run = stopped_run(tmp_path / "run")
    for named in (run, run / "checkpoints" / "last.ckpt"):
        given = [f"resume={named}", "trainer.max_steps=8"]
        assert with_arguments_of_resumed(given) == ["experiment=samplers", "sampler=hybrid", "hydra.mode=RUN", *given]


def test_nothing_is_added_without_a_run_folder_or_in_a_sweep(tmp_path):
    run = stopped_run(tmp_path / "run")
    for given in (["sampler=hybrid"], ["resume=nowhere"], ["-m", f"resume={run}", "seed=0,1"], ["resume=null"]):
        assert with_arguments_of_resumed(given) == given


def test_a_group_that_is_none_now_loses_the_settings_that_it_had(tmp_path):
    with recorded(tmp_path, "train", ["postprocess=projection", "postprocess.dims=4", "trainer.max_steps=4"]):
        pass
    (tmp_path / "checkpoints").mkdir()
    given = [f"resume={tmp_path}", "postprocess=none"]
    assert with_arguments_of_resumed(given) == ["trainer.max_steps=4", "hydra.mode=RUN", *given]


def test_another_model_now_leaves_the_recorded_teacher(tmp_path: Path) -> None:
    run = stopped_run(tmp_path / "run", ["model=e5_small", "model@teacher=labse"])
    given = [f"resume={run}", "model=folder"]
    assert with_arguments_of_resumed(given) == ["model@teacher=labse", "hydra.mode=RUN", *given]
    given = [f"resume={run}", "model@teacher=folder"]
    assert with_arguments_of_resumed(given) == ["model=e5_small", "hydra.mode=RUN", *given]


def test_a_job_of_an_experiment_that_sweeps_is_resumed_alone(tmp_path: Path) -> None:
    job = ["experiment=alpha_sweep", "sampler.alpha=0.25", "seed=1"]
    run = stopped_run(tmp_path / "0", job)
    assert check_command_line(job)
    assert not check_command_line(with_arguments_of_resumed([f"resume={run}", f"hydra.run.dir={run}"]))
    assert with_arguments_of_resumed(["-m", f"resume={run}"]) == ["-m", f"resume={run}"]


@pytest.mark.parametrize("quoted", ["'{}'", '"{}"', "{}"])
def test_quotes_change_nothing(tmp_path: Path, quoted: str) -> None:
    run = stopped_run(tmp_path / ("a, b=1" if quoted != "{}" else "ab"))
    given = [f"resume={quoted.format(run)}"]
    taken_over = ["experiment=samplers", "sampler=hybrid", "trainer.max_steps=4", "hydra.mode=RUN"]
    assert with_arguments_of_resumed(given) == [*taken_over, *given]


@pytest.mark.parametrize(
    "content", [None, "[]", "{", "3", '{"state": 1}', '{"state": "failed", "action": "train", "overrides": "seed=1"}']
)
def test_a_folder_without_a_readable_status_is_an_error(tmp_path: Path, content: str | None) -> None:
    run = stopped_run(tmp_path / "run")
    (run / "status.json").unlink()
    if content is not None:
        (run / "status.json").write_text(content)
    with pytest.raises((ConfigError, DataError), match=r"status\.json"):
        with_arguments_of_resumed([f"resume={run}"])


def test_a_key_that_refers_to_another_is_taken_as_it_was_typed(tmp_path: Path) -> None:
    run = stopped_run(tmp_path / "run")
    status = json.loads((run / "status.json").read_text())
    recorded = ["data.sources.atlas.name=${seed}"]
    (run / "status.json").write_text(json.dumps({**status, "overrides": recorded}))
    assert with_arguments_of_resumed([f"resume={run}"]) == [*recorded, "hydra.mode=RUN", f"resume={run}"]


@pytest.mark.parametrize(
    "recorded_argument",
    [
        "--config-dir=evil",
        "-cd",
        "hydra.run.dir=elsewhere",
        "hydra/launcher=joblib",
        "hydra.callbacks.x._target_=os.system",
        "+callbacks.x._target_=os.system",
        "++seed=1",
        "loss.infonce._target_=os.system",
        "loss={x:{_target_:os.system}}",
        "model.name_or_path=${oc.env:SECRET}",
        "loss.infonce='${oc.decode:\"{\\\\x5ftarget_: os.system}\"}'",
        "not an override",
    ],
)
def test_only_plain_overrides_are_taken_from_a_folder(tmp_path: Path, recorded_argument: str) -> None:
    run = stopped_run(tmp_path / "run")
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "overrides": ["seed=1", recorded_argument]}))
    with pytest.raises(ConfigError, match=r"status\.json: overrides has"):
        with_arguments_of_resumed([f"resume={run}"])
