"""Crossmodal-3600, on small files of its format."""

import json
import logging
import zipfile

import pytest

from mixlingua.errors import DataError
from mixlingua.evaluation.benchmarks.xm3600 import xm3600
from mixlingua.evaluation.suite import evaluate_task


def image(key, **captions):
    part = {
        code: {"caption": texts, "caption/tokenized": texts, "caption/tokenized/lowercase": texts}
        for code, texts in captions.items()
    }
    return {"image/key": key, "image/locale": "de"} | part


IMAGES = [
    image("0a", de=["Ein Hund", "Hund im Gras", " Ein Hund ", "Wiese"], en=["A dog", "Dog, grass"], bn=["কুকুর"]),
    image("0b", de=["Ein Haus", "Haus"], en=["A house"], bn=["বাড়ি"], fil=["Bahay", "Isang bahay"]),
    image("0c", de=["Meer"], en=["Sea", "Sea"], bn=["সমুদ্র"]),
]


def write(path, images=IMAGES):
    path.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in images), encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "captions.jsonl")
    return tmp_path


def test_the_first_caption_asks_for_the_others(folder, caplog):
    with caplog.at_level(logging.WARNING):
        task = xm3600(folder, languages=["de", "en", "bn", "tl"])
    assert task.passages == {
        "de": {"de:0a:2": "Hund im Gras", "de:0a:3": "Wiese", "de:0b:2": "Haus"},
        "en": {"en:0a:2": "Dog, grass"},
        "tl": {"tl:0b:2": "Isang bahay"},
    }
    dog, house = {"de:0a:2": 1, "de:0a:3": 1, "en:0a:2": 1}, {"de:0b:2": 1, "tl:0b:2": 1}
    assert task.queries["bn"] == {"0a": "কুকুর", "0b": "বাড়ি"}, "nothing is left to be found for the third image"
    assert task.qrels["de"] == task.qrels["bn"] == {"0a": dog, "0b": house}
    assert task.queries["tl"] == {"0b": "Bahay"}
    texts = {text for part in task.passages.values() for text in part.values()}
    assert not texts & {text for part in task.queries.values() for text in part.values()}
    assert "has 3 images, not 3600" in caplog.text


def test_it_can_be_evaluated(folder, one_hot):
    place = {text: f"p{number}" for number, text in enumerate(["Ein Hund", "Ein Haus", "A dog", "A house"])}
    place |= {"Hund im Gras": "p0", "Wiese": "p9", "Haus": "p1 p0=2", "Dog, grass": "p2 p1=0.1"}
    task = xm3600(folder, languages=["de", "en"])
    result = evaluate_task(task, lambda texts, side: one_hot([place[text] for text in texts], side))
    found = {(r.query_language, r.passage_language): (r.value, r.num_queries) for r in result.rows if r.metric == "map"}
    assert found == {
        # "Ein Hund" scores Hund im Gras 1, Haus 2, Wiese 0: ranks 2 and 3. "Ein Haus": Haus first.
        ("de", "de"): (pytest.approx((1 / 2 + 2 / 3) / 2 * 1 / 2 + 1 / 2), 2),
        # The German house has no English answer.
        ("de", "en"): (1, 1),
        ("en", "en"): (1, 1),
        # The English queries score 0 with all three German captions: ranks 2 and 3, and rank 3.
        ("en", "de"): (pytest.approx(((1 / 2 + 2 / 3) / 2 + 1 / 3) / 2), 2),
        # The pool of all: Haus 2, Hund im Gras 1, then Wiese and "Dog, grass", which both answer, tie at 0.
        ("de", "all"): (pytest.approx(((1 / 2 + 2 / 3 + 3 / 4) / 3 + 1) / 2), 2),
        # "A dog" scores "Dog, grass" 1, the rest 0; the irrelevant Haus comes first of the three. The house is last.
        ("en", "all"): (pytest.approx(((1 + 2 / 3 + 3 / 4) / 3 + 1 / 4) / 2), 2),
    }
    assert {side for _, side in one_hot.calls} == {"query"}


def test_the_published_archive_is_the_same_data(folder):
    unpacked = xm3600(folder, languages=["de"])
    with zipfile.ZipFile(folder / "captions.zip", "w") as archive:
        archive.write(folder / "captions.jsonl", "captions.jsonl")
    (folder / "captions.jsonl").unlink()
    packed = xm3600(folder, languages=["de"])
    assert packed.provenance() == unpacked.provenance()
    assert packed.settings == ("monolingual",)
    with pytest.raises(DataError, match="task xm3600: bn has no queries"):
        xm3600(folder, languages=["bn"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "malformed JSON"),
        ("[]", 'no "image/key"'),
        ('{"image/locale": "de"}', 'no "image/key"'),
        ('{"image/key": "0a"}', "image '0a' comes twice"),
        ('{"image/key": "0d", "de": ["Hund"]}', "de of image '0d': \"caption\" is no list of texts"),
        ('{"image/key": "0d", "de": {"caption": "Hund"}}', "no list of texts"),
    ],
)
def test_malformed_lines_are_named(folder, line, message):
    with (folder / "captions.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=rf"captions\.jsonl:4: .*{message}"):
        xm3600(folder, languages=["de"])
