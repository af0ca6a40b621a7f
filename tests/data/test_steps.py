from dataclasses import replace

import pytest
import torch

from mixlingua.data.batches import StepDataset, StepLoader, StepSampler
from mixlingua.data.build import write_store
from mixlingua.data.rows import PairRow, text_key
from mixlingua.errors import DataError
from mixlingua.losses.base import share_a_key


@pytest.fixture
def dataset(tmp_path, tokenizer, plan):
    def make(rows, batch_size=4, num_negatives=0, rank=0, world_size=1, augmentation=None):
        path = tmp_path / f"store {len(list(tmp_path.iterdir()))}"
        store = write_store(path, rows, name="test", fingerprint="f")
        chosen = plan([store], batch_size, 0)
        return StepDataset(
            [store],
            chosen,
            tokenizer,
            augmentation=augmentation,
            num_negatives=num_negatives,
            rank=rank,
            world_size=world_size,
        )

    return make


def test_a_batch_holds_the_planned_texts(dataset, rows, decode):
    batch = dataset(rows(20))[2]
    assert decode(batch.queries["input_ids"]) == [f"query {number} de" for number in range(8, 12)]
    assert decode(batch.passages["input_ids"]) == [f"passage {number} en" for number in range(8, 12)]
    assert (batch.index, batch.kind, batch.source) == (2, "crosslingual", "test")
    assert (batch.query_languages, batch.passage_languages) == (["de"] * 4, ["en"] * 4)
    assert batch.query_keys.dtype == batch.passage_keys.dtype == torch.int64


def test_negatives_follow_the_positives_query_by_query_and_change_with_the_batch(dataset, rows, decode):
    data = dataset(rows(4, num_negatives=3), num_negatives=2)
    assert decode(data[0].passages["input_ids"])[4:] == [f"wrong {q}.{n} en" for q in range(4) for n in (0, 1)]
    assert decode(data[1].passages["input_ids"])[4:] == [f"wrong {q}.{n} en" for q in range(4) for n in (2, 0)]
    assert data[0].passage_keys.shape == (12, 4) and data[0].scores is None


def test_passages_of_equal_text_share_a_key_whatever_their_ids(dataset, rows, decode):
    listed = rows(4, num_negatives=1)
    same = {"de": "gleich", "en": listed[2].passages["en"]}
    listed[1] = replace(listed[1], negatives={"de": ["falsch"], "en": [listed[3].passages["en"]]})
    twin = PairRow(
        id="twin", queries=listed[0].queries, passages=same, passage_id="other", negatives=listed[0].negatives
    )
    batch = dataset([twin, *listed[1:]], num_negatives=1)[0]
    # Each query's own passage; the twins 0 and 2; and query 1's negative, which is query 3's answer (column 5).
    assert known_answers(batch) == [[0, 0], [0, 2], [1, 1], [2, 0], [2, 2], [3, 3], [3, 5]]


def test_translations_bring_no_negatives(dataset, rows):
    sentences = [replace(row, passages=dict(row.queries)) for row in rows(4)]
    batch = dataset(sentences, num_negatives=1)[0]
    assert len(batch.passages["input_ids"]) == len(batch.queries["input_ids"]) == 4


def known_answers(batch):
    """(query, passage) of a batch that share a key: what the losses leave out of the negatives."""
    return share_a_key(batch.query_keys, batch.passage_keys).nonzero().tolist()


@pytest.mark.parametrize("other", ["query 0 de", " query  0 de\n"])
def test_answers_to_the_same_question_are_no_negatives_of_each_other(dataset, rows, other):
    """By the question as it stands in the batch, and by the one in English that both rows have."""
    listed = rows(4)
    listed[2] = replace(listed[2], queries={"de": other, "en": "another in English"})
    listed[3] = replace(listed[3], queries={"de": "anders auf Deutsch", "en": listed[1].queries["en"]})
    apart = [[row, row] for row in range(4)]
    assert known_answers(dataset(rows(4))[0]) == apart
    assert known_answers(dataset(listed)[0]) == sorted([*apart, [0, 2], [2, 0], [1, 3], [3, 1]])


def test_questions_and_passages_that_agree_in_a_third_language_are_known(dataset, rows):
    """The batch has German queries and English passages; the rows agree in Thai."""
    listed = rows(4, languages=("de", "en", "th"))
    listed[1].queries["th"] = listed[0].queries["th"]
    listed[3].passages["th"] = listed[2].passages["th"]
    together = [[0, 1], [1, 0], [2, 3], [3, 2]]
    assert known_answers(dataset(listed)[0]) == sorted([*([row, row] for row in range(4)), *together])


def test_a_given_hard_negative_that_answers_the_question_in_another_row_is_none(dataset, rows):
    """Row 6, which is not in the batch, asks as row 0 does, and its passage is given as a negative of rows 0 and 1."""
    listed = rows(8, num_negatives=1)
    listed[6].queries["en"] = listed[0].queries["en"]
    for row in (0, 1):
        listed[row].negatives["en"] = [listed[6].passages["de"]]
    batch = dataset(listed, num_negatives=1)[0]
    assert known_answers(batch) == [[0, 0], [0, 4], [0, 5], [1, 1], [2, 2], [3, 3]]


def test_a_given_hard_negative_that_answers_several_questions_is_none_for_any_of_them(dataset, rows):
    """Row 6, which is not in the batch, has the passage of row 0 and asks as row 1 does, which has it as a negative."""
    listed = rows(8, num_negatives=1)
    listed[6].passages.update(listed[0].passages)
    listed[6].queries["en"] = listed[1].queries["en"]
    listed[1].negatives["en"] = [listed[0].passages["en"]]
    found = known_answers(dataset(listed, num_negatives=1)[0])
    assert [query for query, passage in found if passage == 5] == [0, 1]


