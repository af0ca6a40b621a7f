"""Questions with passages: which languages a row has, what a passage is, and what may not be trained on."""

import json

import pytest

from mixlingua.data.build import build_store
from mixlingua.data.readers.qa import DEVELOPMENT, QaReader
from mixlingua.errors import ConfigError, DataError

SENTENCES = ["Bonn ist alt.", "Köln liegt am Rhein.", "Auch Köln.", "Ende.", "!"]


BOTH = {"de": "Wo?", "en": "Where?"}


def row(name="q1", **fields):
    return {
        "id": name,
        "doc": "Rhein",
        "queries": {"de": "Wo liegt Köln?"},
        "passages": {"de": " ".join(SENTENCES)},
        "answer": "Köln",
        "sentences": SENTENCES,
        "answer_sentence": 1,
    } | fields


@pytest.fixture
def reader(tmp_path):
    def make(rows, **options):
        (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
        return QaReader(tmp_path, **{"names": ["own"]} | options)

    return make


def test_a_question_asks_for_its_paragraph_in_the_languages_that_both_have(reader):
    parallel = {"queries": {"de": "Wo?", "en": "Where?"}, "passages": {"ar": "هنا", "de": "Hier.", "en": "Here."}}
    first, second, third = reader([row("a"), row("b"), row("c", **parallel)]).rows()
    assert (first.queries, first.passages) == ({"de": "Wo liegt Köln?"}, {"de": " ".join(SENTENCES)})
    assert first.passage_id == second.passage_id != third.passage_id
    assert (first.split_key, first.negatives) == ("Rhein", {})
    assert third.queries == {"de": "Wo?", "en": "Where?"} and third.passages == {"de": "Hier.", "en": "Here."}


def test_a_question_asks_for_the_sentence_that_answers(reader, caplog):
    parallel = row("b", queries={"de": "?", "en": "?"}, passages={"de": "a b", "en": "c d"}, answer_sentence=0)
    parallel["sentences"] = {"de": ["a", "b"], "en": ["c", "d"]}
    rows = [row("a"), parallel, row("c", answer_sentence=-1), row("d", answer_sentence=0)]
    first, second, third = reader(rows, passage="sentence").rows()
    assert first.passages == {"de": "Köln liegt am Rhein."}
    assert second.passages == {"de": "a", "en": "c"}
    assert third.passages == {"de": "Bonn ist alt."} and third.passage_id != first.passage_id
    assert "1 without a sentence that answers" in caplog.text


def test_other_sentences_that_do_not_answer_are_hard_negatives(reader, caplog):
    (only,) = reader([row("a")], passage="sentence", num_other_sentences=2).rows()
    assert only.negatives == {"de": ["Bonn ist alt.", "Ende."]}, "nearest first, without the answer's text"
    rows = [row("a"), row("b", sentences=SENTENCES[:2])]
    (only,) = reader(rows, passage="sentence", num_other_sentences=2).rows()
    assert only.id == "a" and "1 with fewer than 2 other sentences" in caplog.text


def test_development_data_is_refused_unless_it_is_asked_for(tmp_path):
    for name in DEVELOPMENT:
        with pytest.raises(ConfigError, match=rf"data\.sources\.qa\.names: '{name}' is for development.*validation"):
            QaReader(tmp_path, names=[name])
        QaReader(tmp_path, names=[name], development=True)


def test_wrong_options_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.sources\.qa\.passage=sentences: .*Did you mean 'sentence'"):
        QaReader(tmp_path, passage="sentences")
    with pytest.raises(ConfigError, match=r"data\.sources\.qa\.num_other_sentences is 1.*passage=sentence"):
        QaReader(tmp_path, num_other_sentences=1)
    with pytest.raises(ConfigError, match=r"data\.sources\.qa\.names is empty"):
        QaReader(tmp_path, names=[])
    with pytest.raises(DataError, match=r"ar_arcd\.jsonl\.gz: no such file"):
        QaReader(tmp_path).fingerprint()


def test_rows_of_a_fold_and_the_fingerprint(reader):
    rows = [row("a", fold="dev"), row("b", fold="train"), row("c")]
    assert [found.id for found in reader(rows).rows()] == ["b", "c"]
    assert [found.id for found in reader(rows, fold=None).rows()] == ["a", "b", "c"]
    numbered = [row("a", fold=0, doc=0), row("b", fold=1), row("c", fold=None)]
    assert [found.id for found in reader(numbered, fold="1").rows()] == ["b", "c"]
    assert next(reader(numbered, fold="0").rows()).split_key == "0"
    options = [{}, {"passage": "sentence"}, {"passage": "sentence", "num_other_sentences": 1}, {"fold": "dev"}]
    assert len({reader(rows, **chosen).fingerprint() for chosen in options}) == 4


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row("x", queries={}), 'no "queries" for row "x"'),
        (row("x", queries={"en": "?"}), "row 'x' has no text"),
        (row("x", answer_sentence=None), "answer_sentence of row 'x' is None"),
        (row("x", answer_sentence=True), "answer_sentence of row 'x' is True"),
        (row("x", answer_sentence=9), "row 'x' has no sentence 9 in 'de'"),
        (row("x", sentences={"en": ["a"]}), "row 'x' has no sentence 1 in 'de'"),
        (row("x", sentences="Ende."), "sentences of row 'x' must be lists of texts by language"),
        (row("x", queries=BOTH, passages=BOTH), "sentences of row 'x' must be lists of texts by language"),
        (row("x", fold=[1]), r"fold is \[1\]"),
        (row("q1"), "duplicate id"),
    ],
)
def test_bad_rows_are_named_by_file_and_line(reader, bad, message):
    with pytest.raises(DataError, match=message) as caught:
        list(reader([row("q1"), bad], passage="sentence").rows())
    assert "own.jsonl:2: " in str(caught.value)


def test_the_real_files(shared_data, tmp_path):
    folder = shared_data / "qa"
    reader = QaReader(folder, passage="sentence", num_other_sentences=1)
    store = build_store(reader, tmp_path, progress=False)
    assert (store.num_rows, store.languages, store.min_negatives) == (21542, ("ar", "en", "ru", "th", "zh"), 1)
    counts = {"ar_arcd": 1395, "en_tydi": 4096, "zh_drcd": 7003}
    assert {name: sum(1 for _ in QaReader(folder, names=[name]).rows()) for name in counts} == counts
    belebele = QaReader(folder, names=["belebele"], fold=None, development=True)
    assert {tuple(sorted(found.queries)) for found in belebele.rows()} == {("de", "en")}
