"""NTREX-128, Tatoeba and parallel sources: the real files where they are, small ones elsewhere."""

import json
import logging
import zlib

import numpy as np
import pytest
import torch
from hydra.utils import instantiate

from mixlingua.cli.configuration import compose
from mixlingua.data.public_corpora import public_corpus
from mixlingua.data.readers.parallel import ParallelReader
from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.benchmarks.translations import ntrex, parallel_sentences, tatoeba
from mixlingua.evaluation.suite import evaluate_task

# The languages whose files the project has seen.
TATOEBA = [
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


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "de.txt").write_bytes(b"Ja.\r\nNein.\r\n")
    (tmp_path / "newstest2019-src.eng.txt").write_text("Yes.\nNo.\n")
    (tmp_path / "newstest2019-ref.zho-TW.txt").write_text("是\n不\n", encoding="utf-8")
    for code, lines in {"deu": "Ja.\nNein.\n", "cmn": "是\n不\n我\n"}.items():
        (tmp_path / f"tatoeba.{code}-eng.{code}").write_text(lines, encoding="utf-8")
    (tmp_path / "tatoeba.deu-eng.eng").write_text("Yes.\nNo.\n")
    (tmp_path / "tatoeba.cmn-eng.eng").write_text("Yes!\nNo!\nI\n")
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


def test_bitexts_are_aligned_and_names_mapped(folder, caplog):
    with caplog.at_level(logging.WARNING):
        task = tatoeba(folder, languages=["zh", "de"])
    assert task.bitexts == {
        ("de", "en"): (["Ja.", "Nein."], ["Yes.", "No."]),
        ("zh", "en"): (["是", "不", "我"], ["Yes!", "No!", "I"]),
    }
    assert task.revision.startswith("local-") and "tatoeba.cmn-eng.eng differ" in caplog.text
    assert task.revision == tatoeba(folder, languages=["de", "zh"]).revision
    assert sorted(task.files)[0] == "tatoeba.cmn-eng.cmn"


@pytest.mark.parametrize(
    ("make", "name", "content", "message"),
    [
        (ntrex, "de.txt", "Ja.\n", r"de\.txt:1: the file ends here, but .*eng\.txt goes on"),
        (tatoeba, "tatoeba.deu-eng.eng", "Yes.\nNo.\nPerhaps.\n", r"deu:2: the file ends here, but .*eng goes on"),
        (tatoeba, "tatoeba.deu-eng.eng", "Yes.\n\n", r"deu-eng\.eng:2: blank line"),
    ],
)
def test_files_that_are_not_aligned_are_named(folder, make, name, content, message):
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=message):
        make(folder, languages=["de", "en"] if make is ntrex else ["de"])


def test_the_real_ntrex(shared_data):
    task = ntrex(shared_data / "ntrex")
    assert task.revision == public_corpus("ntrex").commit, "the checksums are those of the files"
    assert set(task.num_queries.values()) == {1997} and len(task.languages) == 11
    assert task.queries["de"]["1997"].endswith("keine neuen Atemwegsprobleme bekannt.")
    assert ntrex(shared_data / "ntrex", languages=["fa", "sw", "yo"]).revision == task.revision


def test_a_translator_on_the_real_ntrex(shared_data):
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


