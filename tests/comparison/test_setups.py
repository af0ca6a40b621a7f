"""Which runs are replicates, what a set-up is called, and what it is tested against."""

import json
from pathlib import Path

import pytest
import yaml

from mixlingua.cli.command_line import ACTIONS
from mixlingua.comparison.runs import FinishedRun, find_runs
from mixlingua.comparison.setups import Setup, baselines, settings_of, setups
from mixlingua.errors import ConfigError, DataError

from .conftest import finished_run as run


def labels(*runs: FinishedRun) -> list[str]:
    return [setup.label for setup in setups(runs)[0]]


def test_seeds_are_replicates_and_samplers_are_set_ups() -> None:
    runs = [run(f"sampler={sampler}", f"seed={seed}") for sampler in ("monolingual", "hybrid") for seed in (0, 1, 2)]
    found, notes = setups(runs)
    assert [(setup.label, setup.sampler, setup.model, len(setup.runs)) for setup in found] == [
        ("monolingual", "monolingual", "e5-small", 3), ("hybrid", "hybrid", "e5-small", 3),
    ]  # fmt: skip
    assert notes == []


@pytest.mark.parametrize(
    "override",
    [
        "trainer.devices=4",
        "evaluation.before=false",
        "data.num_workers=0",
        "sampler=hybrid",
        "optimizer.lr=1e-4",
        "card.licence=mit",
        "server.port=80",
        "keep_teacher_vectors=true",
    ],
)
def test_devices_evaluation_and_what_was_the_default_anyway_make_no_difference(override: str) -> None:
    assert labels(run(), run("seed=1", override)) == ["hybrid"]


@pytest.mark.parametrize("part", [part for part in ACTIONS["train"].uses if part not in ("logger", "card")])
def test_every_part_that_training_reads_counts(part: str) -> None:
    trained = run()
    trained.config[part] = {"unheard_of": 1}
    assert settings_of(trained)[f"{part}.unheard_of"] == 1


def test_moved_data_are_the_same_data() -> None:
    moved = run("seed=1", "paths.data=/elsewhere")
    moved.config["data"]["sources"]["ntrex"]["path"] = "/elsewhere/ntrex"
    assert labels(run(), moved) == ["hybrid"]
    moved.config["data"]["sources"]["ntrex"]["path"] = "/elsewhere/other"
    assert len(labels(run(), moved)) == 2


def test_only_paths_in_the_folder_of_data_are_moved() -> None:
    """`data`, where it is looked for by default, is part of other values too."""
    near, far = run(), run("seed=1")
    for moved, folder in ((near, "data"), (far, "/elsewhere")):
        moved.config["paths"]["data"] = folder
        moved.config["data"]["sources"] = {
            "atlas": {"_target_": "mixlingua.data.atlas.AtlasReader", "name": "metadata", "path": folder},
            "own": {"paths": [f"{folder}/a.jsonl", f"{folder}/b.jsonl"], "beside": "database/c.jsonl"},
        }
    assert labels(near, far) == ["hybrid"]
    settings = settings_of(near)
    assert settings["data.sources.atlas._target_"] == "mixlingua.data.atlas.AtlasReader"
    assert settings["data.sources.own.paths"] == "${paths.data}/a.jsonl,${paths.data}/b.jsonl"
    assert settings["data.sources.own.beside"] == "database/c.jsonl"


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        (["model=e5", "model=labse"], ["e5", "labse"]),
        (["sampler.alpha=0.3", "sampler.alpha=0.5"], ["sampler.alpha=0.3", "sampler.alpha=0.5"]),
        (["optimizer.lr=1e-5", ""], ["optimizer.lr=1e-05", "hybrid"]),
        (["loss=infonce", "loss=[infonce,distillation]"], ["infonce", "infonce+distillation"]),
        (["sampler.alpha=0.3 sampler=hybrid", "sampler=mixed"], ["sampler=hybrid sampler.alpha=0.3", "sampler=mixed"]),
        (["model=e5 sampler=mixed", "model=labse sampler=mixed"], ["e5", "labse"]),
        (["optimizer.lr=1e-5 sampler=mixed model=e5", "model=labse"],
         ["sampler=mixed model=e5 optimizer.lr=1e-05", "model=labse"]),
        (["experiment=paper", ""], ["paper", "hybrid"]),
        (["", "loss=distillation", "optimizer.lr=1e-5"], ["hybrid", "loss=distillation", "optimizer.lr=1e-05"]),
        (["adapter=lora", "adapter=none"], ["lora", "none"]),
    ],
)  # fmt: skip
def test_labels_are_the_overrides_that_differ_choices_first(commands: list[str], expected: list[str]) -> None:
    found, notes = setups([run(*command.split()) for command in commands])
    assert [setup.label for setup in found] == expected
    assert notes == []


