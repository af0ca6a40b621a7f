"""Pieces and batches cover every text once; a translation that dies at any point ends as one that did not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import journal_worker
import pytest
from fakes import LetterTranslator
from hypothesis import given
from hypothesis import strategies as st
from journal_worker import job, verdicts

from mixlingua.data.rows import PairRow
from mixlingua.errors import CheckpointError, ConfigError, DataError
from mixlingua.translation.gate import Gate
from mixlingua.translation.job import Journal, Translation, open_batches
from mixlingua.translation.model import Translated
from mixlingua.translation.texts import Pieces, SourceTexts

SENTENCES = st.lists(
    st.sampled_from(["One two.", "Three!", "Four five six seven?", "Eight", "9 10 e.g. this."]), max_size=6
)


class Held:
    def __init__(self, pieces):
        self.translated = dict.fromkeys(pieces)


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 60), st.data())
def test_batches_hold_every_open_piece_once_within_the_budget(lengths, budget, data):
    wanted = sorted(data.draw(st.sets(st.sampled_from(range(len(lengths)))))) if lengths else []
    held = data.draw(st.sets(st.sampled_from(wanted))) if wanted else set()
    batches = open_batches(wanted, lengths, Held(held), budget)
    assert sorted(piece for batch in batches for piece in batch) == sorted(set(wanted) - held)
    for batch in batches:
        assert batch
        assert len(batch) == 1 or len(batch) * max(lengths[piece] for piece in batch) <= budget


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(1, 60), st.integers(0, 8))
def test_what_is_left_after_some_batches_is_the_other_batches(lengths, budget, done):
    wanted = range(len(lengths))
    batches = open_batches(wanted, lengths, Held([]), budget)
    held = [piece for batch in batches[:done] for piece in batch]
    assert open_batches(wanted, lengths, Held(held), budget) == batches[done:]


@given(st.lists(SENTENCES.map(" ".join).filter(bool), max_size=8, unique=True), st.integers(1, 12))
def test_pieces_hold_each_text_whole_and_each_sentence_once(texts, limit):
    translator = LetterTranslator()
    pieces = Pieces(texts, translator, "en", limit)
    assert len(set(pieces.texts)) == len(pieces.texts)
    assert pieces.lengths == translator.lengths(pieces.texts, "en")
    for text, found in zip(texts, pieces.of_text, strict=True):
        assert " ".join(pieces.texts[piece] for piece in found) == " ".join(text.split())
        if translator.lengths([text], "en")[0] <= limit:
            assert [pieces.texts[piece] for piece in found] == [text]


def test_sentences_are_packed_up_to_the_limit():
    """With the two special tokens that each sentence is counted with: 4 + 3 + 6 > 7."""
    pieces = Pieces(["One two. Three! Four five six seven?"], LetterTranslator(), "en", 7)
    assert pieces.texts == ["One two. Three!", "Four five six seven?"]
    assert Pieces(["One two. Three!"], LetterTranslator(), "en", 1).texts == ["One two.", "Three!"]
    assert pieces.wanted([0], longest=5) == [0]


def row(name, passage, languages=("en",), **texts):
    return PairRow(
        name, {code: f"q {name}" for code in languages}, {code: passage for code in languages}, name, **texts
    )


def test_each_distinct_text_is_there_once_and_needed_where_a_row_lacks_it():
    sources = SourceTexts("en", ["en", "de", "ru"])
    sources.add(
        [row("1", "shared"), row("2", "shared", ("en", "de")), row("3", "own", negatives={"en": ["shared", "no"]})]
    )
    sources.add([row("4", "nur", ("de",)), row("5", "all", ("de", "en", "ru"))])
    assert sources.texts == ["q 1", "shared", "q 2", "q 3", "own", "no", "q 5", "all"]
    assert sources.needed("de") == [0, 1, 3, 4, 5]
    assert sources.needed("ru") == [0, 1, 2, 3, 4, 5]
    assert sources.needed("en") == []
    assert (sources.num_rows, sources.num_untranslatable) == (5, 1)
    assert sources.position("own") == 4


@pytest.mark.parametrize(
    ("key", "value"),
    [("source", "eng"), ("languages", ["de", "xx"]), ("languages", ["de", "de"]), ("languages", ["en"]),
     ("languages", []), ("num_beams", 0), ("piece_tokens", 1.5), ("token_budget", True), ("max_growth", 0.5)],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(key, value):
    with pytest.raises(ConfigError, match=rf"translation\.{key}"):
        Translation(**{"languages": ["de"], key: value})


WORKER = Path(journal_worker.__file__)


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.jsonl"))}


@pytest.fixture(autouse=True)
def without_waiting_for_the_disk(monkeypatch):
    """A killed process leaves what it wrote to the system, synchronised or not."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def whole(tmp_path):
    """(files, verdicts, texts translated) of a run that nothing stopped."""
    translator = LetterTranslator()
    found = verdicts(job(tmp_path / "whole", translator))
    return contents(tmp_path / "whole"), found, translator.called


