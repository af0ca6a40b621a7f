"""XQuAD-R and MLQA-R: the real files where they are, exactly shaped small ones elsewhere."""

import hashlib
import json
import logging
import re

import pytest

from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.benchmarks import lareqa
from mixlingua.evaluation.benchmarks.lareqa import answering_sentence, mlqa_r, xquad_r


def paragraph(sentences, **answers):
    """A paragraph of sentences with two blanks between them; answers: question id -> a text that occurs in it."""
    context = "  ".join(sentences)
    starts = [context.index(sentence) for sentence in sentences]
    return {
        "context": context,
        "qas": [
            {"question": f"{key}?", "answers": [{"text": text, "answer_start": context.index(text)}], "id": key}
            for key, text in answers.items()
        ],
        "sentence_breaks": [[start, start + len(text)] for start, text in zip(starts, sentences, strict=True)],
        "sentences": sentences,
    }


MLQA = {
    "de": [[paragraph(["Berlin ist groß.", "Bonn ist klein."], a="Bonn", b="groß")]],
    "en": [[paragraph(["Bonn is small."], a="small"), paragraph(["Rome is old.", "Rome is big."], c="big")]],
    "es": [
        [paragraph(["Es pequeña Bonn."], a="Es")],
        [paragraph(["Grande.", "Roma es grande."], b="Grande", c="Roma")],
    ],
}


@pytest.fixture
def folder(tmp_path):
    for language, articles in MLQA.items():
        data = [{"title": "t", "paragraphs": paragraphs} for paragraphs in articles]
        (tmp_path / f"{language}.json").write_text(json.dumps({"version": 1.0, "data": data}), encoding="utf-8")
    return tmp_path


def test_parallel_answers_share_question_ids(folder):
    task = mlqa_r(folder, languages=["de", "en", "es"])
    assert task.queries["de"] == {"a": "a?", "b": "b?"}
    assert task.num_passages == {"de": 2, "en": 3, "es": 3}
    a = {"de:0.0.1": 1, "en:0.0.0": 1, "es:0.0.0": 1}
    b = {"de:0.0.0": 1, "es:1.0.0": 1}
    c = {"en:0.1.1": 1, "es:1.0.1": 1}
    assert task.qrels == {"de": {"a": a, "b": b}, "en": {"a": a, "c": c}, "es": {"a": a, "b": b, "c": c}}
    assert task.passages["es"]["es:1.0.1"] == "Roma es grande."
    assert {key: own.keys() for key, own in task.contexts.items()} == {
        key: own.keys() for key, own in task.passages.items()
    }
    assert task.contexts["es"]["es:1.0.1"] == task.contexts["es"]["es:1.0.0"] == "Grande.  Roma es grande."
    assert task.contexts["en"]["en:0.0.0"] == "Bonn is small."


def test_candidates_with_their_context(folder):
    plain, task = (mlqa_r(folder, languages=["de", "en"], candidates=kind) for kind in lareqa.CANDIDATES)
    assert task.passages["de"]["de:0.0.1"] == "Bonn ist klein.\nBerlin ist groß.  Bonn ist klein."
    assert task.passages["en"]["en:0.1.0"] == "Rome is old.\nRome is old.  Rome is big.", "its own paragraph only"
    assert (task.queries, task.qrels, task.files) == (plain.queries, plain.qrels, plain.files)
    assert task.revision == f"{plain.revision}+sentence_context", "comparisons must refuse to mix the two"
    assert mlqa_r(folder, languages=["de", "en"]) == plain


def test_the_first_articles_alone(folder, monkeypatch):
    monkeypatch.setattr(lareqa, "XQUAD_R", lareqa.MLQA_R)
    whole, first = (xquad_r(folder, languages=["de", "es"], articles=count) for count in (None, 1))
    assert first.queries == {"de": {"a": "a?", "b": "b?"}, "es": {"a": "a?"}}
    assert first.passages["es"] == {"es:0.0.0": "Es pequeña Bonn."}
    assert first.qrels == {
        "de": {"a": {"de:0.0.1": 1, "es:0.0.0": 1}, "b": {"de:0.0.0": 1}},
        "es": {"a": {"de:0.0.1": 1, "es:0.0.0": 1}},
    }
    assert first.revision == f"{whole.revision}+first1"
    for count in (0, 2):
        with pytest.raises(ConfigError, match=rf"articles={count}: 1 to 1, the first so many"):
            xquad_r(folder, languages=["de", "es"], articles=count)


def test_unknown_candidates_are_refused(folder):
    message = r"mlqa_r\.candidates=sentences: it is one of sentence, sentence_context. Did you mean 'sentence'"
    with pytest.raises(ConfigError, match=message):
        mlqa_r(folder, languages=["de"], candidates="sentences")


def test_other_files_have_a_revision_of_their_own(folder, caplog):
    with caplog.at_level(logging.WARNING):
        first = mlqa_r(folder, languages=["de", "en"])
    assert "de.json" in caplog.text and "differ from the published files" in caplog.text
    assert first.revision.startswith("local-")
    assert first.files["de.json"] == hashlib.sha256((folder / "de.json").read_bytes()).hexdigest()
    (folder / "de.json").write_text((folder / "de.json").read_text().replace("Berlin", "Wien ist"))
    assert mlqa_r(folder, languages=["en"]).revision != first.revision


def test_one_language_has_one_setting(folder):
    assert mlqa_r(folder, languages=["de"]).settings == ("monolingual",)