def unrelated(texts, side):
    """A vector for each text, decided by its letters alone."""
    seeds = np.array([zlib.crc32(text.encode()) for text in texts], np.uint64)[:, None]
    mixed = (seeds + np.uint64(1)) * (np.arange(1, 33, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return torch.from_numpy((mixed >> np.uint64(40)).astype(np.float32) / 2**23 - 1)


def test_the_real_tatoeba(shared_data):
    task, corpus = tatoeba(shared_data / "tatoeba", languages=TATOEBA), public_corpus("tatoeba")
    assert task.revision == corpus.commit, "the checksums are those of the files"
    published_lines = {file.language: file.lines for file in corpus.files if file.language in TATOEBA}
    assert {a: len(sides[0]) for (a, _), sides in task.bitexts.items()} == published_lines
    assert all(len(set(side)) == len(side) for sides in task.bitexts.values() for side in sides), "no line repeats"
    german, english = task.bitexts["de", "en"]
    assert (german[-1], english[-1]) == ("Kann ich mit Kreditkarte bezahlen?", "Can I pay by credit card?")
    result = evaluate_task(task, unrelated)
    rows = {(r.query_language, r.passage_language): r for r in result.rows if r.metric == "recall_at_1"}
    assert len(rows) == 38 and rows["te", "en"].num_queries == rows["en", "te"].num_queries == 234
    scores = unrelated(english, "query") @ unrelated(german, "query").T
    assert rows["en", "de"].value == pytest.approx(float((scores.argmax(1) == torch.arange(1000)).float().mean()))


def test_a_translator_finds_every_translation_in_the_real_tatoeba(shared_data):
    task = tatoeba(shared_data / "tatoeba", languages=["te"])
    line = {text: number for side in task.bitexts["te", "en"] for number, text in enumerate(side)}
    result = evaluate_task(task, lambda texts, side: torch.eye(234)[[line[text] for text in texts]])
    assert {row.value for row in result.rows if row.metric in ("map", "recall_at_1")} == {1.0}


@pytest.fixture
def rows(tmp_path):
    lines = [
        {"id": "a", "fold": "dev", "texts": {"de": "Ja.", "en": "Yes.", "tr": "Evet."}},
        {"id": "b", "fold": "dev", "texts": {"de": "Nein.", "en": "No."}},
        {"id": "c", "fold": "train", "texts": {"de": "Gut.", "en": "Good."}},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_parallel_source_asks_for_the_translations_that_there_are(rows):
    task = parallel_sentences(ParallelReader(rows, "mine", fold="dev"), licence="CC0-1.0", note="Two.")
    assert task.name == "mine" and task.licence == "CC0-1.0" and task.note == "Two."
    assert task.queries == {"de": {"a": "Ja.", "b": "Nein."}, "en": {"a": "Yes.", "b": "No."}, "tr": {"a": "Evet."}}
    assert task.qrels["de"] == {"a": {"de:a": 1, "en:a": 1, "tr:a": 1}, "b": {"de:b": 1, "en:b": 1}}
    assert task.excluded["de"]["b"] == ("de:b",)
    assert task.symmetric and task.settings == ("crosslingual", "multilingual")


def test_a_sentence_without_a_translation_in_the_chosen_languages_asks_for_nothing_and_stays_in_the_pool(rows):
    task = parallel_sentences(ParallelReader(rows, "mine", fold="dev"), ["tr", "de"])
    assert task.queries == {"de": {"a": "Ja."}, "tr": {"a": "Evet."}}
    assert task.passages["de"] == {"de:a": "Ja.", "de:b": "Nein."}

    numbers = {"Ja.": 0, "Evet.": 0, "Nein.": 1}
    result = evaluate_task(task, lambda texts, side: torch.eye(2)[[numbers[text] for text in texts]])
    assert result.aggregate("macro")["mine/crosslingual/map"] == 1
    assert result.aggregate("macro")["mine/multilingual/map"] == 1


def test_what_is_no_parallel_benchmark_is_refused_by_name(rows):
    with pytest.raises(ConfigError, match=r"task mine: source.pairing=next"):
        parallel_sentences(ParallelReader(rows, "mine", pairing="next", fold="dev"))
    with pytest.raises(ConfigError, match=r"task mine: no language 'fr'; it has de, en, tr"):
        parallel_sentences(ParallelReader(rows, "mine", fold="dev"), ["de", "fr"])
    with pytest.raises(ConfigError, match=r"task mine: languages=\[de\]"):
        parallel_sentences(ParallelReader(rows, "mine", fold="dev"), ["de"])


def test_the_real_flores_shares_no_sentence_with_what_is_trained_on(shared_data):
    cfg = compose(["evaluation=flores", "data=flores", f"paths.data={shared_data}"])
    task = instantiate(cfg.evaluation.tasks.flores)
    trained = {row.queries["de"] for row in instantiate(cfg.data.sources.flores).rows()}
    assert task.num_queries == dict.fromkeys(("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"), 974)
    assert len(trained) == 1034
    assert not trained & set(task.queries["de"].values())
