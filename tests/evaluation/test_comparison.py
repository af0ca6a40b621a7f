"""From run folders, written by an evaluation of a tiny world, to the rows of a comparison."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixlingua.comparison.compare import Resampling, compare, family_of
from mixlingua.comparison.runs import common_tasks, read_run
from mixlingua.errors import DataError
from mixlingua.evaluation.engines.in_memory import evaluate
from mixlingua.evaluation.run_folder import write_results

RESAMPLING = Resampling(resamples=200, confidence=0.95, seed=0)


@pytest.fixture
def write(tmp_path, two_languages, one_hot):
    """Evaluate on the task, with query vectors turned round (sign=-1) or as they are; return the run folder."""

    def run(name, sign=1, task=two_languages):
        def encode(texts, side):
            return one_hot(texts, side) * (sign if side == "query" else 1)

        write_results(tmp_path / name, [evaluate(task, encode)], {"seed": 0})
        return tmp_path / name

    return run


def row_of(rows, **wanted):
    (found,) = (row for row in rows if all(getattr(row, name) == value for name, value in wanted.items()))
    return found


def test_averages_are_those_of_the_report(write):
    folder = write("good")
    metrics = json.loads((folder / "metrics.json").read_text())
    rows = compare({"good": [read_run(folder)]}, {}, ["small"], RESAMPLING)
    for setting, metric in (("monolingual", "map"), ("crosslingual", "map"), ("multilingual", "rank_distance")):
        row = row_of(rows, scope="average", setting=setting, metric=metric)
        assert row.value == pytest.approx(metrics[f"small/{setting}/{metric}"], abs=1e-6)
        assert row.difference is None
        assert row.seeds_interval is None
    assert row_of(rows, scope="average", setting="monolingual").num_questions == 3  # q1 and q2 in de and en, q3 in de


def test_micro_averages_are_those_of_the_report(write, two_languages, one_hot):
    folder, result = write("good"), evaluate(two_languages, one_hot)
    bad = read_run(write("bad", sign=-1))
    systems = {"good": [read_run(folder)], "bad": [bad]}
    rows = compare(systems, {"bad": "good"}, ["small"], RESAMPLING, "micro")
    for setting in ("monolingual", "crosslingual", "multilingual"):
        row = row_of(rows, system="good", scope="average", setting=setting, metric="map")
        assert row.value == pytest.approx(result.aggregate("micro")[f"small/{setting}/map"], abs=1e-6)
    row = row_of(rows, system="bad", scope="average", setting="monolingual")
    # German: 1/3, 1/2, 1/3 against 1, 1/2, 1; English q1: -0.9 is last of three, q2: e0 and e1 at -0.3, so e1 is last.
    assert row.value == pytest.approx((1 / 3 + 1 / 2 + 1 / 3 + 1 / 3 + 1 / 3) / 5, abs=1e-6)
    assert row.difference.value == pytest.approx(row.value - (1 + 1 / 2 + 1 + 1 + 1 / 2) / 5, abs=1e-6)


def test_differences_by_hand(write):
    """German mAP: 1, 1/2, 1 one way; turned round, the answer's score is the lowest for q1 and q3, and q2 ties:

    q1: -0.9 is below 0 and -0.8: rank 3; q2: -0.5 is below 0 and above -0.9: rank 2; q3: -0.1 is below two zeros: 3.
    """
    systems = {"good": [read_run(write("good"))], "bad": [read_run(write("bad", sign=-1))]}
    rows = compare(systems, {"bad": "good"}, ["small"], RESAMPLING)
    row = row_of(rows, system="bad", scope="pair", query_language="de", passage_language="de")
    assert row.value == pytest.approx(np.mean([1 / 3, 1 / 2, 1 / 3]), abs=1e-6)
    difference = row.difference
    assert difference.value == pytest.approx((-2 / 3 + 0 - 2 / 3) / 3, abs=1e-6)
    assert (difference.better, difference.equal, difference.worse) == (0, 1, 2)
    assert difference.p_value == 4 / 8  # of eight sign patterns, those with equal signs of q1 and q3
    assert difference.interval[0] <= difference.value <= difference.interval[1]
    assert row.gain == difference.value


def test_lower_rank_distance_is_a_gain(write):
    systems = {"good": [read_run(write("good"))], "bad": [read_run(write("bad", sign=-1))]}
    row = row_of(
        compare(systems, {"bad": "good"}, ["small"], RESAMPLING), system="bad", scope="average", metric="rank_distance"
    )
    assert row.difference.value != 0
    assert row.gain == -row.difference.value
    assert (row.difference.better > row.difference.worse) == (row.gain > 0)


def test_seeds_are_averaged_and_counted(write):
    good, bad = read_run(write("good")), read_run(write("bad", sign=-1))
    systems = {"mixed": [good, bad], "good": [good, good]}
    rows = compare(systems, {"mixed": "good"}, ["small"], RESAMPLING)
    alone = compare({"good": [good], "bad": [bad]}, {}, ["small"], RESAMPLING)
    wanted = {"scope": "average", "setting": "monolingual"}
    row = row_of(rows, system="mixed", **wanted)
    parts = [row_of(alone, system=name, **wanted).value for name in ("good", "bad")]
    assert row.value == pytest.approx(np.mean(parts))
    assert row.num_seeds == 2
    assert row.seeds_interval[0] < min(parts) < max(parts) < row.seeds_interval[1]
    assert row.difference.seeds_interval is not None


def test_correction_is_over_each_table(write):
    systems = {"good": [read_run(write("good"))], "bad": [read_run(write("bad", sign=-1))]}
    rows = [row for row in compare(systems, {"bad": "good"}, ["small"], RESAMPLING) if row.difference]
    families = {family_of(row) for row in rows}
    assert families == {
        ("average", "main"),
        ("average", "rank_distance"),
        ("language", "small"),
        ("pair", "small", "bad"),
    }
    for family in families:
        own = [row.difference for row in rows if family_of(row) == family]
        smallest = min(own, key=lambda difference: difference.p_value)
        assert smallest.p_holm == pytest.approx(min(1, len(own) * smallest.p_value))


def test_runs_on_different_revisions_are_refused(write, two_languages):
    runs = [read_run(write("old")), read_run(write("new", task=replace(two_languages, revision="2")))]
    with pytest.raises(DataError, match=r"small revision: 1 in .*old, 2 in .*new"):
        common_tasks(runs)


def test_runs_on_different_languages_and_queries_are_refused(write, two_languages):
    fewer = replace(
        two_languages,
        queries={**two_languages.queries, "de": {k: v for k, v in two_languages.queries["de"].items() if k != "q3"}},
        qrels={**two_languages.qrels, "de": two_languages.qrels["en"]},
    )
    with pytest.raises(DataError, match=r"small num_queries: de 3, en 2 in .*all, de 2, en 2 in .*fewer"):
        common_tasks([read_run(write("all")), read_run(write("fewer", task=fewer))])
    german = replace(
        two_languages,
        queries={"de": two_languages.queries["de"]},
        passages={"de": two_languages.passages["de"]},
        qrels={"de": {"q1": {"d0": 1}, "q2": {"d1": 1}, "q3": {"d2": 1}}},
        settings=("monolingual",),
    )
    with pytest.raises(DataError, match=r"small languages: de en in .*all, de in .*german"):
        common_tasks([read_run(write("all")), read_run(write("german", task=german))])


def test_other_questions_of_the_same_number_are_refused(write, two_languages):
    renamed = replace(
        two_languages,
        queries={language: {f"x{k}": v for k, v in part.items()} for language, part in two_languages.queries.items()},
        qrels={language: {f"x{k}": v for k, v in part.items()} for language, part in two_languages.qrels.items()},
    )
    with pytest.raises(DataError, match=r"6 questions are in one of .* only: q1 q2 q3 xq1"):
        common_tasks([read_run(write("all")), read_run(write("renamed", task=renamed))])


def test_tasks_that_not_all_runs_have_are_named(write, two_languages):
    both, one = read_run(write("both")), read_run(write("one", task=replace(two_languages, name="other")))
    with pytest.raises(DataError, match=r"No task that all runs .*both has small; .*one has other"):
        common_tasks([both, one])
    merged = replace(both, tasks={**both.tasks, **one.tasks})
    assert common_tasks([both, merged]) == (["small"], ["other"])


def test_values_of_another_evaluation_are_refused(write):
    good, bad = write("good"), write("bad", sign=-1)
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
