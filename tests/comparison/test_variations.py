"""Which set-ups differ in one number only, and the curves over it."""

import pytest

from mixlingua.comparison.runs import EvaluatedRun
from mixlingua.comparison.setups import setups
from mixlingua.comparison.variations import Curve, Line, curves, variations
from mixlingua.errors import ConfigError

from .conftest import finished_run

TASKS = {"xquad_r": {"main_metric": "map"}}


def found(*runs: tuple[str, float], metric: str | None = None, **sizes: int) -> list[Curve]:
    """runs: a command line and the multilingual mAP. sizes: model or data choice -> parameters or rows."""
    finished = [finished_run(*command.split()) for command, _ in runs]
    values = {id(run): value for run, (_, value) in zip(finished, runs, strict=True)}
    groups, _ = setups(finished)
    systems = {}
    for group in groups:
        systems[group.label] = []
        for run in group.runs:
            said = dict(argument.split("=") for argument in run.overrides)
            provenance: dict[str, object] = {"tasks": TASKS}
            if said.get("model") in sizes:
                provenance["num_parameters"] = sizes[said["model"]]
            if said.get("data") in sizes:
                provenance["num_rows"] = {"ntrex": 100, "rest": sizes[said["data"]] - 100}
            value = values[id(run)]
            averages = {"xquad_r/multilingual/map": value, "xquad_r/multilingual/rank_distance": 1000 * value,
                        "xquad_r/monolingual/map": 0.9, "xquad_r/multilingual/precision_at_10": value / 2}  # fmt: skip
            systems[group.label].append(EvaluatedRun("", provenance, {}, averages))
    return curves(variations(groups, systems), systems, ["xquad_r"], metric)


def multilingual_lines(curve: Curve) -> list[Line]:
    (panel,) = [panel for panel in curve.panels if (panel.setting, panel.metric) == ("multilingual", "map")]
    return list(panel.lines)


def test_alpha_with_seeds_is_one_line_and_a_sampler_without_it_is_left_out() -> None:
    runs = [
        (f"sampler=hybrid sampler.alpha={a} seed={s}", float(a) / 2 + s / 100) for a in ("0.0", "0.5") for s in (0, 1)
    ]
    (curve,) = found(*runs, ("sampler=monolingual", 0.4), ("sampler=monolingual seed=1", 0.5))
    assert (curve.task, curve.variable) == ("xquad_r", "sampler.alpha")
    assert [(panel.setting, panel.metric) for panel in curve.panels] == [
        ("monolingual", "map"), ("multilingual", "map"), ("multilingual", "rank_distance"),
    ]  # fmt: skip
    assert multilingual_lines(curve) == [("hybrid", {0: [0, 0.01], 0.5: [0.25, 0.26]})]


def test_each_sampler_and_each_model_has_a_line_of_its_own() -> None:
    runs = [(f"sampler={name} data.max_rows={rows}", rows / 1000) for name in ("hybrid", "mixed") for rows in (10, 20)]
    (curve,) = found(*runs, ("", 0.9))
    assert curve.variable == "data.max_rows"
    assert multilingual_lines(curve) == [(name, {10: [0.01], 20: [0.02]}) for name in ("hybrid", "mixed")]
    (curve,) = found(*((f"model={model} sampler.alpha={a}", 0.1) for model in ("e5", "labse") for a in (0.3, 0.5)))
    assert [name for name, _ in multilingual_lines(curve)] == ["model=e5", "model=labse"]


def test_two_settings_that_vary_give_lines_for_each_other() -> None:
    runs = [(f"sampler.alpha={alpha} optimizer.lr={rate}", 0.1) for alpha in (0.2, 0.4) for rate in (0.1, 0.2)]
    lines = {curve.variable: [name for name, _ in multilingual_lines(curve)] for curve in found(*runs)}
    assert lines == {"sampler.alpha": ["optimizer.lr=0.1", "optimizer.lr=0.2"],
                     "optimizer.lr": ["sampler.alpha=0.2", "sampler.alpha=0.4"]}  # fmt: skip


def test_models_and_data_are_placed_by_their_sizes() -> None:
    (curve,) = found(("model=e5", 0.118), ("model=labse", 0.278), e5=118, labse=278)
    assert curve.variable == "model parameters"
    assert multilingual_lines(curve) == [("hybrid", {118: [0.118], 278: [0.278]})]
    (curve,) = found(("data=ntrex", 0.1), ("data=atlas", 0.2), ntrex=2000, atlas=42_000)
    assert (curve.variable, list(multilingual_lines(curve)[0][1])) == ("training rows", [2000, 42_000])
    assert found(("model=e5", 0.118), ("model=labse", 0.278)) == []  # runs that did not record their size
    assert found(("model=e5 sampler=mixed", 0.1), ("model=labse", 0.2), e5=118, labse=278) == []


@pytest.mark.parametrize(
    "commands",
    [["trainer.max_steps=30 optimizer.lr=1e-5", "trainer.max_steps=60 optimizer.lr=1e-4"],
     ["sampler=mixed", "sampler=hybrid"], ["seed=0", "seed=1"]],
)  # fmt: skip
def test_two_settings_at_once_samplers_and_seeds_are_no_curve(commands: list[str]) -> None:
    assert found(*((command, 0.1) for command in commands)) == []


def test_another_metric_may_be_asked_for() -> None:
    runs = [("sampler.alpha=0.2", 0.2), ("sampler.alpha=0.4", 0.4)]
    (curve,) = found(*runs, metric="precision_at_10")
    assert [(panel.setting, panel.metric) for panel in curve.panels] == [("multilingual", "precision_at_10")]
    with pytest.raises(ConfigError, match=r"curve_metric=precision_at_1: the runs have map, precision_at_10, rank"):
        found(*runs, metric="precision_at_1")
