import json
import pickle
from dataclasses import replace
from itertools import combinations
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlingua.data.build import StoreWriter, write_store
from mixlingua.data.rows import PairRow, id_key, text_key
from mixlingua.data.store import ParallelStore
from mixlingua.errors import DataError


def write(path, rows, batch_rows=4):
    """A store with small record batches, so that few rows reach several of them."""
    with StoreWriter(path, name="test", fingerprint="f", batch_rows=batch_rows) as writer:
        for row in rows:
            writer.add(row)
        writer.finish()
    return ParallelStore(path)


def uneven_rows(languages_by_row):
    return [
        PairRow(
            id=str(number),
            queries={code: f"q{number} {code}" for code in languages},
            passages={code: f"p{number} {code}" for code in languages},
            passage_id=f"p{number}",
            split_key="" if number % 3 == 2 else f"d{number // 2}",
        )
        for number, languages in enumerate(languages_by_row)
    ]


@settings(max_examples=40)
@given(st.lists(st.sets(st.sampled_from(["ar", "de", "en", "fr", "zh"]), min_size=1), min_size=1, max_size=14))
def test_every_text_comes_back_and_coverage_says_which_there_are(tmp_path_factory, languages_by_row):
    store = write(tmp_path_factory.mktemp("store") / "s", uneven_rows(languages_by_row))
    union = set().union(*languages_by_row)
    assert store.languages == tuple(sorted(union))
    for row, languages in enumerate(languages_by_row):
        assert store.ids([row]) == [str(row)]
        assert store.split_keys([row]) == ["" if row % 3 == 2 else f"d{row // 2}"]
        for bit, code in enumerate(store.languages):
            if code in languages:
                assert store.texts([row], "query", [code]) == [f"q{row} {code}"]
                assert store.texts([row], "passage", [code]) == [f"p{row} {code}"]
                assert store.negatives([row], [code]) == [[]]
            else:
                with pytest.raises(DataError, match=f"no text in '{code}'"):
                    store.texts([row], "query", [code])
            if store.coverage is not None:
                assert bool(int(store.coverage[row]) >> bit & 1) == (code in languages)
    assert (store.coverage is None) == all(languages == union for languages in languages_by_row)
    assert store.rows_per_language == {code: sum(code in row for row in languages_by_row) for code in sorted(union)}


def test_texts_of_many_rows_in_many_languages_keep_their_order(tmp_path, rows):
    store = write(tmp_path / "s", rows(11, ("de", "en", "th")))
    assert store.texts([10, 0, 5], "passage", ["th", "de", "en"]) == ["passage 10 th", "passage 0 de", "passage 5 en"]
    with pytest.raises(IndexError):
        store.texts([11], "query", ["de"])
    with pytest.raises(DataError, match="no language 'fr'; it has de, en, th"):
        store.texts([0], "query", ["fr"])


def test_negatives_and_their_least_number(tmp_path, rows):
    store = write(tmp_path / "s", rows(6, num_negatives=2))
    assert store.negatives([5, 0], ["en", "de"]) == [["wrong 5.0 en", "wrong 5.1 en"], ["wrong 0.0 de", "wrong 0.1 de"]]
    assert store.min_negatives == 2
    assert write(tmp_path / "t", [*rows(6, num_negatives=2), *rows(1)]).min_negatives == 0


def test_a_store_knows_whether_it_holds_translations_alone(tmp_path, rows):
    sentence = PairRow("a", {"de": "Ja", "en": "Yes"}, {"de": "Ja", "en": "Yes"}, "a")
    assert write(tmp_path / "s", [sentence]).is_translations
    assert not write(tmp_path / "t", [sentence, *rows(1)]).is_translations