def test_a_passage_that_answers_the_question_in_another_row_is_no_negative(dataset, rows):
    """Row 6, which is not in the batch, asks as row 1 does, and its passage is that of row 0, in another language."""
    listed = rows(8)
    listed[6].queries["en"] = listed[1].queries["en"]
    listed[6].passages["de"] = listed[0].passages["de"]
    assert known_answers(dataset(listed)[0]) == [[0, 0], [1, 0], [1, 1], [2, 2], [3, 3]]


def test_a_given_negative_of_another_question_may_answer_it_in_another_row(dataset, rows):
    """Row 6, which is not in the batch, asks as row 1 does; its passage is a negative of row 0."""
    listed = rows(8, num_negatives=1)
    listed[6].queries["en"] = listed[1].queries["en"]
    listed[0].negatives["en"] = [listed[6].passages["de"]]
    found = known_answers(dataset(listed, num_negatives=1)[0])
    assert [query for query, passage in found if passage == 4] == [1]


def test_a_given_negative_that_touches_another_query_of_the_batch_is_none_for_it(dataset, rows):
    """Row 6, which is not in the batch, contains text of rows 0 and 2. Its passage is given to row 0 as a negative."""
    listed = rows(8, num_negatives=1)
    touched = (listed[0].passage_id, listed[2].passage_id)
    listed[6] = replace(listed[6], touches=touched)
    listed[0].negatives["en"] = [listed[6].passages["en"]]
    found = known_answers(dataset(listed, num_negatives=1)[0])
    assert [query for query, passage in found if passage == 4] == [2]


def test_ranks_have_keys_of_one_shape_whichever_of_them_has_further_answers(dataset, rows):
    def listed():
        made = rows(8)
        for row in (4, 5, 6, 7):
            made[row].queries["en"] = made[3].queries["en"]
            made[row].passages.update(made[row - 4].passages)
        return made

    whole = dataset(listed(), batch_size=4)[0]
    assert known_answers(whole) == [[0, 0], [1, 1], [2, 2], [3, 0], [3, 1], [3, 2], [3, 3]]
    shares = [dataset(listed(), batch_size=4, rank=rank, world_size=2)[0] for rank in (0, 1)]
    for name in ("query_keys", "passage_keys"):
        assert torch.equal(torch.cat([getattr(share, name) for share in shares]), getattr(whole, name))


def test_scores_are_those_of_the_passages_that_a_query_brings(dataset, rows):
    listed = [replace(row, scores={"en": [9.0, 0.0, 1.0, 2.0]}) for row in rows(4, num_negatives=3)]
    listed[2] = replace(listed[2], scores={"de": [9.0, 0.0, 1.0, 2.0]})
    data = dataset(listed, num_negatives=2)
    assert data[0].scores[[0, 1, 3]].tolist() == [[9, 0, 1]] * 3 and data[1].scores[0].tolist() == [9, 2, 0]
    assert data[0].scores[2].isnan().all(), "no scores in English"


@pytest.mark.parametrize("written", ["O\u0308ffnungszeiten: ta\u0308glich", "\u2003Öffnungszeiten:\u00a0 täglich\n"])
def test_texts_that_are_written_alike_are_one_text(dataset, rows, written):
    """Unicode normalisation and white space tell no texts apart: passages, queries and negatives alike."""
    listed = rows(4, num_negatives=1)
    listed[0] = replace(listed[0], passages={"de": "x", "en": "Öffnungszeiten: täglich"})
    listed[1] = replace(listed[1], passages={"de": "y", "en": written})
    listed[2] = replace(listed[2], negatives={"de": ["z"], "en": [written]})
    batch = dataset(listed, num_negatives=1)[0]
    assert known_answers(batch) == [[0, 0], [0, 1], [0, 6], [1, 0], [1, 1], [1, 6], [2, 2], [3, 3]]
    assert text_key(written) == text_key("Öffnungszeiten: täglich") != text_key("öffnungszeiten: täglich")


def test_the_ranks_shares_are_the_batch(dataset, rows, decode):
    whole = dataset(rows(20), batch_size=6)[1]
    shares = [dataset(rows(20), batch_size=6, rank=rank, world_size=3)[1] for rank in range(3)]
    assert [text for share in shares for text in decode(share.queries["input_ids"])] == decode(
        whole.queries["input_ids"]
    )
    assert torch.equal(torch.cat([share.passage_keys for share in shares]), whole.passage_keys)


def test_workers_give_the_same_batches(dataset, rows, decode):
    data = dataset(rows(20, num_negatives=1), num_negatives=1)
    plain, parallel = (
        [
            decode(batch.passages["input_ids"])
            for batch in StepLoader(data, sampler=StepSampler(5, 0), num_workers=workers)
        ]
        for workers in (0, 2)
    )
    assert plain == parallel
    assert len(plain) == 5


def test_sampler_keeps_its_length_and_goes_on_after_a_pass():
    sampler = StepSampler(5, start=3)
    assert len(sampler) == 5
    iter(sampler)  # not read from
    assert list(sampler) == [3, 4]
    assert list(sampler) == [5, 6, 7, 8, 9]


class Damaged:
    """A data set whose second batch cannot be read."""

    def __getitem__(self, index):
        if index == 1:
            raise DataError("store.arrow: damaged. Delete it to build it again.")
        return index


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_a_worker_is_the_error_itself(workers):
    batches = iter(StepLoader(Damaged(), sampler=range(3), num_workers=workers))
    assert next(batches) == 0
    with pytest.raises(DataError) as raised:
        next(batches)
    assert str(raised.value) == "store.arrow: damaged. Delete it to build it again."
