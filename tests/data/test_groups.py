"""Rows that belong together: the same question or passage in some language; and what is held out goes whole."""

import threading
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlingua.data import groups
from mixlingua.data.build import write_store
from mixlingua.data.groups import apart_from, held_out_rows, hold_out, same_texts
from mixlingua.data.rows import PairRow, normalised, unit_interval
from mixlingua.errors import ConfigError, DataError
from mixlingua.files import lock


def row(name, query="", passage="", language="en", **fields):
    queries, passages = {language: query or f"q {name}"}, {language: passage or f"p {name}"}
    return PairRow(name, queries, passages, fields.pop("passage_id", f"id {name}"), **fields)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    def make(*sources):
        folder = tmp_path_factory.mktemp("stores")
        return [write_store(folder / str(n), rows, name=f"s{n}", fingerprint=f"{n}") for n, rows in enumerate(sources)]

    return make


def named(below, count):
    """Names of rows that are held out alone with a fraction of 1/2, or that are not."""
    names = (f"n{number}" for number in range(1000))
    return [name for name in names if (unit_interval(f"id {name}") < 0.5) == below][:count]


HELD, TRAINED = named(True, 60), named(False, 60)


def test_rows_with_one_text_in_any_language_have_one_number(made):
    """Row 0 and 1 share a German question, 1 and 2 an English one, however it is written; 3 has another passage."""
    queries = [{"de": "Wie?", "en": "How?"}, {"de": " Wie?", "en": "So?"}, {"en": "So?\n"}, {"de": "How?!"}]
    rows = [PairRow(str(n), texts, {code: f"{n}" for code in texts}, f"{n}") for n, texts in enumerate(queries)]
    rows[3].passages["de"] = rows[0].passages["en"]
    (store,) = made(rows)
    asked, answered = same_texts(store, "query"), same_texts(store, "passage")
    assert asked[0] == asked[1] == asked[2] != asked[3]
    assert answered[0] == answered[3] and len(set(answered)) == 3
    assert not set(asked) & set(answered)
    assert np.array_equal(store.known, np.stack([asked, answered], axis=1))
    assert store.subset(np.array([3, 1])).known.tolist() == store.known[[3, 1]].tolist()


def test_keys_in_many_pieces_give_the_same_groups(made, monkeypatch):
    rng = np.random.default_rng(0)
    (store,) = made([row(str(n), f"q{rng.integers(40)}", f"p{rng.integers(90)}") for n in range(100)])
    whole = same_texts(store, "query"), held_out_rows([store], 0.3)
    monkeypatch.setattr(groups, "_KEYS_AT_ONCE", 7)
    assert np.array_equal(same_texts(store, "query"), whole[0]) and np.array_equal(
        held_out_rows([store], 0.3), whole[1]
    )


@pytest.mark.parametrize(
    ("shared", "other", "across"),
    [
        ({"passage": "Öl"}, {"passage": " O\u0308l\n"}, True),
        ({"query": "Why?"}, {"query": "Why? "}, True),
        ({"passage": "Öl"}, {"passage": "Öl", "language": "de"}, True),
        (
            {"passage_id": "x", "split_key": f"id {HELD[40]}"},
            {"passage_id": "x", "split_key": f"id {TRAINED[40]}"},
            False,
        ),
        ({"touches": ("x",)}, {"touches": ("y", "x")}, False),
    ],
)
def test_what_rows_share_keeps_them_together(made, shared, other, across):
    """Whichever comes first decides; alone they would fall on different sides. Ids of two sources mean nothing."""
    for first, second in ((HELD[0], TRAINED[0]), (TRAINED[0], HELD[0])):
        more = [*map(row, HELD[1:40] + TRAINED[1:40])]
        chosen = held_out_rows(made([row(first, **shared), row(second, **other), *more]), 0.5).tolist()
        assert chosen[0] == chosen[1]
        assert chosen[2:] == [True] * 39 + [False] * 39
        chosen = held_out_rows(made([row(first, **shared), *more], [row(second, **other)]), 0.5).tolist()
        assert (chosen[0] == chosen[-1]) == across
        assert chosen[1:-1] == [True] * 39 + [False] * 39


def test_a_document_stays_whole_where_a_text_moves_a_part_of_it(made):
    """By itself the document is held out; one of its rows has the passage of an earlier row, which is not."""
    document = {"split_key": f"id {HELD[0]}"}
    rows = [row(TRAINED[0], passage="Oil"), row("a", passage="Oil", **document), row("b", **document)]
    chosen = held_out_rows(made([*rows, *map(row, HELD[1:40] + TRAINED[1:40])]), 0.5).tolist()
    assert chosen == [False] * 3 + [True] * 39 + [False] * 39


