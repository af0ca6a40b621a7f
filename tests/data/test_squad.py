import json

import pytest

from mixlingua.data.readers.squad import SquadReader
from mixlingua.errors import ConfigError, DataError

ENGLISH = "Rain fell. It was cold. Nobody came."
GERMAN = "Es fiel Regen, und es war kalt. Niemand kam."


def question(name, text, context, answer, **more):
    return {"id": name, "question": text, "answers": [{"answer_start": context.index(answer), "text": answer}]} | more


def document(context, *questions, **more):
    return {"data": [{"title": "t", "paragraphs": [{"context": context, "qas": list(questions)} | more]}]}


@pytest.fixture
def folder(tmp_path):
    english = document(
        ENGLISH,
        question("1", "What fell?", ENGLISH, "Rain"),
        question("2", "How was it?", ENGLISH, "cold"),
        question("3", "Who came?", ENGLISH, "Nobody"),
        {"id": "4", "question": "Why?", "answers": [], "is_impossible": True},
    )
    german = document(
        GERMAN,
        question("2", "Wie war es?", GERMAN, "kalt"),
        question("1", "Was fiel?", GERMAN, "Regen"),
        question("3", "Wer kam?", GERMAN, "Niemand"),
    )
    (tmp_path / "en.json").write_text(json.dumps(english))
    (tmp_path / "de.json").write_text(json.dumps(german))
    return tmp_path


def test_sentence_with_the_answer_is_the_passage(folder):
    rows = list(SquadReader(folder, "sentence").rows())
    assert [row.id for row in rows] == ["1", "2", "3"]
    assert [row.passages["en"] for row in rows] == ["Rain fell.", "It was cold.", "Nobody came."]
    assert rows[0].queries == {"en": "What fell?", "de": "Was fiel?"}
    assert rows[0].passages["de"] == rows[1].passages["de"] == "Es fiel Regen, und es war kalt."
    assert {row.split_key for row in rows} == {"0.0"}


def test_questions_that_share_a_sentence_in_any_language_share_an_id(folder):
    first, second, third = ({row.passage_id, *row.touches} for row in SquadReader(folder, "sentence").rows())
    assert first & second  # one German sentence
    assert not first & third


def test_paragraph_is_the_passage_where_asked(folder):
    rows = list(SquadReader(folder, "paragraph").rows())
    assert {row.passages["de"] for row in rows} == {GERMAN}
    assert len({row.passage_id for row in rows}) == 1


def test_the_files_own_sentences_are_used(folder):
    breaks = [[0, 23], [24, 36]]
    document_ = document(ENGLISH, question("1", "What fell?", ENGLISH, "Rain"), sentence_breaks=breaks)
    (folder / "en.json").write_text(json.dumps(document_))
    row = next(SquadReader({"en": folder / "en.json"}, "sentence").rows())
    assert row.passages["en"] == "Rain fell. It was cold."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "malformed JSON"),
        (json.dumps({"version": 1}), "'data' is None, and the SQuAD format has a list there"),
        (json.dumps(document("")), r"data\[0\]\.paragraphs\[0\]: 'context' is ''"),
        (
            json.dumps(document("Text.", {"id": "1", "question": "?", "answers": []})),
            r"qas\[0\]: question '1' has no answer",
        ),
        (json.dumps(document("Text.", "?")), r"qas\[0\]: 'answers' is None"),
        (
            json.dumps(document("Text.", {"id": "1", "question": "?", "answers": [{"answer_start": -1}]})),
            r"qas\[0\]\.answers\[0\]\.answer_start: -1 is no position in a context of 5 characters",
        ),
        (json.dumps(document("Text.", question("1", "", "Text.", "T"))), r"qas\[0\]: 'question' is ''"),
        (
            json.dumps(document("Text.", question("1", "?", "Text.", "T"), question("1", "?", "Text.", "T"))),
            r"qas\[1\]\.id: duplicate question id '1'",
        ),
        (
            json.dumps(document("Text.", question("1", "?", "Text.", "T"), sentence_breaks=[[0, 99]])),
            r"sentence_breaks\[0\]: \[0, 99\] is no span",
        ),
    ],
)
def test_bad_files_are_named_by_file_and_path(tmp_path, content, message):
    (tmp_path / "en.json").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        list(SquadReader(tmp_path, "sentence").rows())
    assert str(tmp_path / "en.json") in str(caught.value)


def test_ids_may_be_numbers_and_paragraphs_without_questions(tmp_path):
    content = document("Text.", question(51870, "?", "Text.", "T"))
    content["data"][0]["paragraphs"].append({"context": "More.", "qas": []})
    (tmp_path / "de.json").write_text(json.dumps(content))
    assert [row.id for row in SquadReader(tmp_path).rows()] == ["51870"]


