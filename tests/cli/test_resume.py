"""A resumed run needs no arguments of its own."""

from pathlib import Path

from mixlingua.cli.run_record import recorded, with_arguments_of_resumed


def stopped_run(folder: Path) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").touch()
    with recorded(folder, "train", ["experiment=samplers", "sampler=hybrid", "trainer.max_steps=4"]):
        pass
    return folder


def test_the_stopped_run_s_arguments_come_first_and_new_ones_replace_them(tmp_path):
    run = stopped_run(tmp_path / "run")
    for named in (run, run / "checkpoints" / "last.ckpt"):
        given = [f"resume={named}", "trainer.max_steps=8"]
        assert with_arguments_of_resumed(given) == ["experiment=samplers", "sampler=hybrid", *given]


def test_nothing_is_added_without_a_run_folder_or_in_a_sweep(tmp_path):
    run = stopped_run(tmp_path / "run")
    for given in (["sampler=hybrid"], ["resume=nowhere"], ["-m", f"resume={run}", "seed=0,1"], ["resume=null"]):
        assert with_arguments_of_resumed(given) == given


def test_a_group_that_is_none_now_loses_the_settings_that_it_had(tmp_path):
    with recorded(tmp_path, "train", ["postprocess=projection", "postprocess.dims=4", "trainer.max_steps=4"]):
        pass
    (tmp_path / "checkpoints").mkdir()
    given = [f"resume={tmp_path}", "postprocess=none"]
    assert with_arguments_of_resumed(given) == ["trainer.max_steps=4", *given]
