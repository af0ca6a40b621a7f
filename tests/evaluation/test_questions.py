"""Own questions before the sentences of own paragraphs."""

import json

import pytest
import torch

import mixlingua
from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.benchmarks.questions import answer_sentences
from mixlingua.evaluation.engines.in_memory import evaluate

SENTENCES = {"de": ["Eins.", "Zwei.", "..."], "en": ["One.", "Two.", "..."], "fr": ["Un.", "Deux.", "..."]}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(name, sentences=SENTENCES, queries=("de", "en"), **more):
    passages = {language: " ".join(texts) for language, texts in sentences.items()}
    return {"id": name, "queries": {language: f"{name} {language}?" for language in queries}, "passages": passages,
            "sentences": sentences, **more}  # fmt: skip


def test_every_sentence_with_letters_is_right_in_every_language(tmp_path):
    task = answer_sentences(write(tmp_path / "own.jsonl", row("a")), "own")
    assert (task.languages, task.passage_languages) == (("de", "en"), ("de", "en", "fr"))
    assert task.passages["fr"] == {"fr:a.0": "Un.", "fr:a.1": "Deux."}
    assert set(task.qrels["de"]["a"]) == {f"{language}:a.{number}" for language in SENTENCES for number in (0, 1)}


def test_a_marked_sentence_alone_is_right_and_equal_sentences_are_one_candidate(tmp_path):
    other = {"de": ["Drei.", " Zwei. "], "en": ["Three.", "Two."]}
    task = answer_sentences(write(tmp_path / "own.jsonl", row("a", answer_sentence=1), row("b", other)), "own")
    assert set(task.qrels["en"]["a"]) == {"de:a.1", "en:a.1", "fr:a.1"}
    assert set(task.qrels["en"]["b"]) == {"de:b.0", "de:a.1", "en:b.0", "en:a.1"}
    assert set(task.passages["de"]) == {"de:a.0", "de:a.1", "de:b.0"}