def test_keys_stand_for_passage_id_touches_and_the_english_text(tmp_path):
    plain = PairRow(id="a", queries={"de": "q", "en": "q"}, passages={"de": "Ja", "en": "yes"}, passage_id="1")
    wide = PairRow(id="b", queries={"de": "q"}, passages={"de": "Ja"}, passage_id="2", touches=("1", "3"))
    store = write(tmp_path / "s", [plain, wide])
    assert store.keys.tolist() == [
        [id_key("1"), text_key("yes"), id_key("1"), id_key("1")],
        [id_key("2"), id_key("1"), id_key("3"), text_key("Ja")],
    ]


def test_a_negative_is_known_by_its_passage_and_by_the_question_that_it_answers(tmp_path):
    """Rows 0 and 1 ask the same; each has the other's answer, in one language or another, as a negative."""
    rows = [
        PairRow("0", {"de": "Wie?", "en": "How?"}, {"de": "a", "en": "b"}, "0", negatives={"en": ["c", " b", "x"]}),
        PairRow("1", {"de": "Wie?"}, {"de": "c"}, "1", negatives={"de": ["b", "d"]}),
        PairRow("2", {"de": "Wer?"}, {"de": "d"}, "2", negatives={"de": ["a"]}),
    ]
    store = write(tmp_path / "s", rows)
    (asked, first), (_, second), (other, third) = store.known.tolist()
    found = store.negative_keys(np.array([0, 0, 0, 1, 1, 2]), ["c", " b", "x", "b", "d", "a"])
    alone = text_key("x")
    keys = [[id_key(row.passage_id), text_key(text)] for row, text in zip(rows, "bcd", strict=True)]
    assert found.tolist() == [
        [*keys[1], asked, second], [first, first, asked, first], [alone] * 4,
        [*keys[0], asked, first], [*keys[2], other, third], [*keys[0], asked, first],
    ]  # fmt: skip
    subset = store.subset(np.array([1]))
    assert subset.negative_keys(np.array([0]), ["b"]).tolist() == [[*keys[0], asked, first]]


def test_the_time_for_a_batchs_negatives_does_not_grow_with_the_source(tmp_path):
    store = write(tmp_path / "s", [PairRow("1", {"en": "q"}, {"en": "a"}, "1", negatives={"en": ["b"]})])
    passages, _ = store._passages
    store.__dict__["_passages"] = passages, np.arange(1 << 20) * 12345678901  # as many pairs of question and passage
    started = process_time()
    store.negative_keys(np.zeros(64, np.int64), ["b"] * 64)
    assert process_time() - started < 0.05


def test_scores_come_back_and_say_that_there_are_some(tmp_path, rows):
    with_scores = [replace(row, scores={"en": [2.5, 1.0, -0.5]}) for row in rows(5, num_negatives=2)]
    store = write(tmp_path / "s", [*with_scores, *rows(1)])
    assert store.has_scores and not write(tmp_path / "t", rows(1)).has_scores
    assert store.scores([4, 5, 4], ["en", "en", "de"]) == [[2.5, 1.0, -0.5], [], []]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 4), st.sets(st.integers(0, 4), max_size=2)), min_size=2, max_size=9))
def test_conflict_rate_bounds_the_share_of_pairs_that_share_a_key(tmp_path_factory, drawn):
    rows = [
        PairRow(str(n), {"en": f"q{n}"}, {"en": f"p{n}"}, f"id{p}", touches=tuple(f"id{t}" for t in sorted(touches)))
        for n, (p, touches) in enumerate(drawn)
    ]
    store = write(tmp_path_factory.mktemp("store") / "s", rows)
    shared = [
        len(set(store.keys[a].tolist()) & set(store.keys[b].tolist())) for a, b in combinations(range(len(rows)), 2)
    ]
    exact = np.mean([count > 0 for count in shared])
    if max(shared) <= 1:
        assert store.conflict_rate == pytest.approx(exact)
    else:
        assert exact < store.conflict_rate or store.conflict_rate == 1.0 == exact


def test_a_store_travels_to_another_process_by_its_path(tmp_path, rows):
    store = write(tmp_path / "s", rows(5))
    store.texts([0], "query", ["de"])
    copy = pickle.loads(pickle.dumps(store))
    assert copy.texts([4], "query", ["de"]) == ["query 4 de"]
    assert len(pickle.dumps(store)) < 500


