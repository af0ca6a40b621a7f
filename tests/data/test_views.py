"""Further texts of a batch: the pivot side and other languages of the same rows."""

from dataclasses import replace

import numpy as np
import pytest

from mixlingua.data.batches import TeacherTexts, VariantTexts, View, view_makers
from mixlingua.data.build import write_store


@pytest.fixture
def store(tmp_path, rows):
    """Row 0 has de, en and fr; row 1 lacks en; row 2 has de only."""
    full = rows(3, languages=("de", "en", "fr"))
    held = (("de", "en", "fr"), ("de", "fr"), ("de",))
    cut = [
        replace(
            row, queries={code: row.queries[code] for code in own}, passages={code: row.passages[code] for code in own}
        )
        for row, own in zip(full, held, strict=True)
    ]
    return write_store(tmp_path / "store", cut, name="test", fingerprint="f")


@pytest.fixture
def batch(store, plan):
    return plan([store], 3, 0).batch(0)  # rows 0, 1, 2; queries in de, passages in en: only de is asked for here


def test_whether_rows_hold_a_language(store):
    found = {language: store.holds(np.arange(3), language).tolist() for language in ("de", "en", "fr", "zz")}
    assert found == {"de": [True] * 3, "en": [True, False, False], "fr": [True, True, False], "zz": [False] * 3}


def test_the_pivot_side_of_each_row_that_has_one(store, batch, tokenizer, decode):
    batch = replace(batch, passage_languages=["fr", "fr", "de"])
    queries, passages = (TeacherTexts(side, "en", tokenizer)(store, batch) for side in ("query", "passage"))
    assert decode(queries.features["input_ids"]) == ["query 0 en", "query 1 de", "query 2 de"]
    assert decode(passages.features["input_ids"]) == ["passage 0 en", "passage 1 fr", "passage 2 de"]
    assert queries.present.tolist() == passages.present.tolist() == [True, False, False]


def test_the_teacher_reads_a_batchs_own_texts(store, batch, tokenizer, decode):
    batch = replace(batch, passage_languages=["fr", "fr", "de"])
    queries, passages = (TeacherTexts(side, None, tokenizer)(store, batch) for side in ("query", "passage"))
    assert decode(queries.features["input_ids"]) == ["query 0 de", "query 1 de", "query 2 de"]
    assert decode(passages.features["input_ids"]) == ["passage 0 fr", "passage 1 fr", "passage 2 de"]
    assert queries.present.all() and passages.present.all()


def test_variants_are_in_another_training_language_and_depend_on_seed_batch_and_row(store, batch, tokenizer, decode):
    make, other = (VariantTexts("query", ("de", "en", "fr"), tokenizer, seed=seed, count=1) for seed in (0, 1))
    view = make(store, batch)
    texts = decode(view.features["input_ids"])
    assert texts[0] in ("query 0 en", "query 0 fr") and texts[1:] == ["query 1 fr", "query 2 de"]
    assert view.present.tolist() == [True, True, False]
    assert decode(make(store, batch).features["input_ids"]) == texts
    drawn = [[decode(each(store, replace(batch, index=index)).features["input_ids"])[0] for index in range(16)]
             for each in (make, other)]  # fmt: skip
    assert set(drawn[0]) == set(drawn[1]) == {"query 0 en", "query 0 fr"} and drawn[0] != drawn[1]
    assert not VariantTexts("query", ("de",), tokenizer, seed=0, count=1)(store, batch).present.any()


def test_several_variants_are_all_different_and_row_by_row(store, batch, tokenizer, decode):
    batch = replace(batch, passage_languages=["fr", "fr", "de"])
    view = VariantTexts("passage", ("de", "en", "fr"), tokenizer, seed=0, count=2)(store, batch)
    texts = decode(view.features["input_ids"])
    assert set(texts[:2]) == {"passage 0 de", "passage 0 en"}
    assert texts[2:] == ["passage 1 de", "passage 1 fr", "passage 2 de", "passage 2 de"]
    assert view.present.tolist() == [True, True, True, False, False, False]


def test_pivot_and_same_texts_are_the_teachers_and_variants_the_models():
    makers = view_makers(
        dict.fromkeys(View, 2), "the model's", "the teacher's", pivot="fr", languages=["de", "fr"], seed=3
    )
    assert makers[View.PIVOT_QUERIES] == TeacherTexts("query", "fr", "the teacher's")
    assert makers[View.PIVOT_PASSAGES] == TeacherTexts("passage", "fr", "the teacher's")
    assert makers[View.TEACHER_QUERIES] == TeacherTexts("query", None, "the teacher's")
    assert makers[View.TEACHER_PASSAGES] == TeacherTexts("passage", None, "the teacher's")
    assert makers[View.VARIANT_QUERIES] == VariantTexts("query", ("de", "fr"), "the model's", 3, 2)
    assert list(view_makers({View.VARIANT_PASSAGES: 1}, "the model's", None, pivot="fr", languages=["de"], seed=3)) == [
        "variant_passages"
    ]
