"""NTREX-128 as bitext retrieval: the real files where they are, small ones elsewhere."""

import logging

import numpy as np
import pytest
import torch

from mixlingua.data.public_corpora import public_corpus
from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.benchmarks.ntrex import ntrex
from mixlingua.evaluation.suite import evaluate_task

COMMIT = public_corpus("ntrex").commit


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLINGUA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "de.txt").write_bytes(b"Ja.\r\nNein.\r\n")
    (tmp_path / "newstest2019-src.eng.txt").write_text("Yes.\nNo.\n")
    (tmp_path / "newstest2019-ref.zho-TW.txt").write_text("是\n不\n", encoding="utf-8")
    return tmp_path


def test_every_translation_is_relevant_and_the_text_itself_is_in_no_pool(folder, caplog):
    with caplog.at_level(logging.WARNING):
        task = ntrex(folder, languages=["en", "de", "zh-Hant"])
    assert task.queries["de"] == {"1": "Ja.", "2": "Nein."}
    assert task.passages["zh-Hant"] == {"zh-Hant:1": "是", "zh-Hant:2": "不"}
    assert task.qrels["en"]["2"] == {"de:2": 1, "en:2": 1, "zh-Hant:2": 1}
    assert task.excluded["en"]["2"] == ("en:2",)
    assert task.symmetric and task.settings == ("crosslingual", "multilingual")
    assert sorted(task.files) == [
        "newstest2019-ref.deu.txt", "newstest2019-ref.zho-TW.txt", "newstest2019-src.eng.txt",
    ]  # fmt: skip
    assert task.revision.startswith("local-") and "de.txt" in caplog.text


def test_offline_names_what_is_missing_and_what_is_there(folder, network):
    with pytest.raises(DataError) as error:
        ntrex(folder)
    assert "needs newstest2019-ref.arb.txt" in str(error.value)
    assert f"NTREX/{COMMIT}/NTREX-128/newstest2019-ref.arb.txt" in str(error.value)
    assert "evaluation.tasks.ntrex.languages=[de,en,zh-Hant]" in str(error.value)


def test_a_fetched_file_must_be_the_published_one(folder, network):
    network["newstest2019-ref.cym.txt"] = b"Ie.\nNa.\n"
    with pytest.raises(DataError, match="not the published file"):
        ntrex(folder, languages=["cy", "de"])
    for name in ("newstest2019-ref.cym.txt", "newstest2019-ref.gle.txt"):  # known by their number of lines
        network[name] = b"".join(b"%d\n" % line for line in range(1997))
    task = ntrex(folder, languages=["cy", "ga"])
    assert (task.revision, task.num_queries) == (COMMIT, {"cy": 1997, "ga": 1997})


def test_files_that_are_not_aligned_and_other_languages_are_named(folder):
    (folder / "de.txt").write_text("Ja.\n")
    with pytest.raises(DataError, match=r"de\.txt:1: the file ends here, but .*eng\.txt goes on"):
        ntrex(folder, languages=["de", "en"])
    with pytest.raises(ConfigError, match="task ntrex: no language 'zho'"):
        ntrex(folder, languages=["zho", "en"])
    with pytest.raises(ConfigError, match="two languages or more"):
        ntrex(folder, languages=["de"])


def test_the_real_files(shared_data):
    task = ntrex(shared_data / "ntrex")
    assert task.revision == COMMIT, "the checksums are those of the files"
    assert set(task.num_queries.values()) == {1997} and len(task.languages) == 11
    assert task.queries["de"]["1997"].endswith("keine neuen Atemwegsprobleme bekannt.")
    assert ntrex(shared_data / "ntrex", languages=["fa", "sw", "yo"]).revision == COMMIT


def test_a_translator_on_the_real_files(shared_data):
    """An encoder that knows the line of each text: only repeated sentences can be missed."""
    task = ntrex(shared_data / "ntrex", languages=["de", "en", "zh"])
    vectors = torch.from_numpy(np.random.default_rng(0).standard_normal((1998, 64), np.float32))
    vectors /= vectors.norm(dim=1, keepdim=True)
    line = {text: int(key) for part in task.queries.values() for key, text in part.items()}
    result = evaluate_task(task, lambda texts, side: vectors[[line[text] for text in texts]])
    found = {(r.query_language, r.passage_language): r for r in result.rows if r.metric == "recall_at_1"}
    # One German sentence stands on two lines, and its vector is that of the second. As a query the first finds the
    # second's translation; as a passage, the first's query finds neither copy, and the second's ties with the first.
    assert found["de", "en"].value == found["de", "zh"].value == pytest.approx(1 - 1 / 1997)
    assert found["en", "de"].value == found["zh", "de"].value == pytest.approx(1 - 2 / 1997)
    assert found["en", "zh"].value == found["zh", "en"].value == 1
    assert {row.num_queries for row in found.values()} == {1997}
    distance = {r.query_language: r.value for r in result.rows if r.metric == "rank_distance"}
    assert 1 <= distance["en"] < 3 and 1 <= distance["zh"] < 3, "both translations come first, one behind the other"
