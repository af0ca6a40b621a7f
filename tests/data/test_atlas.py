"""The atlas data: complete in eleven languages, split by entity, well formed, and the same in every process."""

import os
import re
import subprocess
import sys
import unicodedata
from collections import Counter

import pytest
from babel import Locale
from babel.localedata import locale_identifiers

from mixlingua.data import atlas
from mixlingua.data.atlas.facts import KINDS, load_facts, load_templates
from mixlingua.data.atlas.generate import render, split_facts
from mixlingua.data.rows import PairRow, check_texts

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
SCRIPTS = {"ar": "ARABIC", "el": "GREEK", "hi": "DEVANAGARI", "ru": "CYRILLIC", "th": "THAI", "zh": "CJK"}
STATEMENT_ENDS = {"hi": "।", "zh": "。", "th": ""}
QUESTION_ENDS = {"ar": "؟", "el": ";", "zh": "？", "th": ""}


@pytest.fixture(scope="module")
def rows() -> list[PairRow]:
    return list(atlas.AtlasReader().rows())


@pytest.fixture(scope="module")
def evaluation() -> atlas.AtlasEvaluation:
    return atlas.evaluation_split()


def test_training_has_more_than_a_thousand_pairs_in_all_languages(rows: list[PairRow]) -> None:
    assert len(rows) >= 1000
    assert len({row.passage_id for row in rows}) >= 1000
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        check_texts(row, "atlas")
        assert tuple(row.queries) == tuple(row.passages) == LANGUAGES


def test_rows_of_one_fact_share_passage_and_split_unit(rows: list[PairRow]) -> None:
    groups: dict[str, list[PairRow]] = {}
    for row in rows:
        groups.setdefault(row.passage_id, []).append(row)
    for group in groups.values():
        assert len({row.split_key for row in group}) == 1
        assert all(row.passages == group[0].passages for row in group)
        for language in LANGUAGES:
            assert len({row.queries[language] for row in group}) == len(group) >= 3


def test_evaluation_is_complete_and_of_a_size_for_two_cores(evaluation: atlas.AtlasEvaluation) -> None:
    assert tuple(evaluation.queries) == tuple(evaluation.passages) == LANGUAGES
    assert 150 <= len(evaluation.relevant) <= 300
    for language in LANGUAGES:
        assert evaluation.queries[language].keys() == evaluation.relevant.keys()
        assert evaluation.passages[language].keys() == set(evaluation.relevant.values())
    assert {query.partition("/")[0] for query in evaluation.relevant} == set(KINDS)


def test_evaluation_asks_about_nothing_that_training_mentions() -> None:
    training, evaluation = split_facts()
    mentioned = {entity for fact in training for entity in (fact.subject, fact.answer)}
    assert not {fact.subject for fact in evaluation} & mentioned
    countries = {fact.home for fact in evaluation if len(fact.home) == 2}
    assert not countries & {fact.home for fact in training}
    assert not {f"country:{country}" for country in countries} & mentioned


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_asked_about_in_evaluation_are_new(language: str) -> None:
    training, evaluation = split_facts()

    def subjects(facts: tuple) -> set[tuple[str, str]]:
        places = {"city": "country"}
        slots = ((KINDS[fact.kind][0], fact) for fact in facts)
        return {(places.get(slot, slot), fact.slots[language][slot].casefold()) for slot, fact in slots}

    assert not subjects(evaluation) & subjects(training)


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_unique_within_a_language(
    language: str, evaluation: atlas.AtlasEvaluation, rows: list[PairRow]
) -> None:
    for texts in (evaluation.queries[language], evaluation.passages[language]):
        assert [text for text, count in Counter(texts.values()).items() if count > 1] == []
    questions = Counter(row.queries[language] for row in rows)
    assert [text for text, count in questions.items() if count > 1] == []
    passages = {row.passage_id: row.passages[language] for row in rows}
    assert len(set(passages.values())) == len(passages)
    assert not set(evaluation.queries[language].values()) & set(questions)


