"""Result files: what is written is read back, and what is not a result is refused."""

import json

import pyarrow.parquet as pq
import pytest

from mixlingua import files
from mixlingua.errors import DataError
from mixlingua.evaluation.engines.in_memory import evaluate
from mixlingua.evaluation.results import ResultRow
from mixlingua.evaluation.run_folder import read_results, write_results


@pytest.fixture
def result(two_languages, one_hot):
    return evaluate(two_languages, one_hot)


def test_round_trip(tmp_path, result):
    write_results(tmp_path, [result], {"seed": 3})
    run = read_results(tmp_path)
    assert run.rows == result.rows
    assert run.provenance["seed"] == 3
    assert run.provenance["tasks"]["small"] == result.provenance
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == run.aggregate() == result.aggregate()
    assert {"small/monolingual/map", "small/crosslingual/map", "small/multilingual/rank_distance"} <= set(metrics)


def test_per_query_files(tmp_path, result):
    write_results(tmp_path, [result], {})
    assert sorted(path.name for path in (tmp_path / "per_query").iterdir()) == [
        f"small_{setting}.parquet" for setting in ("crosslingual", "monolingual", "multilingual")
    ]
    table = pq.read_table(tmp_path / "per_query" / "small_multilingual.parquet")
    assert table.column_names[:3] == ["query_id", "query_language", "passage_language"]
    assert {str(table.schema.field(name).type) for name in table.column_names[3:]} == {"float"}
    german = table.filter([language == "de" for language in table["query_language"].to_pylist()])
    assert german["query_id"].to_pylist() == ["q1", "q2", "q3"]
    assert set(german["passage_language"].to_pylist()) == {"all"}
    assert german["map"].to_pylist() == pytest.approx([5 / 6, 5 / 12, 1])


def test_what_is_not_defined_is_null(tmp_path, result):
    write_results(tmp_path, [result], {})
    table = pq.read_table(tmp_path / "per_query" / "small_multilingual.parquet")
    values = dict(zip(table["query_id"].to_pylist(), table["recall_other_at_10"].to_pylist(), strict=True))
    assert values == {"q1": 1.0, "q2": 1.0, "q3": None}, "q3 has no answer in another language"


def test_micro_averages_are_read_back_as_such(tmp_path, result):
    write_results(tmp_path, [result], {}, average="micro")
    run = read_results(tmp_path)
    assert run.average == "micro"
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == run.aggregate() == result.aggregate("micro") != result.aggregate()
    assert metrics["small/monolingual/map"] == pytest.approx((1 + 1 / 2 + 1 + 1 + 1 / 2) / 5)
    edit_report(tmp_path, lambda report: report["provenance"].update(average="macro"))
    with pytest.raises(DataError, match=r"not the averages of report\.json"):
        read_results(tmp_path)


def test_before_and_after_stand_side_by_side(tmp_path, result):
    write_results(tmp_path, [result], {}, stage="before")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "metrics_before.json", "per_query_before", "report_before.json",
    ]  # fmt: skip
    with pytest.raises(DataError, match="did not finish"):
        read_results(tmp_path)
    write_results(tmp_path, [result], {})
    assert read_results(tmp_path).rows == read_results(tmp_path, "before").rows


def test_a_write_that_fails_leaves_no_run_that_looks_finished(tmp_path, result, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_results(tmp_path, [result], {})
    assert list(tmp_path.iterdir()) == []


def edit_report(folder, change):
    path = folder / "report.json"
    report = json.loads(path.read_text())
    change(report)
    path.write_text(json.dumps(report))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda report: report.pop("provenance"), "provenance and rows"),
        (lambda report: report["rows"][1].pop("value"), r"rows\[1\]: has .*exactly"),
        (lambda report: report["rows"][0].update(extra=1), r"rows\[0\]: has .*extra"),
        (lambda report: report["rows"][0].update(value="0.5"), r"rows\[0\]: .*value is '0.5', not a float"),
        (lambda report: report["rows"][0].update(setting="mono"), r"rows\[0\]: .*'mono' is none of"),
        (lambda report: report["rows"][0].update(passage_language="en"), r"rows\[0\]: .*de->en is no monolingual pair"),
        (lambda report: report["rows"][0].update(num_queries=0), r"rows\[0\]: .*1 query or more"),
        (lambda report: report["rows"].append(report["rows"][0]), r"rows\[0\] and rows\[\d+\] both give small"),
        (lambda report: report["provenance"].update(average="mean"), "average is 'mean', none of macro, micro"),
        (lambda report: report["rows"][0].update(value=0.123), "not the averages of report.json"),
    ],
)
def test_a_damaged_report_is_refused(tmp_path, result, change, message):
    write_results(tmp_path, [result], {})
    edit_report(tmp_path, change)
    with pytest.raises(DataError, match=message):
        read_results(tmp_path)


def test_a_truncated_file_is_named(tmp_path, result):
    write_results(tmp_path, [result], {})
    (tmp_path / "report.json").write_text('{"provenance": {')
    with pytest.raises(DataError, match=r"report\.json: not valid JSON"):
        read_results(tmp_path)


def test_values_are_finite():
    with pytest.raises(DataError, match="finite"):
        ResultRow("small", "monolingual", "de", "de", "map", float("nan"), 3)
