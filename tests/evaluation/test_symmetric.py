"""Tasks whose queries are passages too: one text is encoded once, and a query does not find itself; and languages that
only ask."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mixlingua.errors import DataError
from mixlingua.evaluation.engines.in_memory import evaluate
from mixlingua.evaluation.tasks import RetrievalTask

sys.path.insert(0, str(Path(__file__).parent))
from worlds import values

SENTENCES = {
    "de": {"1": "p0=0.9", "2": "p1=0.9 p2=0.5", "3": "p3=0.2"},
    "en": {"1": "p0=0.5", "2": "p2=0.9", "3": "p2=0.4"},
}


@pytest.fixture
def translations():
    """Three sentences in German and English, each looking for its translation."""
    return RetrievalTask(
        name="translations",
        revision="1",
        licence="CC0",
        note="",
        queries=SENTENCES,
        passages={
            language: {f"{language}{key}": text for key, text in part.items()} for language, part in SENTENCES.items()
        },
        qrels={language: {key: {f"de{key}": 1, f"en{key}": 1} for key in part} for language, part in SENTENCES.items()},
        settings=("crosslingual", "multilingual"),
        symmetric=True,
        excluded={language: {key: [f"{language}{key}"] for key in part} for language, part in SENTENCES.items()},
    )


def test_a_query_does_not_find_itself(translations, one_hot):
    result = evaluate(translations, one_hot)
    # Scores of German (rows) and English: 0.45 0 0 / 0 0.45 0.2 / 0 0 0. English 2 and 3: 0.36.
    third = (1 + 1 + 1 / 3) / 3
    fifth = (1 + 1 + 1 / 5) / 3
    assert values(result, "map") == pytest.approx({
        ("crosslingual", "de", "en"): third,  # German 3 ties at 0 with all three
        ("crosslingual", "en", "de"): third,  # English 3: German 2 first, then German 1 and 3 tie at 0
        ("multilingual", "de", "all"): fifth,  # German 3 ties at 0 with all five
        ("multilingual", "en", "all"): fifth,  # English 3: English 2, German 2, then three at 0
    })  # fmt: skip
    # What is excluded stands last: German 3 is found at rank 5 of 6, with R = 1.
    worst = values(result, "normalised_max_rank")
    assert worst["multilingual", "de", "all"] == pytest.approx((0 + 0 + 100 * (5 - 1) / (6 - 1)) / 3)


def test_it_would_find_itself_otherwise(translations, one_hot):
    found = values(evaluate(replace(translations, excluded={}), one_hot), "map")
    assert found["multilingual", "de", "all"] > (1 + 1 + 1 / 2) / 3
    assert found["crosslingual", "de", "en"] == pytest.approx((1 + 1 + 1 / 3) / 3), "the other language holds no copy"


def test_a_symmetric_task_encodes_all_texts_as_queries_in_one_call(translations, one_hot):
    evaluate(translations, one_hot)
    assert [(len(texts), side) for texts, side in one_hot.calls] == [(12, "query")]


@pytest.mark.parametrize(
    ("excluded", "message"),
    [
        ({"de": {"1": ["de1", "en1"]}}, "de queries without a relevant passage: 1"),
        ({"de": {"9": ["de9"]}}, "queries that do not exist: 9; de exclusions name passages that do not exist: de9"),
        ({"fr": {"1": []}}, "fr exclusions name queries that do not exist: 1"),
    ],
)
def test_impossible_exclusions_are_named(translations, excluded, message):
    with pytest.raises(DataError, match=f"task translations: .*{message}"):
        replace(translations, excluded=excluded)


def test_a_language_may_have_queries_alone(two_languages, one_hot):
    task = replace(
        two_languages,
        queries={
            language: {key: part[key] for key in ("q1", "q2")} for language, part in two_languages.queries.items()
        },
        passages={"de": two_languages.passages["de"]},
        qrels={language: {"q1": {"d0": 1}, "q2": {"d1": 1}} for language in ("de", "en")},
    )
    assert (task.languages, task.num_passages) == (("de", "en"), {"de": 3})
    pairs = {(row.setting, row.query_language, row.passage_language) for row in evaluate(task, one_hot).rows}
    assert pairs == {
        ("monolingual", "de", "de"), ("crosslingual", "en", "de"), ("multilingual", "de", "all"),
        ("multilingual", "en", "all"),
    }  # fmt: skip


def test_a_language_without_passages_is_none_that_could_be_preferred(two_languages, one_hot):
    """Greek has queries alone."""
    task = replace(
        two_languages,
        queries={**two_languages.queries, "el": {"q1": "p0=0.9 p3=0.1"}},
        qrels={**two_languages.qrels, "el": {"q1": {"d0": 1, "e0": 1}}},
    )
    rows = [row for row in evaluate(task, one_hot).rows if row.setting == "multilingual"]
    found = {row.metric: row.value for row in rows if row.query_language == "el"}
    assert "own_language_excess_at_10" not in found
    assert "map_drop_without_own" not in found
    assert (found["share_of_de_at_10"], found["share_of_en_at_10"]) == (0.5, 0.5)
    assert not {row.metric for row in rows} & {"share_of_el_at_10"}
    assert found["recall_other_at_10"] == found["recall_at_10"] == 1
    assert {row.query_language for row in rows if row.metric == "own_language_excess_at_10"} == {"de", "en"}