def test_no_text_is_the_same_in_two_languages(evaluation: atlas.AtlasEvaluation) -> None:
    for side in (evaluation.queries, evaluation.passages):
        counts = Counter(text for texts in side.values() for text in texts.values())
        assert [text for text, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_are_well_formed(language: str, evaluation: atlas.AtlasEvaluation, rows: list[PairRow]) -> None:
    questions = [*evaluation.queries[language].values(), *(row.queries[language] for row in rows)]
    passages = [*evaluation.passages[language].values(), *(row.passages[language] for row in rows)]
    for text in questions + passages:
        assert not re.search(r"[{}\u00ad]|\s{2}|^\s|\s$", text), text
        assert text == unicodedata.normalize("NFC", text), text
        assert not text[0].islower(), text
    for text in questions:
        assert text.endswith(QUESTION_ENDS.get(language, "?")), text
    for text in passages:
        assert text.endswith(STATEMENT_ENDS.get(language, ".")), text
        assert not re.search(r"[?؟？]", text), text
    if language == "th":
        assert not any(re.search(r"[.?]", text) for text in questions + passages)
    if language == "es":
        assert all(text.count("¿") == text.count("?") == 1 for text in questions)
    if language == "zh":
        assert not any(re.search(r"[,.?;:]", text) for text in questions + passages)


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_are_written_in_the_script_of_their_language(
    language: str, evaluation: atlas.AtlasEvaluation
) -> None:
    for text in evaluation.queries[language].values():
        letters = [unicodedata.name(letter).split()[0] for letter in text if letter.isalpha()]
        share = sum(name == SCRIPTS.get(language, "LATIN") for name in letters) / len(letters)
        assert share > 0.7, text


def test_templates_say_the_same_in_every_language() -> None:
    for kind, (subject, answer) in KINDS.items():
        for language, templates in load_templates().items():
            assert len(templates.questions[kind]) == 3, (language, kind)
            assert len(templates.passages[kind]) == 2, (language, kind)
            for question in templates.questions[kind]:
                assert re.findall(r"{(\w+)}", question) == [subject], (language, question)
            for passage in templates.passages[kind]:
                assert sorted(re.findall(r"{(\w+)}", passage)) == sorted((subject, answer)), (language, passage)


def test_every_city_and_correction_of_a_name_is_used() -> None:
    cities = {fact.subject for fact in load_facts() if fact.kind == "city"}
    assert len(cities) > 130
    used = {tuple(entity.split(":", 1)) for fact in load_facts() for entity in (fact.subject, fact.answer)}
    for language, templates in load_templates().items():
        for slot, names in templates.names.items():
            assert {(slot, key) for key in names} <= used, language


def test_facts_known_to_be_true() -> None:
    answers = {fact.id: fact.answer for fact in load_facts()}
    assert answers["currency/CH"] == "currency:CHF"
    assert answers["official_language/AT"] == "language:de"
    assert answers["region/KE"] == "region:014"
    assert (answers["first_day/DE"], answers["first_day/EG"], answers["first_day/US"]) == ("day:0", "day:5", "day:6")
    assert answers["city/Africa/Cairo"] == "country:EG"
    assert answers["script/am"] == "script:Ethi"
    assert answers["home/br"] == "country:FR"
    assert answers["own_name/fi"] == "own_name:suomi"
    assert answers["currency_code/CHF"] == "code:CHF"
    # Locales disagree, several languages are official, a currency changed after CLDR 47, a passage is of its own.
    assert not {"first_day/AO", "official_language/CH", "currency/BG", "home/fi"} & answers.keys()


def test_a_country_has_one_first_day_in_all_of_its_languages() -> None:
    days: dict[str, set[str]] = {}
    for locale in map(Locale.parse, locale_identifiers()):
        days.setdefault(str(locale.territory), set()).add(f"day:{locale.first_week_day}")
    stated = {fact.subject.partition(":")[2]: fact.answer for fact in load_facts() if fact.kind == "first_day"}
    assert stated == {country: answer for country, answer in stated.items() if days[country] == {answer}}
    assert len(stated) > 100


def test_first_letters_are_raised_as_turkish_does() -> None:
    assert render("{name} adı", {"name": "ispanya"}, "tr") == "İspanya adı"
    assert render("{name} ist", {"name": "iran"}, "de") == "Iran ist"


def test_revision_and_fingerprint_do_not_depend_on_the_process(evaluation: atlas.AtlasEvaluation) -> None:
    code = "from mixlingua.data import atlas; atlas.evaluation_split(); print(atlas.AtlasReader().fingerprint())"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        result = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert result.stdout.strip() == atlas.AtlasReader().fingerprint()


def test_other_texts_than_those_of_the_revision_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixlingua.data.atlas.generate.REVISION", "0" * 12)
    with pytest.raises(ValueError, match=r"requirements\.txt"):
        atlas.evaluation_split.__wrapped__()
