"""Which curves a comparison has: by what its set-ups differ in."""

from pathlib import Path
from typing import Any

import pytest

from mixlingua.comparison.runs import EvaluatedRun, FoundRun
from mixlingua.comparison.setups import setups
from mixlingua.comparison.variations import Curve, curves, variations
from mixlingua.errors import ConfigError
from mixlingua.report.figures import Series

TASKS = {"xquad_r": {"main_metric": "map"}}


def run(value: float, sampler: str = "Hybrid", seed: int = 0, *, model: str = "tiny", size: int = 1, action: str =
        "train", **more: Any) -> tuple[FoundRun, EvaluatedRun]:  # fmt: skip
    """A run whose multilingual mAP is `value`; `more` as section__key."""
    config: dict[str, Any] = {
        "action": action, "seed": seed, "paths": {"data": "data"}, "model": {"name_or_path": model},
        "data": {"sources": {"ntrex": {}}, "max_rows": None}, "optimizer": {"lr": 1e-4},
        "sampler": {"_target_": f"strategies.{sampler}", **({"alpha": 0.5} if sampler == "Hybrid" else {})},
    }  # fmt: skip
    for key, given in more.items():
        section, name = key.split("__")
        config[section][name] = given
    averages = {"xquad_r/multilingual/map": value, "xquad_r/multilingual/rank_distance": 1000 * value,
                "xquad_r/monolingual/map": 0.9, "xquad_r/multilingual/precision_at_10": value / 2}  # fmt: skip
    return FoundRun(Path(), action, config), EvaluatedRun("", {"tasks": TASKS, "num_parameters": size}, {}, averages)


def found(*runs: tuple[FoundRun, EvaluatedRun], metric: str | None = None) -> list[Curve]:
    results = {id(found): result for found, result in runs}
    groups, _ = setups([found for found, _ in runs])
    systems = {group.label: [results[id(member)] for member in group.runs] for group in groups}
    return curves(variations(groups, systems), groups, systems, ["xquad_r"], metric)


def test_alpha_with_seeds_is_one_line_and_a_sampler_without_it_is_left_out() -> None:
    runs = [run(alpha / 2 + seed / 100, seed=seed, sampler__alpha=alpha) for alpha in (0, 0.5, 1) for seed in (0, 1)]
    (curve,) = found(*runs, run(0.4, "Monolingual"), run(0.5, "Monolingual", seed=1))
    assert (curve.task, curve.variable) == ("xquad_r", "sampler.alpha")
    assert [panel.title for panel in curve.panels] == [
        "monolingual mAP", "multilingual mAP", "multilingual rank distance ↓"
    ]  # fmt: skip
    (line,) = curve.panels[1].lines
    assert line == Series("hybrid", {0: [0, 0.01], 0.5: [0.25, 0.26], 1: [0.5, 0.51]})


def test_sizes_of_data_have_a_line_for_each_sampler() -> None:
    runs = [run(rows / 1000, name, data__max_rows=rows) for name in ("Hybrid", "Monolingual") for rows in (100, 200)]
    (curve,) = found(*runs, run(0.9))
    assert curve.variable == "data.max_rows"
    assert curve.panels[1].lines == [
        Series("hybrid", {100: [0.1], 200: [0.2]}), Series("monolingual", {100: [0.1], 200: [0.2]})
    ]  # fmt: skip


def test_models_are_placed_by_their_size() -> None:
    sizes = {"e5-small": 118, "e5-base": 278}
    (curve,) = found(*(run(size / 1000, model=model, size=size) for model, size in sizes.items()), metric=None)
    assert curve.variable == "model parameters"
    assert curve.panels[1].lines == [Series("hybrid", {118: [0.118], 278: [0.278]})]
    (evaluated,) = found(*(run(0.1, model=model, size=size, action="evaluate") for model, size in sizes.items()))
    assert evaluated.panels[1].lines == [Series("none", {118: [0.1], 278: [0.1]})]


def test_two_settings_that_vary_give_lines_for_each_other() -> None:
    runs = [run(alpha * rate, sampler__alpha=alpha, optimizer__lr=rate) for alpha in (0.2, 0.4) for rate in (1, 2)]
    lines = {curve.variable: [line.label for line in curve.panels[1].lines] for curve in found(*runs)}
    assert lines == {"sampler.alpha": ["optimizer.lr=1", "optimizer.lr=2"],
                     "optimizer.lr": ["sampler.alpha=0.2", "sampler.alpha=0.4"]}  # fmt: skip


def test_another_metric_may_be_asked_for() -> None:
    runs = [run(alpha, sampler__alpha=alpha) for alpha in (0.2, 0.4)]
    (curve,) = found(*runs, metric="precision_at_10")
    assert [panel.title for panel in curve.panels] == ["multilingual precision@10"]
    with pytest.raises(ConfigError, match=r"curve_metric=precision_at_1: the runs have map, precision_at_10, rank"):
        found(*runs, metric="precision_at_1")


def test_samplers_alone_have_no_curve() -> None:
    assert found(run(0.1), run(0.2, "Monolingual")) == []


def test_the_file_is_named_by_task_and_setting(tmp_path: Path) -> None:
    (curve,) = found(*(run(alpha, sampler__alpha=alpha) for alpha in (0.2, 0.4)))
    assert curve.save(tmp_path, 0.95) == tmp_path / "curve_xquad_r_sampler_alpha.png"
    assert (tmp_path / "curve_xquad_r_sampler_alpha.png").stat().st_size > 1000
