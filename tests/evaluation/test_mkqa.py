"""MKQA in small files of the published form."""

import gzip
import json
import logging
import sys
from pathlib import Path

import pytest

from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.benchmarks import mkqa as module
from mixlingua.evaluation.benchmarks.mkqa import LANGUAGES, mkqa, read_questions
from mixlingua.evaluation.suite import evaluate_task

sys.path.insert(0, str(Path(__file__).parent))
from worlds import ByHash


def example(identity, *answers, **changes):
    """A line of mkqa.jsonl; answers: (type, text, aliases), or without aliases where there are none."""
    entries = []
    for kind, text, *aliases in answers:
        entry = {"type": kind, "entity": "Q1", "text": text} | ({"aliases": aliases[0]} if aliases else {})
        entries.append(entry if kind == "entity" else {key: entry[key] for key in entry if key != "entity"})
    return {
        "query": f"question {identity}",
        "answers": {code: entries for code in LANGUAGES.values()},
        "queries": {code: f"{code} question {identity} " for code in LANGUAGES.values()},
        "example_id": identity,
    } | changes


EXAMPLES = [
    example(563260143484355911, ("entity", "Dave Edmunds", ["Edmunds", "David Edmunds"])),
    example(-7449157003522518870, ("number", "2.0", ["two", "2"])),
    example(3, ("unanswerable", None)),
    example(4, ("long_answer", None)),
    example(5, ("binary", "yes", [])),
    example(6, ("date", "1969-07-20", ["July 20, 1969"]), ("date", "1969", [])),
    example(7, ("binary", "no", []), ("short_phrase", "in the end")),  # the last answer decides
    example(8, ("number_with_unit", "3 km", ["3 kilometers"]), ("binary", "yes", [])),
]
SHORT = {
    "563260143484355911": ("Dave Edmunds", "Edmunds", "David Edmunds"),
    "-7449157003522518870": ("2.0", "two", "2"),
    "6": ("1969-07-20", "July 20, 1969", "1969"),
    "7": ("in the end",),
}
PASSAGES = {
    "doc0": "I Hear You Knocking was sung by Dave Edmunds .",
    "doc1": "Nothing .",
    "doc2": "It was in 1969 that two of them landed .",
}


