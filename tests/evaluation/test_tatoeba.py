"""Tatoeba: the real files where they are, small ones elsewhere."""

import logging
import zlib

import numpy as np
import pytest
import torch

from mixlingua.data.public_corpora import public_corpus
from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.benchmarks.tatoeba import XTREME, tatoeba
from mixlingua.evaluation.suite import evaluate_task

HERE = [
    "ar",
    "bn",
    "de",
    "el",
    "es",
    "fa",
    "fi",
    "fr",
    "hi",
    "id",
    "ja",
    "ko",
    "ru",
    "sw",
    "te",
    "th",
    "tr",
    "vi",
    "zh",
]

COMMIT = public_corpus("tatoeba").commit


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLINGUA_CACHE", str(tmp_path / "cache"))
    for code, lines in {"deu": "Ja.\nNein.\n", "cmn": "是\n不\n我\n"}.items():
        (tmp_path / f"tatoeba.{code}-eng.{code}").write_text(lines, encoding="utf-8")
    (tmp_path / "tatoeba.deu-eng.eng").write_text("Yes.\nNo.\n")
    (tmp_path / "tatoeba.cmn-eng.eng").write_text("Yes!\nNo!\nI\n")
    return tmp_path


def test_lines_are_aligned_and_names_mapped(folder, caplog):
    with caplog.at_level(logging.WARNING):
        task = tatoeba(folder, languages=["zh", "de"])
    assert task.bitexts == {
        ("de", "en"): (["Ja.", "Nein."], ["Yes.", "No."]),
        ("zh", "en"): (["是", "不", "我"], ["Yes!", "No!", "I"]),
    }
    assert task.revision.startswith("local-") and "tatoeba.cmn-eng.eng differ" in caplog.text
    assert task.revision == tatoeba(folder, languages=["de", "zh"]).revision
    assert sorted(task.files)[0] == "tatoeba.cmn-eng.cmn"


def test_files_that_are_not_aligned_are_named(folder):
    (folder / "tatoeba.deu-eng.eng").write_text("Yes.\nNo.\nPerhaps.\n")
    with pytest.raises(DataError, match=r"deu-eng\.deu:2: the file ends here, but .*deu-eng\.eng goes on"):
        tatoeba(folder, languages=["de"])
    (folder / "tatoeba.deu-eng.eng").write_text("Yes.\n\n")
    with pytest.raises(DataError, match=r"deu-eng\.eng:2: blank line"):
        tatoeba(folder, languages=["de"])


def test_offline_names_what_is_missing_and_what_is_there(folder, network):
    with pytest.raises(DataError) as error:
        tatoeba(folder)
    assert "needs tatoeba.afr-eng.afr" in str(error.value)
    assert f"LASER/{COMMIT}/data/tatoeba/v1/tatoeba.afr-eng.afr" in str(error.value)
    assert "evaluation.tasks.tatoeba.languages=[de,zh]" in str(error.value)


def test_a_fetched_file_must_be_the_published_one(folder, network, monkeypatch):
    network["tatoeba.deu-eng.deu"] = b"Ja.\nNein.\n"  # known by its checksum
    (folder / "tatoeba.deu-eng.deu").unlink()
    with pytest.raises(DataError, match="not the published file"):
        tatoeba(folder, languages=["de"])
    cached = folder / "cache" / "tatoeba" / COMMIT
    assert not any(cached.iterdir()), "a wrong file was kept"

    network |= {"tatoeba.jav-eng.jav": b"ya\n", "tatoeba.jav-eng.eng": b"yes\n"}  # known by its 205 lines
    with pytest.raises(DataError, match="not the published file"):
        tatoeba(folder, languages=["jv"])
    network |= {"tatoeba.jav-eng.jav": b"ya\n" * 205, "tatoeba.jav-eng.eng": b"yes\n" * 205}
    assert tatoeba(folder, languages=["jv"]).revision == COMMIT
    network.clear()
    assert tatoeba(folder, languages=["jv"]).num_sentences == {"en": 205, "jv": 205}, "the cached copy serves offline"


def test_languages(folder):
    known = public_corpus("tatoeba").languages
    assert len(known) == 85 and set(XTREME) <= set(known) and len(set(XTREME)) == 36
    with pytest.raises(ConfigError, match=r"task tatoeba: no language 'deu'; it has af, am, .* Use the code 'de'\."):
        tatoeba(folder, languages=["deu"])
    with pytest.raises(ConfigError, match="language 'de' is given more than once"):
        tatoeba(folder, languages=["de", "de"])
    with pytest.raises(ConfigError, match="choose one or more"):
        tatoeba(folder, languages=[])
    with pytest.raises(ConfigError, match="no language 'en'"):
        tatoeba(folder, languages=["en"])


def unrelated(texts, side):
    """A vector for each text, decided by its letters alone."""
    seeds = np.array([zlib.crc32(text.encode()) for text in texts], np.uint64)[:, None]
    mixed = (seeds + np.uint64(1)) * (np.arange(1, 33, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return torch.from_numpy((mixed >> np.uint64(40)).astype(np.float32) / 2**23 - 1)


def test_the_real_files(shared_data):
    task = tatoeba(shared_data / "tatoeba", languages=HERE)
    assert task.revision == COMMIT, "the checksums are those of the files"
    published_lines = {file.language: file.lines for file in public_corpus("tatoeba").files if file.language in HERE}
    assert {a: len(sides[0]) for (a, _), sides in task.bitexts.items()} == published_lines
    assert all(len(set(side)) == len(side) for sides in task.bitexts.values() for side in sides), "no line repeats"
    german, english = task.bitexts["de", "en"]
    assert (german[-1], english[-1]) == ("Kann ich mit Kreditkarte bezahlen?", "Can I pay by credit card?")

    result = evaluate_task(task, unrelated)
    rows = {(r.query_language, r.passage_language): r for r in result.rows if r.metric == "recall_at_1"}
    assert len(rows) == 38 and rows["te", "en"].num_queries == rows["en", "te"].num_queries == 234
    scores = unrelated(english, "query") @ unrelated(german, "query").T
    assert rows["en", "de"].value == pytest.approx(float((scores.argmax(1) == torch.arange(1000)).float().mean()))


def test_a_translator_finds_every_translation_in_the_real_files(shared_data):
    task = tatoeba(shared_data / "tatoeba", languages=["te"])
    line = {text: number for side in task.bitexts["te", "en"] for number, text in enumerate(side)}
    result = evaluate_task(task, lambda texts, side: torch.eye(234)[[line[text] for text in texts]])
    assert {row.value for row in result.rows if row.metric in ("map", "recall_at_1")} == {1.0}