@pytest.mark.parametrize(
    ("start", "expected"),
    [(0, 0), (9, 0), (10, 0), (11, 1), (12, 1), (29, 1), (30, 1), (31, 2), (39, 2), (99, 2)],
)
def test_the_first_sentence_that_does_not_end_before_the_answer_holds_it(start, expected):
    assert answering_sentence([(0, 10), (12, 30), (30, 40)], start) == expected


def change_first(folder, change):
    content = json.loads((folder / "de.json").read_text())
    change(content["data"][0]["paragraphs"][0])
    (folder / "de.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop("sentences"), r"paragraphs\[0\]: 'sentences' is None, and the SQuAD format has a list there"),
        (
            lambda p: p["qas"][0].update(question=" "),
            r"qas\[0\]: 'question' is ' ', and the SQuAD format has a text there",
        ),
        (lambda p: p["qas"].append("b"), r"qas\[2\]: 'id' is None"),
        (lambda p: p["qas"][0].update(id=True), r"qas\[0\]: 'id' is True; it must be a text or a whole number"),
        (lambda p: p["sentence_breaks"].pop(), "2 sentences with 1 sentence_breaks"),
        (lambda p: p["sentence_breaks"].__setitem__(0, [1]), "every sentence needs"),
        (lambda p: p["qas"][1].update(id="a"), r"qas\[1\]: question id 'a' occurs twice"),
        (lambda p: p["qas"][0].update(answers=[]), "question 'a' has no answer"),
        (
            lambda p: p["qas"][0]["answers"][0].update(text="Ulm", answer_start=9),
            "question 'a': its answer 'Ulm' does not stand",
        ),
        (lambda p: p["qas"].clear(), "no questions"),
    ],
)
def test_malformed_files_are_named(folder, change, message):
    change_first(folder, change)
    with pytest.raises(DataError, match=rf"de\.json: .*{message}"):
        mlqa_r(folder, languages=["de"])


def test_questions_whose_answer_is_misplaced_are_left_out_where_asked(folder, caplog):
    """In every language: the question has no answer in the file's, and its revision is another."""
    change_first(folder, lambda p: p["qas"][0]["answers"][0].update(text="Ulm", answer_start=9))
    with pytest.raises(DataError, match=r"evaluation\.tasks\.mlqa_r\.misplaced=leave_out counts such questions"):
        mlqa_r(folder, languages=["de", "en", "es"])
    with caplog.at_level(logging.WARNING):
        task = mlqa_r(folder, languages=["de", "en", "es"], misplaced="leave_out")
    assert task.queries["de"] == {"b": "b?"}
    assert task.qrels["en"]["a"] == {"en:0.0.0": 1, "es:0.0.0": 1}
    assert re.search(r"task mlqa_r: 1 question left out, whose answers do not stand .*/de\.json\n", caplog.text)
    assert task.revision.endswith("+misplaced_left_out")
    assert not mlqa_r(folder, languages=["en", "es"], misplaced="leave_out").revision.endswith("left_out")
    with pytest.raises(ConfigError, match=r"mlqa_r\.misplaced=drop: it is one of refuse, leave_out"):
        mlqa_r(folder, languages=["de"], misplaced="drop")


def test_broken_files_are_named_with_line(folder):
    (folder / "de.json").write_text('{"data":\n [1, }')
    with pytest.raises(DataError, match=r"de\.json: malformed JSON .*line 2"):
        mlqa_r(folder, languages=["de"])
    (folder / "de.json").write_bytes(b'{"data": "\xff"}')
    with pytest.raises(DataError, match=r"de\.json: not valid UTF-8 at byte 10"):
        mlqa_r(folder, languages=["de"])


def test_answers_between_adjoining_sentences_count_for_the_first_as_in_the_reference(shared_data):
    shifted = {}
    for language in lareqa.XQUAD_R.published:
        content = json.loads((shared_data / "xquad-r" / f"{language}.json").read_text(encoding="utf-8"))
        paragraphs = [paragraph for article in content["data"] for paragraph in article["paragraphs"]]
        shifted[language] = sum(
            breaks[answering_sentence(breaks, start)][1] == start
            for paragraph in paragraphs
            for breaks in [paragraph["sentence_breaks"]]
            for start in (question["answers"][0]["answer_start"] for question in paragraph["qas"])
        )
    assert {language: count for language, count in shifted.items() if count} == {"zh": 29, "hi": 1}


def test_the_real_xquad_r(shared_data):
    task = xquad_r(shared_data / "xquad-r")
    assert task.revision == lareqa.COMMIT, "the pinned checksums are those of the files"
    assert task.num_passages == {code: known["sentences"] for code, known in lareqa.XQUAD_R.published.items()}
    assert set(task.num_queries.values()) == {1190}
    assert all(len(grades) == 11 for by_query in task.qrels.values() for grades in by_query.values())
    assert task.passages["de"]["de:0.0.0"].startswith("Die Verteidigung der Panthers gab nur 308 Punkte ab")
    assert task.qrels["zh"]["56beb4343aeaaa14008c925b"]["de:0.0.0"] == 1


def test_the_real_xquad_r_with_context(shared_data):
    plain = xquad_r(shared_data / "xquad-r")
    task = xquad_r(shared_data / "xquad-r", candidates="sentence_context")
    assert task.revision == f"{lareqa.COMMIT}+sentence_context"
    strays = {}
    for language, texts in task.passages.items():
        for key, text in texts.items():
            sentence = plain.passages[language][key]
            assert text.startswith(f"{sentence}\n")
            context = text[len(sentence) + 1 :]
            strays[language] = strays.get(language, 0) + (" ".join(sentence.split()) not in " ".join(context.split()))
    # One Turkish paragraph of the public file has a damaged fraction sign, which its sentence has not.
    assert {language: count for language, count in strays.items() if count} == {"tr": 1}
