"""action=compare, from the command line to its files."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mixlingua.comparison.variations import Curve
from mixlingua.evaluation.results import Average, PerQueryTable, TaskResult
from mixlingua.evaluation.run_folder import write_results
from mixlingua.report.figures import curve_picture

Launch = Callable[..., int]
REPOSITORY = Path(__file__).resolve().parents[2]
GAINS = {"Monolingual": -0.2, "Hybrid": 0.0}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two samplers with two seeds on forty parallel questions in two languages, and a job that failed."""
    for job, (sampler, seed) in enumerate((sampler, seed) for sampler in GAINS for seed in (0, 1)):
        write_run(tmp_path / "sweep" / str(job), sampler, seed)
    failed = tmp_path / "sweep" / "4"
    failed.mkdir()
    (failed / "status.json").write_text(
        json.dumps({"state": "failed", "action": "train", "overrides": [], "error": "out of memory"})
    )
    return tmp_path / "sweep"


def write_run(
    folder: Path, sampler: str, seed: int, revision: str = "r1", english: int = 40, average: Average = "macro",
    further: Sequence[str] = (), tasks: Sequence[str] = ("tiny_r",),
) -> None:  # fmt: skip
    """english: questions in English. further: of the command line. tasks: all with the same values."""
    ids, rng = [f"q{number}" for number in range(40)], np.random.default_rng(seed)
    quality = 0.5 + GAINS[sampler] + 0.2 * rng.random(40 + english)
    tables = {
        "monolingual": (["de"] * 40 + ["en"] * english, {"map": quality}),
        "crosslingual": (["en"] * 40 + ["de"] * english, {"map": quality / 2}),
        "multilingual": (["all"] * len(quality), {"map": quality / 3, "rank_distance": np.round(100 * quality)}),
    }
    per_query = {
        setting: PerQueryTable(ids + ids[:english], ["de"] * 40 + ["en"] * english, passages, values)
        for setting, (passages, values) in tables.items()
    }
    about: dict[str, Any] = {"revision": revision, "languages": ["de", "en"],
                             "num_queries": {"de": 40, "en": english}, "num_candidates": {"de": 50, "en": 50},
                             "main_metric": "map"}  # fmt: skip
    provenance = {"seed": seed, "pretraining": "has seen SQuAD"}
    write_results(folder, [TaskResult(task, about, per_query) for task in tasks], provenance, average=average)
    config = {
        "action": "train", "seed": seed, "paths": {"data": "data"}, "model": {"name_or_path": "tiny"},
        "data": {"sources": {"atlas": {}}}, "sampler": {"_target_": f"mixlingua.sampling.strategies.{sampler}"},
    }  # fmt: skip
    overrides = [f"sampler={sampler.lower()}", f"seed={seed}", *further]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "status.json").write_text(json.dumps({"state": "finished", "action": "train", "overrides": overrides}))