def test_models_that_are_only_measured_ignore_what_only_training_uses() -> None:
    measured = [run(action="evaluate"), run("sampler=mixed", "seed=1", "optimizer.lr=3.0", action="evaluate")]
    (setup,) = setups(measured)[0]
    assert (setup.label, setup.sampler, len(setup.runs)) == ("e5-small", "none", 2)
    assert labels(*measured, run()) == ["e5-small", "hybrid"]
    trained = [run(f"sampler={sampler}", "model=e5", "trainer.max_steps=9") for sampler in ("hybrid", "mixed")]
    assert labels(*trained, measured[0]) == ["sampler=hybrid model=e5", "sampler=mixed model=e5", "e5-small"]
    folders = [run("model=folder", f"model.name_or_path=outputs/{name}/model", action="evaluate") for name in "ab"]
    assert labels(*folders) == [f"model.name_or_path=outputs/{name}/model" for name in "ab"]
    assert [setup.model for setup in setups(folders)[0]] == ["outputs/a/model", "outputs/b/model"]


def test_a_postprocess_is_fitted_to_data_even_where_nothing_is_trained() -> None:
    def measured(*overrides: str) -> FinishedRun:
        return run(*overrides, action="evaluate")

    fitted = [measured("postprocess=projection", f"data={data}") for data in ("ntrex", "atlas")]
    assert labels(*fitted) == ["ntrex", "atlas"]
    assert labels(measured("data=ntrex"), measured("data=atlas", "seed=1")) == ["e5-small"]
    assert labels(measured(), fitted[0]) == ["e5-small", "projection"]


def test_runs_that_say_the_same_but_differ_are_told_apart() -> None:
    """Such as those of two versions with other defaults: never the same set-up without a word."""
    later = run("seed=1")
    later.config["optimizer"]["lr"] = 2e-4
    found, notes = setups([run(), later])
    assert [setup.label for setup in found] == ["hybrid optimizer.lr=0.0001", "hybrid optimizer.lr=0.0002"]
    other = run("sampler=mixed")
    other.config["optimizer"]["lr"] = 2e-4
    found, notes = setups([run(), other])
    assert [setup.label for setup in found] == ["hybrid", "mixed"]
    assert notes == ["optimizer.lr differs along with what is compared: 0.0001 (hybrid), 0.0002 (mixed)."]


def test_the_same_seed_twice_is_no_replicate() -> None:
    found, notes = setups([run(), run("optimizer.lr=1e-4"), run("seed=1")])
    assert len(found[0].runs) == 2
    assert "with the same seed 0" in notes[0]


def grid(*samplers: str, models: tuple[str, ...] = ("e5",)) -> list[Setup]:
    return setups([run(f"sampler={sampler}", f"model={model}") for model in models for sampler in samplers])[0]


