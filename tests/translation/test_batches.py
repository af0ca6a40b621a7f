"""Pieces and batches cover every text once."""

import pytest
from fakes import LetterTranslator
from hypothesis import given
from hypothesis import strategies as st

from mixlingua.data.rows import PairRow
from mixlingua.errors import ConfigError
from mixlingua.translation.job import open_batches
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
def test_settings_that_cannot_be_are_refused(settings, key, value):
    with pytest.raises(ConfigError, match=rf"translation\.{key}"):
        settings(**{key: value})
