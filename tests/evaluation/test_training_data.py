"""Benchmarks from training data: the atlas, and held-out rows: which, what is relevant, and what cannot be asked."""

import logging
from dataclasses import dataclass

import pytest

from mixlingua.data.atlas import REVISION, evaluation_split
from mixlingua.data.build import build_store
from mixlingua.data.groups import hold_out
from mixlingua.data.rows import PairRow
from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.benchmarks.training_data import atlas, held_out


def test_the_answer_is_relevant_in_every_language_of_the_atlas():
    task, part = atlas(), evaluation_split()
    assert task.revision == REVISION and len(task.languages) == 11
    for language in task.languages:
        for query, grades in task.qrels[language].items():
            assert grades == {f"{other}:{part.relevant[query]}": 1 for other in task.languages}
    answer = part.relevant[next(iter(task.queries["de"]))]
    assert task.passages["de"][f"de:{answer}"] == part.passages["de"][answer]


@dataclass
class Rows:
    listed: list[PairRow]
    name: str = "listed"

    def fingerprint(self):
        return repr(self.listed)

    def rows(self):
        return iter(self.listed)


def row(number, languages=("de", "en"), *, query=None, passage=None):
    return PairRow(
        id=f"r{number}",
        queries={language: query or f"query {number} {language}" for language in languages},
        passages={language: passage or f"passage {number} {language}" for language in languages},
        passage_id=f"p{number}",
        split_key=f"document {number // 2}",
    )


@pytest.fixture
def make(tmp_path):
    """The task of some rows, nearly all of which are held out (a store of no training rows is refused)."""

    def make(*rows, fraction=0.9, count=1000, languages=("de", "en"), **more):
        sources = {"listed": Rows([*rows, *(row(number) for number in range(100, 140))]), **more}
        return held_out(sources, fraction, count, languages)

    return make


def held(tmp_path, rows, fraction):
    """Ids of the held-out and of the training rows."""
    ((train, validation),) = hold_out([build_store(Rows(rows), tmp_path)], fraction, tmp_path)
    return [set(store.ids(range(store.num_rows))) for store in (validation, train)]


def test_the_rows_are_those_that_training_leaves_out(tmp_path):
    rows = [row(number) for number in range(200)]
    task = held_out({"source": Rows(rows)}, 0.2, 1000, ["de", "en"])
    out, trained = held(tmp_path, rows, 0.2)
    assert out and trained
    assert set(task.queries["de"]) == set(task.queries["en"]) == {f"source:{name}" for name in out}
    assert task.settings == ("monolingual", "crosslingual", "multilingual")
    # Training that holds out more leaves out these rows too.
    assert not {key.removeprefix("source:") for key in task.queries["de"]} & held(tmp_path, rows, 0.4)[1]


def test_a_row_has_its_passages_of_all_languages_as_answers(make):
    task = make()
    for language in ("de", "en"):
        for key, text in task.queries[language].items():
            number = key.removeprefix("listed:r")
            assert text == f"query {number} {language}"
            assert task.qrels[language][key] == {f"de:{key}": 1, f"en:{key}": 1}
            assert task.passages["en"][f"en:{key}"] == f"passage {number} en"


# One text, as files may have it: decomposed, with blanks around it, with other white space in it.
SAME = ["Überblick \u00e9", "U\u0308berblick e\u0301", " Überblick \u00e9 ", "Überblick\u00a0\n\u00e9"]


@pytest.mark.parametrize("texts", [["overview"], SAME])
def test_rows_that_ask_the_same_share_their_answers(make, texts):
    task = make(*(row(number, query=texts[number % len(texts)]) for number in range(30)))
    alike = [key for key, text in task.queries["de"].items() if text in texts]
    assert len(alike) > 10
    expected = {f"{language}:{key}": 1 for key in alike for language in ("de", "en")}
    assert all(task.qrels["de"][key] == expected for key in alike)


@pytest.mark.parametrize("texts", [["the same"], SAME])
def test_equal_passages_are_one_candidate(make, texts):
    task = make(*(row(number, passage=texts[number % len(texts)]) for number in range(30)))
    shared = [key for key, text in task.passages["de"].items() if text in texts]
    asking = [key for key in task.queries["de"] if int(key.removeprefix("listed:r")) < 30]
    assert len(shared) == 1 and len(asking) > 10
    assert all(task.qrels["de"][key] == {shared[0]: 1, shared[0].replace("de", "en", 1): 1} for key in asking)


def test_sentences_with_their_translations_and_lone_languages_are_left_out(make, caplog):
    caplog.set_level(logging.INFO)
    bitext = Rows([row(n, query=f"text é {n}", passage=f"text e\u0301 {n} ") for n in range(40)], name="bitext")
    lone = [row(number, languages=("de",)) for number in range(30)]
    task = make(*lone, bitext=bitext)
    assert all(int(key.removeprefix("listed:r")) >= 100 for key in task.queries["de"])
    assert "left out, having no row with a query of its own: bitext" in caplog.text
    assert len(make(*lone, languages=("de",)).queries["de"]) > len(task.queries["de"])
    assert make(*lone, languages=("de",)).settings == ("monolingual",)


def test_no_more_rows_than_asked_for_of_each_source_and_always_the_same(make):
    other = Rows([row(number) for number in range(40)], name="other")
    task = make(count=5, second=other)
    of_source = [key.partition(":")[0] for key in task.queries["de"]]
    assert (of_source.count("listed"), of_source.count("second")) == (5, 5)
    assert make(count=5, second=other) == task
    assert make(count=6, second=other).revision != task.revision
    assert set(task.queries["de"]) < set(make(count=6, second=other).queries["de"])


def test_all_languages_of_the_sources_are_the_default(make):
    assert make(*(row(number, ("de", "el")) for number in range(30)), languages=None).languages == ("de", "el", "en")


def test_what_cannot_be_asked_is_refused(make):
    with pytest.raises(ConfigError, match=r"data.validation_fraction=0\.0 holds nothing out"):
        make(fraction=0.0)
    for count in (0, 1.5, True):
        with pytest.raises(ConfigError, match=f"rows={count}: a whole number of 1 or more is needed"):
            make(count=count)
    with pytest.raises(ConfigError, match="task held_out: unknown language 'xx'"):
        make(languages=["de", "xx"])
    with pytest.raises(DataError, match=r"no held-out row of listed has .* in two of de, ru; the data have de, en"):
        make(languages=["de", "ru"])


def test_languages_of_the_data_that_are_not_measured_are_told(make, caplog):
    make(languages=["de", "en"])
    assert "not measured" not in caplog.text
    make(*(row(number, ("de", "en", "am")) for number in range(30)), languages=["de", "en"])
    assert "held_out: not measured in am; evaluation.tasks.held_out.languages=null takes all" in caplog.text


def test_languages_that_no_row_asks_in_are_left_out(make, caplog):
    bitext = Rows([row(n, ("de", "ru"), query=f"text {n}", passage=f"text {n}") for n in range(40)], name="bitext")
    assert make(languages=["de", "en", "ru"], bitext=bitext).languages == ("de", "en")
    assert "held_out: no held-out row of listed, bitext is in ru" in caplog.text
    caplog.clear()
    assert make(languages=None, bitext=bitext).languages == ("de", "en")
    assert "is in" not in caplog.text, "nobody asked for Russian"
