"""Belebele, on small files of its format."""

import json
import logging

import pytest

from mixlingua.errors import DataError
from mixlingua.evaluation.benchmarks.belebele import belebele


def row(dialect, link, number, passage, question):
    answers = {f"mc_answer{choice}": f"{choice}" for choice in (1, 2, 3, 4)}
    return {
        "link": f"https://en.wikinews.org/wiki/{link}",
        "question_number": number,
        "flores_passage": passage,
        "question": question,
        "correct_answer_num": "2",
        "dialect": dialect,
        "ds": "2023-05-03",
    } | answers


GERMAN = [
    row("deu_Latn", "A", 1, "Text A", "Frage A1?"),
    row("deu_Latn", "B", 1, "Text B", "Frage B1?"),
    row("deu_Latn", "A", 2, "Text A", "Frage A2?"),
]
CHINESE = [
    row("zho_Hant", "B", 1, "乙", "乙一？"),
    row("zho_Hant", "A", 2, "甲", "甲二？"),
    row("zho_Hant", "A", 1, "甲", "甲一？"),
]
A, B = "https://en.wikinews.org/wiki/A", "https://en.wikinews.org/wiki/B"


def as_bytes(rows):
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in rows).encode()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deu_Latn.jsonl").write_bytes(as_bytes(GERMAN))
    (tmp_path / "zho_Hant.jsonl").write_bytes(as_bytes(CHINESE))
    return tmp_path


def test_parallel_questions_share_their_ids_whatever_the_order_of_lines(folder, caplog):
    with caplog.at_level(logging.WARNING):
        task = belebele(folder, languages=["de", "zh-Hant"])
    assert task.queries["de"] == {f"{A}#1": "Frage A1?", f"{B}#1": "Frage B1?", f"{A}#2": "Frage A2?"}
    assert task.passages["zh-Hant"] == {f"zh-Hant:{B}": "乙", f"zh-Hant:{A}": "甲"}
    assert task.qrels["zh-Hant"][f"{A}#2"] == {f"de:{A}": 1, f"zh-Hant:{A}": 1}
    assert task.qrels["de"] == task.qrels["zh-Hant"]
    assert not task.symmetric
    assert "deu_Latn.jsonl: it has (3, 2) questions and passages, not (900, 488)" in caplog.text


def test_revision_follows_the_files(folder):
    first = belebele(folder, languages=["de"])
    assert first.revision.startswith("sha256-") and first.settings == ("monolingual",)
    (folder / "deu_Latn.jsonl").write_bytes(as_bytes(GERMAN[:2]))
    assert belebele(folder, languages=["de"]).revision != first.revision


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "malformed JSON"),
        ("[]", 'no str "link"'),
        (json.dumps(GERMAN[0] | {"question_number": "x"}), 'no int "question_number"'),
        (json.dumps(row("eng_Latn", "C", 1, "Text", "Question?")), "dialect 'eng_Latn' in the file of 'deu_Latn'"),
        (json.dumps(GERMAN[0]), "question 1 of https://en.wikinews.org/wiki/A comes twice"),
    ],
)
def test_malformed_lines_are_named(folder, line, message):
    with (folder / "deu_Latn.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=rf"deu_Latn\.jsonl:4: .*{message}"):
        belebele(folder, languages=["de"])