def test_a_sweep_is_compared_through_the_entry_point(sweep: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "run.py"), "action=compare", f"runs={sweep}", "baseline=hybrid",
               "comparison.resamples=500", "hydra.run.dir=out"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "4: failed (out of memory); left out." in shown
    assert "Pretrained weights: has seen SQuAD." in shown
    assert "hybrid (baseline)" in shown
    assert "monolingual - hybrid" in shown
    files = ("comparison.md", "comparison.tex", "comparison.csv", "comparison.json", "report.html")
    assert all(word in shown for word in files)

    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert written["provenance"]["baselines"] == {"monolingual": "hybrid"}
    (row,) = (
        row for row in written["rows"]
        if (row["system"], row["scope"], row["setting"]) == ("monolingual", "average", "monolingual")
    )  # fmt: skip
    assert row["difference"]["value"] == pytest.approx(-0.2, abs=1e-6)
    assert row["difference"]["p_value"] == pytest.approx(1 / 501)
    assert row["num_seeds"] == 2
    with (tmp_path / "out" / "comparison.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(written["rows"])
    assert {line["baseline"] for line in lines} == {"", "hybrid"}
    assert "| tiny | hybrid (baseline) | 2 |" in (tmp_path / "out" / "comparison.md").read_text()
    assert "<h2>Differences by language pair</h2>" in (tmp_path / "out" / "report.html").read_text()
    assert r"tiny\_r" in (tmp_path / "out" / "comparison.tex").read_text()


def test_equal_commands_write_equal_files(launch: Launch, sweep: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert launch("action=compare", f"runs={sweep}", "comparison.resamples=50", f"hydra.run.dir={name}") == 0
    for file in (*(f"comparison.{suffix}" for suffix in ("md", "tex", "csv", "json")), "report.html"):
        first, second = ((tmp_path / name / file).read_bytes() for name in ("a", "b"))
        assert first == second


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_curves_and_tables_have_one_average_whatever_the_runs_have(
    launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, average: str
) -> None:
    """Two runs of equal values, of which one reported macro averages and the other micro ones."""
    for alpha, own in ((0.3, "macro"), (0.5, "micro")):
        folder = tmp_path / "sweep" / own
        write_run(folder, "Hybrid", 0, english=4, average=own, further=[f"sampler.alpha={alpha}"])
        config = yaml.safe_load((folder / "config.yaml").read_text())
        config["sampler"]["alpha"] = alpha
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    drawn: list[Curve] = []
    picture = curve_picture
    monkeypatch.setattr(
        "mixlingua.cli.compare.curve_picture", lambda curve, *given: drawn.append(curve) or picture(curve, *given)
    )
    command = ("action=compare", f"runs={tmp_path / 'sweep'}", "comparison.resamples=50", "hydra.run.dir=out")
    assert launch(*command, f"evaluation.average={average}") == 0
    ((_, points),) = drawn[0].panels[0].lines
    rows = json.loads((tmp_path / "out" / "comparison.json").read_text())["rows"]
    expected = [row["value"] for row in rows if (row["scope"], row["setting"]) == ("average", "monolingual")]
    assert [value for values in points.values() for value in values] == pytest.approx(expected)


def test_one_run_is_shown_without_tests(launch: Launch, sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("action=compare", f"runs={sweep / '0'}", "comparison.resamples=50") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "nothing to test it against" in shown
    assert "One seed only, so no interval over seeds: monolingual." in shown
    assert "Differences to the baseline" not in shown


def test_too_few_resamples_for_a_large_table_are_said(
    launch: Launch, sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch("action=compare", f"runs={sweep}", "comparison.resamples=30") == 0
    assert "30 resamples are too few for a table with 6 tests" in " ".join(capsys.readouterr().out.split())


def test_other_revisions_are_refused(
    launch: Launch, sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "other", "Hybrid", 2, revision="r2")
    assert launch("action=compare", f"runs=[{sweep},{tmp_path / 'other'}]", "hydra.run.dir=out") == 2
    assert "tiny_r revision: r1 in" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("comparison.*"))


def test_a_repeated_run_is_left_out_only_where_it_was_measured_on_the_same_data(
    launch: Launch, sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    write_run(again, "Hybrid", 0, revision="r2")
    assert launch("action=compare", f"runs=[{sweep},{again}]") == 2
    assert "tiny_r revision: r1 in" in capsys.readouterr().err
    write_run(again, "Hybrid", 0)
    assert launch("action=compare", f"runs=[{sweep},{again}]") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{again} left out: as {sweep / '2'}, with the same seed 0." in shown
    assert "has other figures" not in shown
    write_run(again, "Hybrid", 0, tasks=("tiny_r", "other_r"))
    assert launch("action=compare", f"runs=[{sweep},{again}]") == 0
    assert "has other figures" not in " ".join(capsys.readouterr().out.split())
    write_run(again, "Hybrid", 0)
    values = json.loads((again / "metrics.json").read_text())
    write_run(again, "Monolingual", 0)
    config = yaml.safe_load((again / "config.yaml").read_text())
    config["sampler"]["_target_"] = "mixlingua.sampling.strategies.Hybrid"
    (again / "config.yaml").write_text(yaml.safe_dump(config))
    assert values != json.loads((again / "metrics.json").read_text())
    assert launch("action=compare", f"runs=[{sweep},{again}]") == 0
    assert f"{again} has other figures than {sweep / '2'}, with equal settings." in " ".join(
        capsys.readouterr().out.split()
    )


def test_setups_that_no_command_line_tells_apart_have_their_labels_in_every_table(
    launch: Launch, sweep: Path, tmp_path: Path
) -> None:
    for job in (2, 3):  # the hybrid ones, as a version with another default would have left them
        config = yaml.safe_load((sweep / str(job) / "config.yaml").read_text())
        (sweep / str(job) / "config.yaml").write_text(yaml.safe_dump(config | {"optimizer": {"lr": job / 1000}}))
    command = ("action=compare", f"runs={sweep}", "baseline=monolingual", "comparison.resamples=50")
    assert launch(*command, "hydra.run.dir=out") == 0
    text = (tmp_path / "out" / "comparison.md").read_text()
    lines = [line.split(" | ")[:3] for line in text.splitlines() if line.startswith("| tiny |")]
    assert len(lines) == 6, "three set-ups in two tables"
    assert {line[2] for line in lines} == {"", "hybrid optimizer.lr=0.002", "hybrid optimizer.lr=0.003"}


def test_problems_are_reported_together(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("action=compare", "comparison.resamples=0", "comparison.confidence=95") == 2
    message = capsys.readouterr().err
    assert "3 problems" in message
    assert all(key in message for key in ("runs: needs a value", "comparison.resamples=0", "comparison.confidence=95"))