def packed(examples):
    return gzip.compress("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in examples).encode())


@pytest.fixture
def data(tmp_path):
    """paths.data with both files."""
    (tmp_path / "mkqa").mkdir()
    (tmp_path / "beir" / "nq").mkdir(parents=True)
    (tmp_path / "mkqa" / "mkqa.jsonl.gz").write_bytes(packed(EXAMPLES))
    lines = [json.dumps({"_id": name, "title": "T", "text": text, "metadata": {}}) for name, text in PASSAGES.items()]
    (tmp_path / "beir" / "nq" / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def task(data, languages=None, corpus="beir/nq/corpus.jsonl"):
    return mkqa(data / "mkqa", data / corpus, languages, shard_size=2, keep_vectors=False)


def publish(monkeypatch, examples=8, questions=4, passages=3):
    monkeypatch.setattr(module, "EXAMPLES", examples)
    monkeypatch.setattr(module, "QUESTIONS", questions)
    monkeypatch.setattr(module, "BEIR_NQ", module.BEIR_NQ._replace(passages=passages))


def test_questions_with_short_answers_are_kept(data):
    found = read_questions(data / "mkqa" / "mkqa.jsonl.gz", ["zh_hk", "en"])
    assert found.examples == 8 and found.answers == SHORT
    assert set(found.texts) == {"zh_hk", "en"} and list(found.texts["en"]) == list(SHORT)
    assert found.texts["zh_hk"]["6"] == "zh_hk question 6"


def test_an_evaluation(data, monkeypatch, caplog):
    publish(monkeypatch)
    result = evaluate_task(task(data), ByHash())
    assert task(data).answer_corpus == task(data).corpus, "answers are looked for in titles too"
    assert caplog.text == "" and result.provenance["revision"].startswith("beir-nq-")
    assert result.provenance["num_queries"] == dict.fromkeys(sorted(LANGUAGES), 4)
    assert result.provenance["num_candidates"] == {"en": 3}
    assert {"mkqa/monolingual/success_at_20", "mkqa/crosslingual/success_at_100"} <= set(result.aggregate())
    assert {(row.setting, row.query_language, row.passage_language) for row in result.rows} == {
        ("monolingual" if language == "en" else "crosslingual", language, "en") for language in LANGUAGES
    }
    # Three of the four questions have a passage with an answer, and all passages are among the first 20.
    assert {row.value for row in result.rows} == {0.75}


def test_some_languages(data):
    chosen = task(data, ["zh-Hant-HK", "de"])
    assert list(chosen.queries) == ["de", "zh-Hant-HK"]
    assert chosen.queries["zh-Hant-HK"]["6"] == "zh_hk question 6"
    assert list(evaluate_task(chosen, ByHash()).per_query) == ["crosslingual"]


@pytest.mark.parametrize("changed", [{"examples": 9}, {"questions": 5}, {"passages": 4}])
def test_other_numbers_than_published_are_said(data, monkeypatch, caplog, changed):
    publish(monkeypatch, **changed)
    with caplog.at_level(logging.WARNING):
        assert task(data).revision.startswith("local-")
    assert ("en has 3 instead of 4" if "passages" in changed else "has 8 examples, 4 with a short answer") in (
        caplog.text
    )


def test_the_published_numbers():
    """Examples by the README of apple/ml-mkqa, questions by that of BGE-M3's evaluation. The former counts 6,620
    examples of the types that are kept: 4,221 entities, 1,174 dates, 485 + 394 numbers and 346 short phrases."""
    assert (module.EXAMPLES, module.QUESTIONS) == (10_000, 6_619)
    assert (module.BEIR_NQ.passages, module.PSGS_W100.passages) == (2_681_468, 21_015_324)


def test_a_plain_file_goes_first_and_dpr_passages_are_read(data, monkeypatch):
    (data / "mkqa" / "mkqa.jsonl").write_text(json.dumps(EXAMPLES[0]) + "\n")
    rows = "".join(f'{name}\t"{text}"\tT\n' for name, text in PASSAGES.items())
    (data / "psgs_w100.tsv.gz").write_bytes(gzip.compress(f"id\ttext\ttitle\n{rows}".encode()))
    monkeypatch.setattr(module, "PSGS_W100", module.PSGS_W100._replace(passages=3))
    publish(monkeypatch, examples=1, questions=1)
    for name in ("psgs_w100.tsv", "psgs_w100.tsv.gz"):
        found = task(data, ["de"], corpus=name)
        assert found.revision.startswith("psgs-w100-") and list(found.answers) == ["563260143484355911"]
        assert [passage.text for passage in found.corpus.passages()] == [f"T {text}" for text in PASSAGES.values()]
        assert [passage.text for passage in found.answer_corpus.passages()] == list(PASSAGES.values())


def test_a_missing_corpus_is_named_with_where_to_get_it(data):
    (data / "beir" / "nq" / "corpus.jsonl").unlink()
    with pytest.raises(DataError, match=r"no .*/nq/corpus\.jsonl, plain .*BEIR/datasets/nq\.zip, .*unzip nq\.zip -d"):
        task(data)
    with pytest.raises(
        DataError, match=r"no .*/wiki/psgs_w100\.tsv, plain .*curl .*dpr/wikipedia_split/psgs_w100\.tsv"
    ):
        task(data, corpus="wiki/psgs_w100.tsv")
    with pytest.raises(ConfigError, match=r"evaluation\.tasks\.mkqa\.corpus: '.*nq' ends in none of \.jsonl"):
        task(data, corpus="beir/nq")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", ":2: malformed JSON"),
        (example(""), ":2: example_id is ''"),
        (example(1), ":2: duplicate example_id '1', first seen at line 1"),
        (example(2, ("date", "1969"), queries={"en": "?"}), ':2: no "queries" in de; not the format of MKQA'),
        (example(2, ("date", "1969"), queries={"de": " "}), ":2: question '2' has no text in de"),
        (example(2, ("date", "1969"), queries=None), ':2: no "queries" in de'),
        (example(2, answers={"de": []}), ':2: no "answers" in en'),
        (example(2, answers={"en": []}), ":2: question '2': its English answers are no list of objects"),
        (example(2, answers={"en": ["1969"]}), ":2: question '2': its English answers are no list of objects"),
        (example(2, ("date", None)), ":2: question '2': the \"text\" of an English answer, or an alias, is no text"),
        (
            example(2, ("date", "1969", "sixty-nine")),
            ":2: question '2': the \"text\" of an English answer, or an alias",
        ),
        (example(2, ("date", "1969", [1969])), ":2: question '2': the \"text\" of an English answer, or an alias"),
    ],
)
def test_malformed_lines_are_named(tmp_path, line, message):
    path = tmp_path / "mkqa.jsonl"
    second = line if isinstance(line, str) else json.dumps(line)
    path.write_text(f"{json.dumps(example(1, ('date', '1969')))}\n{second}\n")
    with pytest.raises(DataError, match=message) as error:
        read_questions(path, ["de"])
    assert str(error.value).startswith(str(path))


def test_a_file_without_any_short_answer_is_refused(tmp_path):
    path = tmp_path / "mkqa.jsonl"
    path.write_text(json.dumps(EXAMPLES[2]) + "\n")
    with pytest.raises(DataError, match=r"no question has a short answer in English\. Is it the file of MKQA"):
        read_questions(path, ["de"])
