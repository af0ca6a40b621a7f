"""Bitext retrieval by hand: pools that belong to a pair, both directions, repeated sentences, ranks, comparison."""

from dataclasses import replace

import pytest
import torch

from mixlingua.comparison.compare import ComparisonSettings, compare
from mixlingua.comparison.runs import common_tasks, read_run
from mixlingua.errors import ConfigError, DataError, ModelError
from mixlingua.evaluation.run_folder import write_results
from mixlingua.evaluation.suite import evaluate_task
from mixlingua.evaluation.tasks import BitextTask

GERMAN, ENGLISH = ("p0", "p1", "p2"), ("p0=1 p1=0.2", "p1=0.4 p2=0.5", "p2=0.9")
FRENCH, OTHER_ENGLISH = ("p5", "p6"), ("p6=0.7 p2=9", "p0=9")


@pytest.fixture
def task():
    return BitextTask(
        name="lines",
        revision="1",
        licence="CC0",
        note="made by hand",
        bitexts={("de", "en"): (GERMAN, ENGLISH), ("fr", "en"): (FRENCH, OTHER_ENGLISH)},
    )


def values(result, metric):
    return {(row.query_language, row.passage_language): row.value for row in result.rows if row.metric == metric}


def test_both_directions_by_hand(task, one_hot):
    result = evaluate_task(task, one_hot)
    # Scores of German (rows) and English: 1 0 0 / 0.2 0.4 0 / 0 0.5 0.9. English sentence 2 is nearer to German 3.
    # Of French and its English: 0 0 / 0.7 0. French 1 ties at 0; French 2 scores its own 0, the other 0.7.
    # The English of the other pair (p2=9, p0=9) would come first for German 1 and 3, but is not in their pool.
    assert values(result, "recall_at_1") == pytest.approx(
        {("de", "en"): 1, ("en", "de"): 2 / 3, ("fr", "en"): 0, ("en", "fr"): 0}
    )
    assert values(result, "map") == pytest.approx(
        {("de", "en"): 1, ("en", "de"): (1 + 1 / 2 + 1) / 3, ("fr", "en"): 1 / 2, ("en", "fr"): 1 / 2}
    )
    assert {row.setting for row in result.rows} == {"crosslingual"}
    assert result.aggregate()["lines/crosslingual/recall_at_1"] == pytest.approx((1 + 2 / 3) / 4)


def test_each_distinct_text_is_encoded_once_and_as_a_query(task, one_hot):
    repeated = replace(task, bitexts={**task.bitexts, ("es", "en"): (("p7", "p8", "p9"), ENGLISH)})
    evaluate_task(repeated, one_hot)
    ((texts, side),) = one_hot.calls
    assert side == "query"
    assert sorted(texts) == sorted([*GERMAN, *ENGLISH, *FRENCH, *OTHER_ENGLISH, "p7", "p8", "p9"])


def test_a_repeated_sentence_ties_with_its_copy_and_loses(task, one_hot):
    twice = replace(task, bitexts={("de", "en"): (("p0", "p1"), ("p0", "p0"))})
    result = evaluate_task(twice, one_hot)
    # German 1 finds both copies with one score, so its own is second; German 2 scores 0 and 0. The other way round the
    # two equal queries find German 1 first: right for one line, wrong for the other.
    assert values(result, "recall_at_1") == {("de", "en"): 0, ("en", "de"): 1 / 2}
    assert values(result, "map") == {("de", "en"): 1 / 2, ("en", "de"): 3 / 4}


def test_the_two_directions_of_a_line_are_one_question(task, one_hot):
    table = evaluate_task(task, one_hot).per_query["crosslingual"]
    cells = zip(table.query_ids, table.query_languages, table.passage_languages, strict=True)
    assert [cell for cell in cells if cell[0].endswith(":2")] == [
        ("de-en:2", "de", "en"), ("de-en:2", "en", "de"), ("en-fr:2", "fr", "en"), ("en-fr:2", "en", "fr"),
    ]  # fmt: skip


def test_equal_on_all_ranks(task, one_hot, on_ranks):
    whole = evaluate_task(task, one_hot)
    for result in on_ranks(3, lambda: evaluate_task(task, one_hot)):
        assert result.rows == whole.rows
        assert result.per_query["crosslingual"].query_ids == whole.per_query["crosslingual"].query_ids


def test_runs_can_be_compared(task, one_hot, tmp_path):
    def stretched(texts, side):
        vectors = one_hot(texts, side)
        vectors[:, 1] *= 1.5  # so that English 2 finds German 2
        return vectors

    for name, encode in (("one", one_hot), ("other", stretched)):
        write_results(tmp_path / name, [evaluate_task(task, encode)], {"seed": 0})
    runs = {name: [read_run(tmp_path / name)] for name in ("one", "other")}
    assert common_tasks([run for (run,) in runs.values()]) == (["lines"], [])
    assert runs["one"][0].tasks["lines"].questions == ("de-en:1", "de-en:2", "de-en:3", "en-fr:1", "en-fr:2")
    rows = compare(runs, {"other": "one"}, ["lines"], ComparisonSettings(resamples=50, confidence=0.95, seed=0))
    (pair,) = (
        row
        for row in rows
        if (row.system, row.scope, row.query_language, row.passage_language) == ("other", "pair", "en", "de")
    )
    assert (pair.metric, pair.num_questions, pair.value) == ("recall_at_1", 3, 1)
    assert (pair.difference.value, pair.difference.better) == (pytest.approx(1 / 3), 1)


def test_what_a_task_knows_about_itself(task):
    described = task.provenance()
    assert described["languages"] == ["de", "en", "fr"]
    assert described["num_queries"] == described["num_candidates"] == {"de": 3, "en": 5, "fr": 2}
    assert described["pools"] == {"de-en": 3, "fr-en": 2}
    assert described["main_metric"] == "recall_at_1"
    assert task.size == "10 sentences in 3 languages, 2 bitexts"


@pytest.mark.parametrize(
    ("bitexts", "message"),
    [
        ({}, "no bitext"),
        ({("de", "en"): (("a", "b"), ("c",))}, "de-en: 2 and 1 lines"),
        ({("de", "en"): ((), ())}, "de-en: 0 and 0 lines"),
        ({("de", "en"): (("a", "b"), ("c", " "))}, "de-en: blank en lines 2"),
        ({("de", "de"): (("a",), ("b",))}, "de-de: a bitext is between two languages"),
        ({("de", "en"): (("a",), ("b",)), ("en", "de"): (("c",), ("d",))}, "en-de: .* one of each pair"),
    ],
)
def test_problems_are_named(task, bitexts, message):
    with pytest.raises(DataError, match=rf"task lines: .*{message}"):
        replace(task, bitexts=bitexts)


def test_languages_are_iso_codes_and_vectors_finite(task):
    with pytest.raises(ConfigError, match="task lines: unknown language 'deu'"):
        replace(task, bitexts={("deu", "en"): (("a",), ("b",))})
    with pytest.raises(ModelError, match="task lines: 10 of 10 query vectors"):
        evaluate_task(task, lambda texts, side: torch.full((len(texts), 2), torch.nan))