def test_wrong_choices_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"unit=sentense: it is one of sentence, paragraph\. Did you mean 'sentence'"):
        SquadReader(tmp_path, "sentense")
    with pytest.raises(DataError, match=r"no <language>\.json files"):
        SquadReader(tmp_path, "sentence").fingerprint()
    with pytest.raises(DataError, match=r"de\.json: no such file"):
        SquadReader({"de": tmp_path / "de.json"}, "sentence").fingerprint()
    with pytest.raises(DataError, match=r"data\.sources\.squad\.path: .*de\.json is named 2 times"):
        SquadReader({"de": tmp_path / "de.json", "en": tmp_path / "de.json"}, "sentence").fingerprint()


SMILES = "😀" * 20 + " Anna kommt. Der Chor – ja! – singt um neun. Danach gibt es Kuchen."


def position(answer, encoding="utf-32-le", width=4):
    """Where the answer stands in SMILES, as programs count that take such units for characters."""
    return len(SMILES[: SMILES.index(answer)].encode(encoding)) // width


def placed(folder, start, text="um neun", context=SMILES, **settings):
    """The reader of one German question with such an answer, and of one that is right."""
    asked = [
        {"id": "right", "question": "Wer?", "answers": [{"text": "Anna", "answer_start": context.index("Anna")}]},
        {"id": "moved", "question": "Wann?", "answers": [{"text": text, "answer_start": start}]},
    ]
    (folder / "de.json").write_text(json.dumps(document(context, *asked)))
    return SquadReader({"de": folder / "de.json"}, **settings)


@pytest.mark.parametrize(
    "start",
    [
        position("um neun"),
        position("um neun", "utf-16-le", 2),
        position("um neun", "utf-8", 1),
        position("um neun") + 1,  # cut wrongly by some step of a translation; the text stands once
        0,
        9999,
    ],
)
def test_an_answer_is_found_however_its_place_is_counted(folder, start):
    assert next(row for row in placed(folder, start).rows() if row.id == "moved").passages["de"] == "– singt um neun."


@pytest.mark.parametrize("counted", [{}, {"encoding": "utf-16-le", "width": 2}, {"encoding": "utf-8", "width": 1}])
def test_of_several_places_the_counted_one_is_taken(folder, counted):
    """ "an" stands thrice; the last one is meant."""
    context = SMILES.replace("Kuchen", "Anis an")
    start = len(context[: context.rindex("an")].encode(counted.get("encoding", "utf-32-le"))) // counted.get("width", 4)
    row = next(row for row in placed(folder, start, "an", context).rows() if row.id == "moved")
    assert row.passages["de"] == "Danach gibt es Anis an."


RAIN = "It rained for a whole week. Then came the sun. It stayed."
END = "So is it. Then came rain and cold for a whole week. Nobody liked it."  # 4 on from "it" is the next sentence


@pytest.mark.parametrize("trimmed", [1, 4])
@pytest.mark.parametrize(
    ("context", "text", "start", "passage"),
    [(RAIN, "It", 0, "It rained for a whole week."), (RAIN, "It", 47, "It stayed."), (END, "it", 6, "So is it.")],
)
def test_offsets_of_a_context_that_was_trimmed_mean_what_is_near_by(folder, context, text, start, passage, trimmed):
    """The text stands twice, and its offset is too large by the blanks that the context has lost."""
    asked = {"id": "1", "question": "What?", "answers": [{"text": text, "answer_start": start + trimmed}]}
    (folder / "en.json").write_text(json.dumps(document(context, asked)))
    assert next(SquadReader({"en": folder / "en.json"}).rows()).passages["en"] == passage


@pytest.mark.parametrize(("start", "text"), [(3, "um zehn"), (1, "n"), (9999, "😀")])
def test_an_answer_that_the_context_does_not_have_is_refused_or_left_out(folder, start, text, caplog):
    message = rf"de\.json: data\[0\]\.paragraphs\[0\]\.qas\[1\]: question 'moved'.*'{text}'.*answer_start {start}"
    with pytest.raises(DataError, match=message + ".*data.sources.squad.misplaced=leave_out"):
        list(placed(folder, start, text).rows())
    assert [row.id for row in placed(folder, start, text, misplaced="leave_out").rows()] == ["right"]
    assert "de.json: 1 questions left out" in caplog.text
    with pytest.raises(ConfigError, match=r"data\.sources\.squad\.misplaced=leave: it is one of"):
        placed(folder, start, text, misplaced="leave")
