"""From run folders to the rows of a comparison, with every figure worked out by hand."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixlingua.comparison.compare import ComparisonSettings, compare, family_of
from mixlingua.comparison.runs import common_tasks, read_run
from mixlingua.comparison.significance import Design
from mixlingua.errors import ConfigError, DataError
from mixlingua.report.comparison_tables import flat

from .conftest import BAD

SETTINGS = ComparisonSettings(resamples=200)


@pytest.fixture
def systems(write):
    return {"good": [read_run(write("good"))], "bad": [read_run(write("bad", BAD))]}


def row_of(rows, **wanted):
    (matching,) = (row for row in rows if all(getattr(row, name) == value for name, value in wanted.items()))
    return matching


def test_averages_are_those_of_the_report(systems, tmp_path):
    metrics = json.loads((tmp_path / "good" / "metrics.json").read_text())
    rows = compare({"good": systems["good"]}, {}, ["small"], SETTINGS)
    for setting, metric in (("monolingual", "map"), ("crosslingual", "map"), ("multilingual", "rank_distance")):
        row = row_of(rows, scope="average", setting=setting, metric=metric)
        assert row.value == pytest.approx(metrics[f"small/{setting}/{metric}"], abs=1e-6)
        assert row.difference is None and row.seeds_interval is None
    assert row_of(rows, scope="average", setting="monolingual").num_questions == 3  # q1 and q2 in de and en, q3 in de


def test_micro_averages_count_queries(systems):
    rows = compare(systems, {"bad": "good"}, ["small"], replace(SETTINGS, average="micro"))
    row = row_of(rows, system="bad", scope="average", setting="monolingual")
    assert row.value == pytest.approx((1 / 3 + 1 / 2 + 1 / 3 + 1 / 3 + 1 / 3) / 5)
    assert row.difference.value == pytest.approx(row.value - (1 + 1 / 2 + 1 + 1 + 1 / 2) / 5)


def test_differences_by_hand(systems):
    rows = compare(systems, {"bad": "good"}, ["small"], SETTINGS)
    row = row_of(rows, system="bad", scope="pair", query_language="de", passage_language="de")
    assert row.value == pytest.approx(np.mean([1 / 3, 1 / 2, 1 / 3]))
    difference = row.difference
    assert difference.value == pytest.approx((-2 / 3 + 0 - 2 / 3) / 3)
    assert (difference.better, difference.equal, difference.worse) == (0, 1, 2)
    assert difference.p_value == 4 / 8  # of eight sign patterns, those with equal signs of q1 and q3
    assert difference.interval[0] <= difference.value <= difference.interval[1]
    assert row.gain == difference.value
    ranks = row_of(rows, system="bad", scope="average", metric="rank_distance")
    assert ranks.difference.value == pytest.approx((0 + 2 + 4) / 3 / 2)  # more in German, equal in English
    assert (ranks.gain, ranks.difference.better, ranks.difference.worse) == (-ranks.difference.value, 0, 2)


def test_equal_means_of_other_questions_are_a_tie(write):
    """Three of six questions are answered either way, and not the same three: the sum of the differences is rounded."""
    ids, rights = [f"q{number}" for number in range(6)], {"first": [1, 1, 1, 0, 0, 0], "last": [0, 0, 0, 1, 1, 1]}
    runs = {
        name: [read_run(write(name, {pair: {"map": right, "rank_distance": right} for pair in BAD}, ids=ids))]
        for name, right in rights.items()
    }
    rows = [row for row in compare(runs, {"last": "first"}, ["small"], SETTINGS) if row.difference]
    assert any(row.difference.value for row in rows)
    assert {row.gain for row in rows} == {0.0}


def test_the_interval_of_a_difference_is_of_paired_draws(systems):
    """From English to German both systems have 1 and 1/3: each draw has the difference 0, whatever its mean."""
    rows = compare(systems, {"bad": "good"}, ["small"], SETTINGS)
    row = row_of(rows, system="bad", scope="pair", query_language="en", passage_language="de")
    assert row.interval[0] < row.value < row.interval[1]
    assert row.difference.interval == (0.0, 0.0)


def test_seeds_are_averaged_and_counted(systems):
    (good,), (bad,) = systems.values()
    rows = compare({"mixed": [good, bad], "good": [good, good]}, {"mixed": "good"}, ["small"], SETTINGS)
    alone = compare(systems, {}, ["small"], SETTINGS)
    wanted = {"scope": "average", "setting": "monolingual"}
    row = row_of(rows, system="mixed", **wanted)
    values = [row_of(alone, system=name, **wanted).value for name in systems]
    assert (row.value, row.num_seeds) == (pytest.approx(np.mean(values)), 2)
    assert row.seeds_interval[0] < min(values) < max(values) < row.seeds_interval[1]
    assert row.difference.seeds_interval is not None


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_figures_do_not_depend_on_how_many_are_computed_at_once(systems, monkeypatch, average):
    def figures():
        rows = compare(systems, {"bad": "good"}, ["small"], replace(SETTINGS, average=average))
        lines = [flat(row) for row in rows]
        return {tuple(value for value in line.values() if isinstance(value, str)): line for line in lines}

    whole, drawn, draw = figures(), [], Design.bootstrap
    monkeypatch.setattr(
        Design, "bootstrap", lambda self, *given, **more: drawn.append(self) or draw(self, *given, **more)
    )
    monkeypatch.setattr("mixlingua.comparison.compare._AVERAGES_AT_ONCE", 3)
    parts = figures()
    assert max(len(design.averages) for design in drawn) == 3
    assert min(design.asked.shape[1] for design in drawn) == 2, "of the cells, those that are averaged"
    assert parts.keys() == whole.keys()
    assert all(parts[key] == pytest.approx(line) for key, line in whole.items())


def test_correction_is_over_each_table(systems):
    rows = [row for row in compare(systems, {"bad": "good"}, ["small"], SETTINGS) if row.difference]
    families = {family_of(row) for row in rows}
    assert families == {
        ("average", "main"), ("average", "rank_distance"), ("language", "small"), ("pair", "small", "bad"),
    }  # fmt: skip
    for family in families:
        differences = [row.difference for row in rows if family_of(row) == family]
        smallest = min(differences, key=lambda difference: difference.p_value)
        assert smallest.p_holm == pytest.approx(min(1, len(differences) * smallest.p_value))


def test_a_difference_is_significant_below_one_minus_confidence(systems):
    rows = compare(systems, {"bad": "good"}, ["small"], SETTINGS)
    tested = row_of(rows, system="bad", scope="average", setting="monolingual")
    tested = replace(tested, difference=replace(tested.difference, p_holm=0.04))
    assert tested.significant(0.95) and not tested.significant(0.99)
    tested = replace(tested, difference=replace(tested.difference, p_holm=0.05))
    assert not tested.significant(0.95)  # which is 0.05000000000000004 below 1


@pytest.mark.parametrize(
    ("setting", "key"),
    [({"resamples": 0}, "comparison.resamples=0"), ({"resamples": 1.5}, "comparison.resamples=1.5"),
     ({"confidence": 95}, "comparison.confidence=95"), ({"average": "mean"}, "comparison.average=mean")],
)  # fmt: skip
def test_settings_out_of_range_are_refused(setting, key):
    with pytest.raises(ConfigError, match=key):
        ComparisonSettings(**setting)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"revision": "2"}, r"small revision: 1 in .*one, 2 in .*other"),
     ({"num_queries": {"de": 2, "en": 2}}, r"small num_queries: de 3, en 2 in .*one, de 2, en 2 in .*other"),
     ({"passage_transforms": "by 1.0"}, r"small passage_transforms: by 0.05 in .*one, by 1.0 in .*other"),
     ({"languages": ["de"]}, r"small languages: de en in .*one, de in .*other"),
     ({"ids": ("x1", "x2", "x3")}, r"6 questions are in one of .* only: q1 q2 q3 x1")],
)  # fmt: skip
def test_runs_on_different_data_are_refused(write, changes, message):
    with pytest.raises(DataError, match=message):
        common_tasks([read_run(write("one")), read_run(write("other", **changes))])


def test_tasks_that_not_all_runs_have_are_named(write):
    both, one = read_run(write("both")), read_run(write("one", task="other"))
    with pytest.raises(DataError, match=r"No task that all runs .*both has small; .*one has other"):
        common_tasks([both, one])
    merged = replace(both, tasks={**both.tasks, **one.tasks})
    assert common_tasks([both, merged]) == (["small"], ["other"])


def test_values_of_another_evaluation_are_refused(write):
    good, bad = write("good"), write("bad", BAD)
    shutil.rmtree(good / "per_query")
    shutil.copytree(bad / "per_query", good / "per_query")
    with pytest.raises(DataError, match="the files are not of one evaluation"):
        read_run(good)
    (good / "per_query" / "small_monolingual.parquet").unlink()
    with pytest.raises(DataError, match=r"small_monolingual\.parquet: cannot be read"):
        read_run(good)


def test_a_query_that_comes_twice_is_refused(write):
    path = write("good") / "per_query" / "small_monolingual.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table]), path)
    with pytest.raises(DataError, match="a query comes twice in de->de"):
        read_run(path.parents[1])
