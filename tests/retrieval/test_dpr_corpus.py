"""DPR's passages as psgs_w100.tsv has them, and what is said of a file that is wrong."""

import gzip

import pytest

from mixlingua.errors import DataError
from mixlingua.retrieval.corpus import DprCorpus, Passage

LINES = (
    "id\ttext\ttitle\n"
    '1\t"Aaron ( or ; ""Ahärôn"") is a prophet."\tAaron\n'
    "2\tplain text, with 'one' mark\tAaron\n"
    '3\t"a ""quoted"" word"\t"The ""Title"""\n'
)
PASSAGES = [
    Passage("1", 'Aaron Aaron ( or ; "Ahärôn") is a prophet.'),
    Passage("2", "Aaron plain text, with 'one' mark"),
    Passage("3", 'The "Title" a "quoted" word'),
]


@pytest.mark.parametrize("packed", [False, True])
def test_title_and_text_are_read(tmp_path, packed):
    path = tmp_path / ("psgs_w100.tsv.gz" if packed else "psgs_w100.tsv")
    path.write_bytes(gzip.compress(LINES.encode()) if packed else LINES.encode())
    corpus = DprCorpus(path, titles=True)
    assert list(corpus.passages()) == list(corpus.passages()) == PASSAGES
    alone = [passage.text for passage in DprCorpus(path, titles=False).passages()]
    assert alone[:2] == ['Aaron ( or ; "Ahärôn") is a prophet.', "plain text, with 'one' mark"]
    assert corpus.size == path.stat().st_size
    assert [corpus.where(place).rpartition("/")[2] for place in (0, 2)] == [f"{path.name}:2", f"{path.name}:4"]
    with pytest.raises(IndexError):
        corpus.where(3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LINES.partition("\n")[2], r":1: the first line must be the headings id, text and title"),
        (LINES + "4\tno title\n", r":5: 2 columns; there must be an id, a text and a title"),
        (LINES + "\ttext\ttitle\n", r":5: 3 columns"),
        (LINES + "\n" + "4\ttext\ttitle\n", r":5: 0 columns"),
        (LINES + '4\t"never closed' + "x" * 200_000 + "\n", r":5: malformed \(field larger than"),
        ("", r": the file is empty"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, message):
    path = tmp_path / "psgs_w100.tsv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message) as error:
        list(DprCorpus(path, titles=True).passages())
    assert str(error.value).startswith(str(path))
