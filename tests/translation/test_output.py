"""Rows get the languages in which all that they need was accepted."""

from mixlingua.data.readers.jsonl import JsonlReader
from mixlingua.data.rows import PairRow
from mixlingua.translation.gate import Verdict
from mixlingua.translation.output import Accepted, completed, write_rows

ACCEPTED = {"q": "Q", "p": "P", "n1": "N1", "n2": "N2"}


def row(**given):
    values = {"id": "1", "queries": {"en": "q"}, "passages": {"en": "p"}, "passage_id": "p1", "negatives": {}}
    return PairRow(**{**values, **given})


def made(row, accepted=ACCEPTED):
    return completed(row, "en", ["en", "de"], lambda language, text: accepted.get(text) if language == "de" else None)


def test_a_row_is_completed_where_query_and_passage_are_accepted():
    assert made(row()) == row(queries={"en": "q", "de": "Q"}, passages={"en": "p", "de": "P"})
    assert made(row(), {"q": "Q"}) == row()
    assert made(row(), {"p": "P"}) == row()


def test_what_a_row_has_is_kept():
    both = row(queries={"en": "q", "de": "eigene"}, passages={"en": "p", "de": "eigene"})
    assert made(both) == both
    without = row(queries={"de": "eigene"}, passages={"de": "eigene"})
    assert made(without) == without


def test_negatives_go_along_and_a_row_without_any_goes_without_the_language():
    whole = made(row(negatives={"en": ["n1", "bad", "n2"]}))
    assert whole.negatives == {"en": ["n1", "bad", "n2"], "de": ["N1", "N2"]}
    assert made(row(negatives={"en": ["bad"]})) == row(negatives={"en": ["bad"]})


def test_rows_are_read_back_as_they_were_written(tmp_path):
    rows = [
        made(row(negatives={"en": ["n1"]})),
        row(id="2", queries={"zh": "问"}, passages={"zh": "答"}, passage_id="x", touches=("s1", "s2"), split_key="d"),
    ]
    assert write_rows(tmp_path / "rows.jsonl.gz", rows) == {"en": 1, "de": 1, "zh": 1}
    assert list(JsonlReader(tmp_path / "rows.jsonl.gz").rows()) == rows
    first = (tmp_path / "rows.jsonl.gz").read_bytes()
    write_rows(tmp_path / "rows.jsonl.gz", rows)
    assert (tmp_path / "rows.jsonl.gz").read_bytes() == first


def test_rows_of_one_id_are_written_with_ids_of_their_own(tmp_path):
    """Or data=jsonl would refuse the file: ids repeat in files of other libraries, and between several of them."""
    write_rows(tmp_path / "rows.jsonl.gz", [row(id="7"), row(id="7#2"), row(id="7"), row(id="7")])
    assert [found.id for found in JsonlReader(tmp_path / "rows.jsonl.gz").rows()] == ["7", "7#2", "7#3", "7#4"]


def test_accepted_texts_are_found_by_position(tmp_path):
    verdicts = {0: Verdict("a"), 2: Verdict("b", "loop", 4), 4999: Verdict("ü")}
    accepted = Accepted.write(tmp_path / "de.arrow", verdicts, 5000)
    assert [accepted.get(position) for position in (0, 1, 2, 2047, 2048, 4999)] == ["a", None, None, None, None, "ü"]
