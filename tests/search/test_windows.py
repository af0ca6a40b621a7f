"""Windows fit into the model, end at sentences, overlap, and lose no word of their document."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlingua.errors import ConfigError
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.search.encoding import Encoding
from mixlingua.search.windows import Windowing

from .conftest import TINY, document

SENTENCES = [f"Sentence {number} says little." for number in range(30)]


@pytest.fixture(scope="module")
def tokenizer():
    return PretrainedEncoder(**TINY).load(0).tokenizer


def windows(tokenizer, text: str, title: str = "", language: str = "en", **settings):
    return list(Windowing(**settings).cut([document("d", text, language, title)], tokenizer))


def test_a_short_document_is_one_window(encoding: Encoding) -> None:
    (window,) = windows(encoding.encoder.tokenizer, "Short.", "Title")
    assert window.encoded_text == "Title Short."
    ids = encoding.encoder.tokenizer.encode([window.encoded_text], "passage")
    assert (window.number, window.num_tokens) == (0, len(ids[0]))


def test_windows_are_whole_sentences_that_overlap_and_nothing_is_cut(tokenizer) -> None:
    cut = windows(tokenizer, " ".join(SENTENCES), "Title", overlap=30)
    assert len(cut) > 10
    assert [window.number for window in cut] == list(range(len(cut)))
    _, lost = tokenizer.encode_counting([window.encoded_text for window in cut], "passage")
    assert lost == {}
    for window in cut:
        assert all(piece.strip() in [sentence.rstrip(".") for sentence in SENTENCES]
                   for piece in window.text.split(".") if piece.strip())  # fmt: skip
    kept = [sentence for sentence in SENTENCES if any(sentence in window.text for window in cut)]
    assert kept == SENTENCES
    repeated = [a for a, b in pairwise(cut) if a.text.split(". ")[-1].rstrip(".") in b.text]
    assert repeated, "none overlaps"


def test_without_overlap_windows_are_the_document_cut_up(tokenizer) -> None:
    cut = windows(tokenizer, " ".join(SENTENCES), overlap=0)
    assert " ".join(window.text for window in cut) == " ".join(SENTENCES)


def test_a_sentence_longer_than_a_window_is_cut_at_blanks(tokenizer) -> None:
    text = " ".join(f"word{number}" for number in range(100))
    cut = windows(tokenizer, text, overlap=0)
    assert " ".join(window.text for window in cut) == text
    assert tokenizer.encode_counting([window.encoded_text for window in cut], "passage")[1] == {}


def test_smaller_windows_and_long_titles(tokenizer) -> None:
    assert len(windows(tokenizer, " ".join(SENTENCES), tokens=40, overlap=0)) > len(
        windows(tokenizer, " ".join(SENTENCES), overlap=0)
    )
    cut = windows(tokenizer, " ".join(SENTENCES), "A title of many words " * 20, overlap=0)
    assert tokenizer.encode_counting([window.encoded_text for window in cut], "passage")[1] == {}
    assert " ".join(window.text for window in cut) == " ".join(SENTENCES)


def test_a_prefix_and_a_title_that_leave_no_room_are_named() -> None:
    long = PretrainedEncoder(**{**TINY, "passage_prefix": "Represent this passage of a document: "}).load(0).tokenizer
    with pytest.raises(ConfigError, match=r"index.windows.tokens=32: test:d: the prefix and .* take \d+ tokens"):
        windows(long, " ".join(SENTENCES), "A title of " * 29 + "words", tokens=32, overlap=0)


def test_a_character_of_more_tokens_than_there_is_room_for_is_a_unit(tokenizer) -> None:
    """The title leaves room for one token; the bytes of an emoji are four."""
    text = "a 😀😀 b and more of it"
    cut = windows(tokenizer, text, "title " * 9, tokens=16, overlap=0)
    assert "".join(window.text for window in cut).replace(" ", "") == text.replace(" ", "")


@given(text=st.text(st.sampled_from("ab .。!?\n中文ไทय\u200b😀"), max_size=400), overlap=st.integers(0, 30))
def test_any_text_is_cut_without_loss(tokenizer, text: str, overlap: int) -> None:
    text = text.strip()
    cut = windows(tokenizer, text, overlap=overlap)
    assert tokenizer.encode_counting([window.encoded_text for window in cut], "passage")[1] == {}
    position = 0
    for window in cut:  # each begins no later than where those before it end, but for blanks
        begin = text.find(window.text, max(position - len(window.text), 0))
        assert begin >= 0 and not text[position:begin].strip()
        position = max(position, begin + len(window.text))
    assert not text[position:].strip()


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"index.windows.tokens=5"):
        Windowing(tokens=5)
    with pytest.raises(ConfigError, match=r"index.windows.overlap=40: more than half"):
        Windowing(tokens=64, overlap=40)
