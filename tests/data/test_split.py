"""Held-out rows: whole groups of rows that share a text, a passage or a document."""

from dataclasses import replace
from itertools import chain, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlingua.data.build import build_store
from mixlingua.data.rows import PairRow, normalised, unit_interval
from mixlingua.data.split import Split
from mixlingua.errors import DataError


def row(name, query="", passage="", language="en", **fields):
    queries, passages = {language: query or f"q {name}"}, {language: passage or f"p {name}"}
    return PairRow(name, queries, passages, fields.pop("passage_id", f"id {name}"), **fields)


def sides(folder, rows, fraction):
    with Split(folder) as split:
        for one in rows:
            split.add(one)
        given_back, held_out = zip(*split.rows(fraction), strict=True)
    assert list(given_back) == rows
    assert not list(folder.iterdir())
    return held_out


def named(below, count):
    """Names of rows that are held out alone with a fraction of 1/2, or that are not."""
    names = (f"n{number}" for number in range(1000))
    return [name for name in names if (unit_interval(f"id {name}") < 0.5) == below][:count]


def test_several_questions_on_one_passage_fall_on_one_side(tmp_path, reader):
    """Without a passage_id, as in files that know none: each row is a passage of its own by its id."""
    rows = [row(f"{topic}-{n}", passage=f"The text about {topic}.") for topic in range(60) for n in range(4)]
    train, validation = build_store(reader(rows), tmp_path, validation_fraction=0.2, progress=False)
    trained_on, held_out = (
        set(store.texts(range(store.num_rows), "passage", ["en"] * store.num_rows)) for store in (train, validation)
    )
    assert not trained_on & held_out
    assert train.num_rows + validation.num_rows == 240
    assert 3 <= len(held_out) <= 24  # 12 expected of 60


@pytest.mark.parametrize(
    ("shared", "other"),
    [
        ({"passage": "Öl"}, {"passage": " O\u0308l\n"}),
        ({"query": "Why?"}, {"query": "Why? "}),
        ({"passage_id": "x", "split_key": "one"}, {"passage_id": "x", "split_key": "two"}),
        ({"touches": ("x",)}, {"touches": ("y", "x")}),
        ({"split_key": "one"}, {"split_key": "one"}),
    ],
)
def test_what_rows_share_keeps_them_together(tmp_path, shared, other):
    """Whichever comes first decides; the rows alone would fall on different sides."""
    held, trained = named(True, 40), named(False, 40)
    for first, second in ((held[0], trained[0]), (trained[0], held[0])):
        rows = [row(first, **shared), row(second, **other), *map(row, held[1:] + trained[1:])]
        chosen = sides(tmp_path, rows, 0.5)
        assert chosen[0] == chosen[1]
        assert chosen[2:] == (True,) * 39 + (False,) * 39


def test_a_group_of_linked_texts_that_is_larger_than_the_fraction_is_trained_on(tmp_path):
    held = named(True, 60)
    chain_of_texts = [row(name, f"q{number // 2}", f"p{(number + 1) // 2}") for number, name in enumerate(held[:50])]
    chosen = sides(tmp_path, [*chain_of_texts, *map(row, held[50:])], 0.5)
    assert chosen == (False,) * 50 + (True,) * 10


def test_where_all_rows_share_texts_a_split_is_refused(tmp_path, reader):
    rows = [row(name, query="Why?") for name in named(True, 10) + named(False, 10)]
    with pytest.raises(DataError, match=r"leaves no row for validation.*share texts"):
        build_store(reader(rows), tmp_path, validation_fraction=0.5, progress=False)


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
)
def test_no_text_stands_on_both_sides(tmp_path_factory, drawn, fraction):
    rows = [
        replace(
            row(str(number), f"Q{query}", f"P{passage}", split_key=document),
            **({"passages": {"de": f" P{passage}"}, "queries": {"de": f"Q{query}"}} if german else {}),
        )
        for number, (query, passage, document, german) in enumerate(drawn)
    ]
    chosen = sides(tmp_path_factory.mktemp("split"), rows, fraction)

    def texts(one):
        return {normalised(text) for text in chain(one.queries.values(), one.passages.values())}

    for (one, side), (other, other_side) in combinations(zip(rows, chosen, strict=True), 2):
        if side != other_side:
            assert not texts(one) & texts(other)
            assert not one.split_key or one.split_key != other.split_key