def test_nothing_is_translated_twice_and_all_is_accepted(whole):
    files, found, called = whole
    assert sorted(files) == ["en-de.jsonl", "en-ru.jsonl"]
    assert max(Counter(called).values()) == 1
    assert {verdict.reason for of_language in found.values() for verdict in of_language.values()} == {None}
    assert found["de"][0].text == "b wbmmfz sjwfs 0?"


def test_a_killed_process_goes_on_where_it_was(tmp_path, whole):
    environment = os.environ | {"PYTHONPATH": str(WORKER.parents[2] / "src")}
    command = [sys.executable, str(WORKER), str(tmp_path / "killed")]
    victim = subprocess.Popen([*command, "0.3", str(tmp_path / "never.json")], env=environment)
    file = tmp_path / "killed" / "en-de.jsonl"
    while not file.exists() or file.read_bytes().count(b"\n") < 4:
        assert victim.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    kept = file.read_bytes()
    lines = kept[: kept.rfind(b"\n") + 1].splitlines()[1:]
    num_kept = sum(len(json.loads(line)["pieces"]) for line in lines)

    subprocess.run([*command, "0", str(tmp_path / "resumed.json")], env=environment, check=True, timeout=600)
    files, found, called = whole
    resumed = json.loads((tmp_path / "resumed.json").read_text())
    assert contents(tmp_path / "killed") == files
    assert resumed["verdicts"] == json.loads(json.dumps(found))
    assert len(resumed["called"]) == len(called) - num_kept
    assert not (tmp_path / "never.json").exists()


def test_whatever_a_killed_process_left_is_completed(tmp_path, whole):
    """Files cut off at any byte; in the first line and at line ends at every one."""
    files, found, called = whole
    content = files["en-de.jsonl"]
    ends = [place for place, byte in enumerate(content) if byte == ord("\n")]
    for size in sorted({0, 1, *range(0, len(content), 97), *ends, *(end + 1 for end in ends), len(content) - 1}):
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / "en-de.jsonl").write_bytes(content[:size])
        translator = LetterTranslator()
        assert verdicts(job(folder, translator)) == found
        assert contents(folder) == files
        kept = content[: content.rfind(b"\n", 0, size) + 1].splitlines()[1:]
        assert len(translator.called) == len(called) - sum(len(json.loads(line)["pieces"]) for line in kept)


def test_another_token_budget_goes_on_with_what_is_left(tmp_path, whole):
    files, found, called = whole
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "en-de.jsonl").write_bytes(b"".join(files["en-de.jsonl"].splitlines(keepends=True)[:3]))
    translator = LetterTranslator()
    assert verdicts(job(tmp_path / "other", translator, token_budget=23)) == found
    assert Counter(translator.called) < Counter(called)


def test_other_bounds_and_further_languages_translate_nothing_again(tmp_path, whole):
    translator = LetterTranslator()
    found = verdicts(job(tmp_path / "whole", translator, gate=Gate(min_script_share=0.9, max_length_deviation=0.001)))
    assert translator.called == []
    assert {verdict.reason for verdict in found["de"].values()} == {None}  # as long as the source to the letter
    verdicts(job(tmp_path / "whole", translator, languages=["ru", "fr", "de"]))
    assert {target for target, _ in translator.called} == {"fr"}


