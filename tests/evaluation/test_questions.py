"""Own questions before the sentences of own paragraphs."""

import json

import pytest
import torch

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


def test_belebele_has_sentences_in_eleven_languages(shared_data):
    task = answer_sentences(shared_data / "qa" / "belebele.jsonl.gz", "belebele_sentences")
    assert task.num_queries == {"de": 898, "en": 898}
    assert len(task.passages) == 11 and min(task.num_passages.values()) > 1_700