def test_the_two_sides_are_stores_and_the_same_every_time(made, tmp_path):
    """Several questions on one passage, as in files that know no ids of passages."""
    rows = [row(f"{topic}-{n}", passage=f"The text about {topic}.") for topic in range(60) for n in range(4)]
    stores = made(rows, [row("own"), *map(row, HELD[:9] + TRAINED[:9])])
    (train, validation), _ = hold_out(stores, 0.2, tmp_path)
    again, _ = hold_out(stores, 0.2, tmp_path)
    trained_on, held_out = (
        set(store.texts(range(store.num_rows), "passage", ["en"] * store.num_rows)) for store in (train, validation)
    )
    assert not trained_on & held_out and train.num_rows + validation.num_rows == 240
    assert 3 <= len(held_out) <= 24  # 12 expected of 60
    assert (train.name, validation.name) == ("s0", "s0 (held out)")
    assert [store.fingerprint for store in again] == [train.fingerprint, validation.fingerprint]
    assert train.fingerprint != validation.fingerprint


def test_a_split_that_another_process_makes_is_waited_for(made, tmp_path):
    """It is read once it is there, and not made again."""
    stores = made([row(str(number)) for number in range(60)])
    hold_out(stores, 0.2, tmp_path)
    (file,) = (tmp_path / "splits").glob("*.npy")
    other = ~np.load(file)
    file.unlink()
    found = []
    waiting = threading.Thread(target=lambda: found.extend(hold_out(stores, 0.2, tmp_path)))
    with lock(file):
        waiting.start()
        waiting.join(1.0)
        assert waiting.is_alive() and not file.exists()
        np.save(file, other)
    waiting.join()
    ((train, validation),) = found
    assert (train.num_rows, validation.num_rows) == (np.count_nonzero(~other), np.count_nonzero(other))


def test_a_group_of_linked_texts_that_is_larger_than_the_fraction_is_trained_on(made):
    chain_of_texts = [row(name, f"q{number // 2}", f"p{(number + 1) // 2}") for number, name in enumerate(HELD[:50])]
    chosen = held_out_rows(made([*chain_of_texts, *map(row, HELD[50:])]), 0.5)
    assert chosen.tolist() == [False] * 50 + [True] * 10


def test_splits_that_cannot_work_are_refused(made, tmp_path):
    linked = made([row(name, query="Why?") for name in HELD[:10] + TRAINED[:10]])
    with pytest.raises(DataError, match=r"source 's0': .*validation_fraction=0\.5 leaves no row for validation"):
        hold_out(linked, 0.5, tmp_path)
    for fraction in (1.0, -0.1):
        with pytest.raises(ConfigError, match=rf"data\.validation_fraction={fraction}"):
            hold_out(linked, fraction, tmp_path)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"), st.sampled_from("uvwxyz"), st.sampled_from(["", "s", "t"]), st.booleans()
        ),
        min_size=2,
        max_size=30,
    ),
    st.sampled_from([0.2, 0.5, 0.8]),
    st.data(),
)
def test_no_text_stands_on_both_sides(made, drawn, fraction, data):
    """Of one source or of two, in one language or in another."""
    rows = [
        replace(
            row(str(number), f"Q{query}", f"P{passage}", split_key=document),
            **({"passages": {"de": f" P{passage}"}, "queries": {"de": f"Q{query}"}} if german else {}),
        )
        for number, (query, passage, document, german) in enumerate(drawn)
    ]
    first = data.draw(st.integers(1, len(rows) - 1))
    chosen = held_out_rows(made(rows[:first], rows[first:]), fraction).tolist()

    def texts(one):
        return {normalised(text) for text in (*one.queries.values(), *one.passages.values())}

    for (n, (one, side)), (m, (other, other_side)) in combinations(enumerate(zip(rows, chosen, strict=True)), 2):
        if side != other_side:
            assert not texts(one) & texts(other)
            assert not one.split_key or one.split_key != other.split_key or (n < first) != (m < first)


def test_rows_to_validate_with_share_no_text_with_training(made, caplog):
    """A question, and a passage in another form and language, that are trained on: both rows are left out."""
    training, validation, known = made(
        [row("a", query="Why?"), row("b", passage="Öl", language="de")],
        [row("c", query=" Why?"), row("d", passage="O\u0308l", language="sv"), row("e"), row("f", query="Öl")],
        [row("g", passage="Öl")],
    )
    (rest,) = apart_from([training], [validation])
    assert rest.ids(range(rest.num_rows)) == ["e", "f"]
    assert "2 of the 4 rows of 's1'" in caplog.text
    assert apart_from([known], [training, rest])[1] is rest
    with pytest.raises(DataError, match="every row of 's2' has a query or a passage that is trained on"):
        apart_from([training], [known])