@pytest.mark.parametrize(
    ("given", "weights", "difference"),
    [
        ({"num_beams": 5}, "letters", "num_beams was 2, is 5"),
        ({"max_growth": 2.0, "num_beams": 1}, "letters", "num_beams was 2, is 1; max_growth was 3.0, is 2.0"),
        ({"piece_tokens": 40}, "letters", "piece_tokens was 14, is 40; num_pieces was 24, is 18; source_texts was "),
        ({}, "others", "weights was 'letters', is 'others'"),
    ],
)
def test_what_was_translated_otherwise_is_refused(tmp_path, whole, given, weights, difference):
    made = job(tmp_path / "whole", LetterTranslator(weights=weights), **given)
    with pytest.raises(CheckpointError, match=r"en-de\.jsonl: what is there was translated otherwise: ") as raised:
        made.cost("de")
    assert difference in str(raised.value)
    assert contents(tmp_path / "whole") == whole[0]


def test_another_input_is_refused(tmp_path, whole, monkeypatch):
    other = journal_worker.rows()
    other[3].queries["en"] += "!"
    monkeypatch.setattr(journal_worker, "rows", lambda: other)
    with pytest.raises(CheckpointError, match="source_texts was '"):
        job(tmp_path / "whole", LetterTranslator()).cost("ru")


def test_the_cost_is_what_is_left(tmp_path, whole):
    files, _, called = whole
    (tmp_path / "part").mkdir()
    lines = files["en-de.jsonl"].splitlines(keepends=True)
    (tmp_path / "part" / "en-de.jsonl").write_bytes(b"".join(lines[:3]))
    made = job(tmp_path / "part", LetterTranslator())
    kept = sum(len(json.loads(line)["pieces"]) for line in lines[1:3])
    cost = made.cost("de")
    assert (cost.num_texts, cost.num_pieces, cost.num_done) == (18, len(called) // 2, kept)
    assert cost.num_batches == len(lines) - 3
    rest = [len(text.split()) + 2 for target, text in called if target == "de"][kept:]
    assert cost.num_tokens == sum(rest)
    seen = []
    made.translate("de", lambda *progress: seen.append(progress))
    assert seen[-1] == ("en->de", sum(rest), sum(rest))
    assert len(seen) == cost.num_batches


def test_a_damaged_line_is_named(tmp_path):
    file = tmp_path / "en-de.jsonl"
    Journal(file, {"a": 1}).add([0, 1], [Translated("x", True), Translated("y", False)])
    assert Journal(file, {"a": 1}).translated == {0: ("x", True), 1: ("y", False)}
    good = file.read_bytes()
    for damaged in (b'{"pieces": [2]}\n', b"\x00\x00\n", b"[]\n", b'{"pieces": [2], "texts": [], "finished": []}\n'):
        file.write_bytes(good + damaged)
        with pytest.raises(DataError, match=r"en-de\.jsonl:3: .*Delete the line"):
            Journal(file, {"a": 1})


def test_texts_of_which_little_comes_back_are_rejected(tmp_path, monkeypatch):
    lost = journal_worker.rows()
    lost[3].queries["en"] = "OTHER meaning of a short text 3?"
    monkeypatch.setattr(journal_worker, "rows", lambda: lost)
    translator = LetterTranslator()
    made = job(tmp_path / "back", translator, gate=Gate(min_round_trip=50))
    found = verdicts(made)
    rejected = {text: verdict for text, verdict in found["de"].items() if verdict.reason}
    ((text, verdict),) = rejected.items()
    assert made.sources.texts[text].startswith("OTHER")
    assert verdict.reason == "round_trip" and verdict.value < 50
    assert max(Counter(translator.called).values()) == 1
    assert sorted(contents(tmp_path / "back")) == ["de-en.jsonl", "en-de.jsonl", "en-ru.jsonl", "ru-en.jsonl"]
    assert verdicts(job(tmp_path / "back", again := LetterTranslator(), gate=Gate(min_round_trip=50))) == found
    assert again.called == []