def test_write_is_atomic(tmp_path, rows):
    def broken():
        yield from rows(3)
        raise DataError("line 4")

    with pytest.raises(DataError, match="line 4"):
        write_store(tmp_path / "s", broken(), name="test", fingerprint="f")
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="gave no rows"):
        write_store(tmp_path / "s", [], name="test", fingerprint="f")


def test_more_languages_than_bits_are_refused(tmp_path):
    codes = [f"l{number}" for number in range(65)]
    with pytest.raises(DataError, match="more than 64 languages"):
        write(tmp_path / "s", uneven_rows([codes]))


def test_damaged_foreign_and_missing_stores_are_named(tmp_path, rows):
    write(tmp_path / "s", rows(5))
    with pytest.raises(DataError, match="not a parallel store"):
        ParallelStore(tmp_path / "nowhere")
    arrow = tmp_path / "s" / "de.arrow"
    whole = arrow.read_bytes()
    arrow.write_bytes(whole[:-8])
    with pytest.raises(DataError, match=r"de\.arrow: missing or cut short"):
        ParallelStore(tmp_path / "s")
    arrow.write_bytes(whole)
    metadata = tmp_path / "s" / "store.json"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"format": 99}))
    with pytest.raises(DataError, match="store format 99"):
        ParallelStore(tmp_path / "s")
    metadata.write_text("{")
    with pytest.raises(DataError, match="damaged"):
        ParallelStore(tmp_path / "s")


def test_a_subset_is_a_store_of_its_rows(tmp_path):
    languages = [{"de", "en"}, {"en"}, {"de"}, {"de", "en"}, {"de", "en"}, {"en"}]
    rows = [replace(row, touches=("t",)) if number in (0, 2, 4) else row for number, row in
            enumerate(uneven_rows(languages))]  # fmt: skip
    whole = write(tmp_path / "s", rows)
    subset = whole.subset(np.array([2, 4, 5]))
    assert (subset.num_rows, subset.ids([0, 1, 2]), subset.languages) == (3, ["2", "4", "5"], ("de", "en"))
    assert subset.texts([0, 1, 2, 1], "passage", ["de", "en", "en", "de"]) == ["p2 de", "p4 en", "p5 en", "p4 de"]
    assert subset.negatives([2], ["en"]) == [[]]
    assert subset.rows_per_language == {"de": 2, "en": 2}
    assert subset.coverage.tolist() == whole.coverage[[2, 4, 5]].tolist()
    assert np.array_equal(subset.keys, whole.keys[[2, 4, 5]])
    assert (whole.conflict_rate, subset.conflict_rate) == (6 / 30, 2 / 6), "0, 2 and 4 touch one text; then 2 and 4 do"
    with pytest.raises(IndexError, match="row 3 of store 'test', which has 3 rows"):
        subset.texts([3], "query", ["en"])
    with pytest.raises(DataError, match=r"row 2 \(5\) has no text in 'de'"):
        subset.texts([2], "query", ["de"])


def test_subsets_are_known_by_their_rows_and_travel_to_other_processes(tmp_path):
    whole = write(tmp_path / "s", uneven_rows([{"de", "en"}] * 9))
    subset = whole.subset(np.array([1, 3, 8]))
    assert (subset.coverage, subset.rows_per_language) == (None, {"de": 3, "en": 3})
    assert subset.fingerprint == whole.subset(np.array([1, 3, 8])).fingerprint
    assert len({store.fingerprint for store in (whole, subset, whole.subset(np.array([1, 3, 7])))}) == 3
    assert subset.subset(np.array([2])).ids([0]) == ["8"]
    sent = pickle.loads(pickle.dumps(subset))
    assert (sent.fingerprint, sent.ids([2]), sent.num_rows) == (subset.fingerprint, ["8"], 3)
