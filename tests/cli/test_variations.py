"""Which set-ups differ in one number only."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mixlingua.comparison.runs import FoundRun
from mixlingua.comparison.setups import setups
from mixlingua.comparison.variations import variations
from mixlingua.report.figures import Variation


def run(sampler: str = "Hybrid", seed: int = 0, **values: Any) -> FoundRun:
    """A run of this configuration; values by dotted key with `__` for the dot."""
    config: dict[str, Any] = {
        "action": "train", "seed": seed, "paths": {"data": "data"},
        "data": {"sources": {"ntrex": {}}, "batch_size": 48},
        "sampler": {"_target_": f"mixlingua.sampling.strategies.{sampler}"}, "model": {"name_or_path": "small"},
        "loss": {}, "optimizer": {"lr": 1e-4}, "trainer": {"max_steps": 60},
    }  # fmt: skip
    for key, value in values.items():
        part, name = key.split("__")
        config[part][name] = value
    return FoundRun(Path(f"runs/{sampler}-{seed}-{values}"), "train", config)


def found(*runs: FoundRun, sizes: dict[str, Any] | None = None) -> list[Variation]:
    """sizes: label -> provenance."""
    groups, _ = setups(runs)
    systems: Any = {
        group.label: [SimpleNamespace(provenance=(sizes or {}).get(group.label, {})) for _ in group.runs]
        for group in groups
    }
    return variations(groups, systems)


def test_alpha_over_seeds() -> None:
    runs = [run(seed=seed, sampler__alpha=alpha) for alpha in (0.0, 0.5, 1.0) for seed in (0, 1)]
    assert found(*runs) == [
        Variation("sampler.alpha", {f"sampler.alpha={alpha}": alpha for alpha in (0.0, 0.5, 1.0)}, "", []),
    ]  # fmt: skip


def test_other_samplers_are_on_no_curve_over_alpha() -> None:
    (variation,) = found(run("Mixed"), run(sampler__alpha=0.3), run(sampler__alpha=0.5))
    assert list(variation.values.values()) == [0.3, 0.5]
    assert variation.fixed == "sampler=hybrid"


def test_each_model_has_a_curve_of_its_own() -> None:
    curves = found(*(run(model__name_or_path=model, sampler__alpha=alpha) for model in "ab" for alpha in (0.3, 0.5)))
    assert [(each.fixed, sorted(each.values.values())) for each in curves] == [
        ("model=a", [0.3, 0.5]), ("model=b", [0.3, 0.5]),
    ]  # fmt: skip


def test_two_settings_at_once_are_no_curve() -> None:
    assert found(run(trainer__max_steps=30, optimizer__lr=1e-5), run()) == []
    assert found(run("Mixed"), run()) == []
    assert found(run(seed=0), run(seed=1)) == []


def test_a_setting_that_sets_another_gives_one_curve() -> None:
    (variation,) = found(*(run(model__temperature=t, loss__temperature=t) for t in (0.02, 0.05)))
    assert variation.variable in ("model.temperature", "loss.temperature")
    assert sorted(variation.values.values()) == [0.02, 0.05]


def test_sizes_of_models_and_what_goes_along_with_them() -> None:
    runs = [run(model__name_or_path="a"), run(model__name_or_path="b", model__pooling="cls", optimizer__lr=1e-5)]
    labels = [group.label for group in setups(runs)[0]]
    sizes = {label: {"num_parameters": number} for label, number in zip(labels, (118, 278), strict=True)}
    (variation,) = found(*runs, sizes=sizes)
    assert variation == Variation(
        "model parameters", dict(zip(labels, (118.0, 278.0), strict=True)), "", ["optimizer.lr"]
    )
    assert found(*runs) == []  # runs that did not record their size


def test_sizes_of_data() -> None:
    more: dict[str, Any] = {"ntrex": {}, "debian": {}}
    runs = [run(seed=seed, data__sources=sources) for sources in ({"ntrex": {}}, more) for seed in (0, 1)]
    sizes = {"ntrex": {"num_rows": {"ntrex": 2000}}, "ntrex+debian": {"num_rows": {"ntrex": 2000, "debian": 40_000}}}
    (variation,) = found(*runs, sizes=sizes)
    assert (variation.variable, variation.values) == ("training rows", {"ntrex": 2000.0, "ntrex+debian": 42_000.0})


def test_models_with_other_samplers_are_on_no_curve_over_size() -> None:
    runs = [run("Mixed", model__name_or_path="a"), run(model__name_or_path="b")]
    labels = [group.label for group in setups(runs)[0]]
    assert found(*runs, sizes={label: {"num_parameters": n} for label, n in zip(labels, (118, 278), strict=True)}) == []