def test_chosen_languages_and_a_language_of_passages_alone_are_measured(tmp_path):
    path = write(tmp_path / "own.jsonl", row("a"), row("b", {"de": ["Drei."], "fr": ["Trois."]}, queries=["de"]))
    task = answer_sentences(path, "own", languages=["de", "fr"])
    vector_by_text = {"a de?": [1.0, 0.0], "b de?": [0.0, 1.0], "Drei.": [0.0, 1.0], "Trois.": [0.0, 1.0]}
    result = evaluate(task, lambda texts, side: torch.tensor([vector_by_text.get(text, [1.0, 0.0]) for text in texts]))
    rows = {(one.setting, one.query_language, one.passage_language) for one in result.rows if one.metric == "map"}
    assert rows == {("monolingual", "de", "de"), ("crosslingual", "de", "fr"), ("multilingual", "de", "all")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentences": "Eins."}, r"own\.jsonl:1: sentences of row 'a' must be lists of texts by language"),
        ({"answer_sentence": "1"}, r"own\.jsonl:1: answer_sentence of row 'a' is '1'"),
        ({"answer_sentence": 7}, r"own\.jsonl:1: no sentence of row 'a' answers its question"),
    ],
)
def test_rows_of_another_shape_are_refused_by_file_and_line(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        answer_sentences(write(tmp_path / "own.jsonl", row("a") | change), "own")


def test_a_language_that_the_file_lacks_is_refused(tmp_path):
    path = write(tmp_path / "own.jsonl", row("a"))
    with pytest.raises(ConfigError, match="task own: no language 'tr'; it has de, en, fr"):
        answer_sentences(path, "own", languages=["tr"])
    with pytest.raises(ConfigError, match=r"has no question in fr"):
        answer_sentences(path, "own", languages=["fr"])


NILE = {
    "de": ["Kairo liegt am Nil.", "Dort wohnen zehn Millionen Menschen.", "Der Nil ist lang."],
    "en": ["Cairo lies on the Nile.", "Ten million people live there.", "The Nile is long."],
    "fr": ["Le Caire est sur le Nil.", "Dix millions de gens y vivent.", "Le Nil est long."],
}


@pytest.mark.parametrize(
    ("answers", "number"),
    [
        ({"en": "ten million"}, 1),
        ({"en": "Ten million of people", "de": "zehn Millionen"}, 1),  # inflected and with further words
        ({"en": "Ten million", "de": "Kairo"}, None),  # the languages disagree
        ({"en": "the Nile"}, None),  # said twice
        ({"en": "Cairo, Alexandria, Suez"}, None),  # mostly something else
        ({"tr": "on milyon"}, None),  # in no language of the paragraph
        ({"en": "It is so."}, None),  # no word of three letters or more
    ],
)
def test_the_sentence_of_an_answer_is_told_by_its_words(tmp_path, answers, number):
    told = row("a", NILE, answers=answers)
    path = write(tmp_path / "own.jsonl", told, row("b", answer_sentence=0))
    task = answer_sentences(path, "own", locate=True)
    assert task.passages["fr"].keys() == {"fr:a.0", "fr:a.1", "fr:a.2", "fr:b.0", "fr:b.1"}
    if number is None:
        assert task.queries["en"].keys() == {"b"}
    else:
        assert task.qrels["de"]["a"].keys() == {f"{language}:a.{number}" for language in NILE}
    assert task.revision != answer_sentences(path, "own").revision


def test_sentences_that_do_not_match_across_languages_tell_no_answer(tmp_path):
    cut = row("a", NILE | {"fr": ["Le Caire est sur le Nil."]}, answers={"en": "ten million"})
    task = answer_sentences(write(tmp_path / "own.jsonl", cut, row("b", answer_sentence=0)), "own", locate=True)
    assert task.queries["en"].keys() == {"b"}


def test_questions_that_match_an_expression_are_left_out(tmp_path):
    path = write(tmp_path / "own.jsonl", row("which is not"), row("b"))
    task = answer_sentences(path, "own", left_out=r"\bnot\b")
    assert task.queries["de"].keys() == {"b"} and "en:which is not.0" in task.passages["en"]
    with pytest.raises(ConfigError, match=r"left_out='\(' is no regular expression"):
        answer_sentences(path, "own", left_out="(")
    with pytest.raises(ConfigError, match="none that is not left out"):
        answer_sentences(path, "own", left_out=".")


def test_a_fold_asks_its_questions_alone_among_the_sentences_of_all(tmp_path):
    other = {"de": ["Drei."], "en": ["Three."]}
    path = write(tmp_path / "own.jsonl", row("a", fold="dev"), row("b", other, fold="train"), row("c", fold="dev"))
    of_all, dev, train = (answer_sentences(path, "own", fold=fold) for fold in (None, "dev", "train"))
    assert [task.queries["en"].keys() for task in (of_all, dev, train)] == [{"a", "b", "c"}, {"a", "c"}, {"b"}]
    assert dev.passages == train.passages == of_all.passages and "en:b.0" in dev.passages["en"]
    assert train.qrels["de"] == {"b": {"de:b.0": 1, "en:b.0": 1}}
    assert len({task.revision for task in (of_all, dev, train)}) == 3 and dev.name == of_all.name
    with pytest.raises(ConfigError, match=r"task own: no fold 'dev2'; .*own\.jsonl has dev, train\. Did you mean"):
        answer_sentences(path, "own", fold="dev2")
    path = write(tmp_path / "without.jsonl", row("a", fold="dev"), row("b"))
    with pytest.raises(DataError, match=r"without\.jsonl:2: fold of row 'b' is None; task own with fold=dev needs"):
        answer_sentences(path, "own", fold="dev")
    assert answer_sentences(path, "own").queries["en"].keys() == {"a", "b"}


def test_belebele_has_sentences_in_eleven_languages(shared_data):
    task = answer_sentences(shared_data / "qa" / "belebele.jsonl.gz", "belebele_sentences")
    assert task.num_queries == {"de": 898, "en": 898}
    assert len(task.passages) == 11 and min(task.num_passages.values()) > 1_700
    told = mixlingua.benchmark("development", data=shared_data)
    assert told.num_passages == task.num_passages and told.num_queries["en"] == told.num_queries["de"]
    assert all(len(relevant) == 11 for relevant in told.qrels["en"].values())
    dev = mixlingua.benchmark("development", data=shared_data, fold="dev")
    assert (told.num_queries["en"], dev.num_queries["en"]) == (353, 353 - 182) and dev.passages == told.passages