def test_hybrid_is_the_baseline_unless_told_otherwise() -> None:
    found = grid("mixed", "hybrid", "english")
    assert baselines(found, None) == {"mixed": "hybrid", "english": "hybrid"}
    assert baselines(found, "mixed") == {"hybrid": "mixed", "english": "mixed"}
    assert baselines(grid("mixed", "english"), None) == {"english": "mixed"}
    alphas = setups([run(f"sampler.alpha={alpha}") for alpha in (0.0, 0.5)])[0]
    assert baselines(alphas, None) == {"sampler.alpha=0.5": "sampler.alpha=0.0"}
    unsaid = setups([run(), run("sampler=mixed"), run("optimizer.lr=1e-5", "sampler=mixed")])[0]
    assert set(baselines(unsaid, "hybrid").values()) == {"hybrid"}


def test_each_model_has_its_own_baseline() -> None:
    assert baselines(grid("mixed", "hybrid", models=("e5", "labse")), "hybrid") == {
        "sampler=mixed model=e5": "sampler=hybrid model=e5", "sampler=mixed model=labse": "sampler=hybrid model=labse",
    }  # fmt: skip


def test_a_baseline_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"baseline=hybird: none of .*'mixed', 'hybrid'. Did you mean 'hybrid'\?"):
        baselines(grid("mixed", "hybrid"), "hybird")
    with pytest.raises(ConfigError, match="fits every set-up"):
        baselines(grid("hybrid", models=("e5", "labse")), "hybrid")
    alphas = [run("sampler=hybrid", f"sampler.alpha={alpha}") for alpha in (0.3, 0.5)]
    with pytest.raises(ConfigError, match=r"'sampler=mixed' might be compared with .*alpha=0.3' or "):
        baselines(setups([*alphas, run("sampler=mixed")])[0], "hybrid")


def write(folder: Path, state: str = "finished", action: str = "train", error: str | None = None) -> None:
    folder.mkdir(parents=True)
    status = {"state": state, "action": action, "error": error, "overrides": ["seed=0"]}
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "config.yaml").write_text(yaml.safe_dump({"action": action, "seed": 0}))
    (folder / "metrics.json").write_text('{"a/b/c": 1}\n')


def test_runs_are_found_in_natural_order_and_unfinished_ones_named(tmp_path: Path) -> None:
    for job in (0, 10, 2):
        write(tmp_path / "sweep" / str(job))
    write(tmp_path / "sweep" / "3", "failed", error="no text\nin line 3")
    write(tmp_path / "sweep" / "4", "running")
    write(tmp_path / "sweep" / "comparison", action="compare")
    write(tmp_path / "sweep" / "5")
    (tmp_path / "sweep" / "5" / "metrics.json").write_text("{}\n")
    found, left_out = find_runs([str(tmp_path / "sweep"), str(tmp_path / "sweep" / "2")])
    assert [run.folder.name for run in found] == ["0", "2", "10"]
    assert found[0].overrides == ("seed=0",)
    assert [line.removeprefix(str(tmp_path / "sweep")) for line in left_out] == [
        "/3: failed (no text)", "/4: running, not finished", "/5: not evaluated on anything",
    ]  # fmt: skip


def test_links_to_runs_are_followed_and_a_run_counts_once(tmp_path: Path) -> None:
    write(tmp_path / "sweep" / "0")
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    (chosen / "best").symlink_to(tmp_path / "sweep" / "0")
    (chosen / "again").symlink_to(tmp_path / "sweep")
    (chosen / "round").symlink_to(chosen)
    found, left_out = find_runs([str(chosen), str(tmp_path / "sweep")])
    assert [run.folder.resolve() for run in found] == [(tmp_path / "sweep" / "0").resolve()] and left_out == []


def test_places_without_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"runs=.*/none: no such folder"):
        find_runs([str(tmp_path / "none")])
    with pytest.raises(DataError, match="holds no run"):
        find_runs([str(tmp_path)])
    write(tmp_path / "a", "failed", error="boom")
    with pytest.raises(DataError, match=r"none of them finished with results:\n.*a: failed \(boom\)"):
        find_runs([str(tmp_path)])
