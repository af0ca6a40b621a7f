"""A task that cannot be evaluated is refused when it is made, and the message names what is wrong."""

from dataclasses import replace

import pytest

from mixlingua.errors import ConfigError, DataError


def test_what_a_task_knows_about_itself(two_languages):
    assert two_languages.languages == ("de", "en")
    assert two_languages.num_queries == {"de": 3, "en": 2}
    assert two_languages.provenance() == {
        "revision": "1",
        "licence": "CC0",
        "note": "made by hand",
        "languages": ["de", "en"],
        "main_metric": "map",
        "num_queries": {"de": 3, "en": 2},
        "num_candidates": {"de": 3, "en": 3},
        "files": {},
        "passage_transforms": "PassageTransforms(context_weight=0.0, joining=None, hub_correction=None)",
        "most_recall_at_1": 0.583333,  # two answers, but q3 in de has one: (2/3 + 1/2) / 2
    }


def test_what_a_query_cannot_find_is_no_limit_of_recall(two_languages):
    """As a sentence that asks for its translations: itself is no answer."""
    excluded = {language: {query: tuple(list(grades)[:1]) for query, grades in judged.items() if len(grades) > 1}
                for language, judged in two_languages.qrels.items()}  # fmt: skip
    assert replace(two_languages, excluded=excluded).provenance()["most_recall_at_1"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": {}, "passages": {}, "qrels": {}}, "no language"),
        ({"queries": {"de": {"q1": "?"}}}, "queries are in de, but qrels in de, en"),
        ({"queries": {"de": {}, "en": {"q1": "?", "q2": "?"}}}, "de has no queries"),
        ({"passages": {"de": {}, "en": {"e0": "p", "e1": "p"}}}, "de has no passages"),
        ({"queries": {"de": {"q1": "?", "q2": " ", "q3": "?"}, "en": {"q1": "?", "q2": "?"}}}, "queries q2 are blank"),
        ({"passages": {"de": {"d0": "p", "d1": "p", "d2": "p"}, "en": {"d0": "p", "e0": "p", "e1": "p"}}}, "d0 of en"),
        ({"settings": ("monolingal",)}, "monolingal"),
        ({"qrels": {"de": {"q1": {"d0": 1}, "q2": {"d1": 1}, "q3": {"d9": 1}}, "en": {}}}, "do not exist: d9"),
        ({"qrels": {"de": {"q9": {"d0": 1}}, "en": {}}}, "do not exist: q9"),
        ({"qrels": {"de": {"q1": {"d0": 0}}, "en": {}}}, "de queries without a relevant passage: q1, q2, q3"),
    ],
)
def test_problems_are_named(two_languages, change, message):
    with pytest.raises(DataError, match=rf"task small: .*{message}"):
        replace(two_languages, **change)


def test_languages_are_iso_codes(two_languages):
    parts = {name: {"ger": getattr(two_languages, name)["de"]} for name in ("queries", "passages", "qrels")}
    with pytest.raises(ConfigError, match="task small: unknown language 'ger'"):
        replace(two_languages, **parts)
