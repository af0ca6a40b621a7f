"""Own folders and BEIR's: the documented example, and what is said of files that do not fit together."""

import gzip
import json
import re
import shutil
import sys
from math import log2
from pathlib import Path

import pytest
import torch

from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.benchmarks.folder import beir, folder_task
from mixlingua.evaluation.suite import evaluate_task

sys.path.insert(0, str(Path(__file__).parent))
from worlds import ByHash

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(DOCS / "benchmark", tmp_path / "benchmark")


def task(folder, **changes):
    settings = {"name": "folder", "languages": None, "main_metric": "ndcg_at_10", "pool": None} | changes
    return folder_task(folder, shard_size=2, keep_vectors=False, **settings)


def test_the_page_shows_the_files():
    page = (DOCS / "corpora.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^`(\w+/[\w-]+\.\w+)`.*?```\w+\n(.*?)```", page, flags=re.DOTALL | re.MULTILINE))
    files = {str(path.relative_to(DOCS / "benchmark")): path for path in (DOCS / "benchmark").rglob("*.*")}
    assert shown == {name: path.read_text(encoding="utf-8") for name, path in files.items()}


def test_the_documented_example_by_hand(folder):
    """q1 finds "verlängern" before "leihen", in the mixed pool with "loans" between them; q2 finds nothing early."""
    of = {
        "Wie": [0, 1.0, 0.5, 0.2, 0, 0], "How": [0.9, 1.0, 0.5, 0.2, 0.8, 0], "When": [0, 0.4, 0.3, 0.2, 0.5, 0.1],
    }  # fmt: skip
    columns = {"You": 0, "lassen": 1, "Montags": 3, "zwanzig": 2, "Open": 5}

    def encode(texts, side):
        rows = torch.zeros(len(texts), 6)
        for row, text in enumerate(texts):
            if side == "query":
                rows[row] = torch.tensor(of[text.split()[0]])
            else:
                rows[row, next(column for word, column in columns.items() if word in text)] = 1
        return rows

    encode.fingerprint = "by hand"
    result = evaluate_task(task(folder), encode)
    found = {(r.setting, r.query_language, r.passage_language): r.value for r in result.rows if r.metric == "map"}
    assert found == {
        ("monolingual", "de", "de"): 1.0,  # both relevant ones first
        ("monolingual", "en", "en"): pytest.approx((1 + 1) / 2),
        ("crosslingual", "en", "de"): pytest.approx((1 + 1 / 3) / 2),
        # q1: verlängern, loans, leihen; q2: verlängern 0.4, leihen 0.3, öffnung 0.2, hours 0.1
        ("multilingual", "en", "all"): pytest.approx((1 + (1 / 3 + 2 / 4) / 2) / 2),
    }
    ndcg = {(r.setting, r.query_language): r.value for r in result.rows if r.metric == "ndcg_at_10"}
    assert ndcg["monolingual", "de"] == pytest.approx((1 + 2 / log2(3)) / (2 + 1 / log2(3)))
    assert result.provenance["num_queries"] == {"de": 1, "en": 2}
    assert result.provenance["num_candidates"] == {"de": 3, "en": 2}
    assert set(result.provenance["files"]) == {
        "queries/de.jsonl", "queries/en.jsonl", "qrels/de-de.tsv", "qrels/en-de.tsv", "qrels/en-en.tsv",
        "corpus de", "corpus en",
    }  # fmt: skip


def test_packed_files_give_the_same(folder):
    plain = task(folder)
    revision, rows = plain.revision, evaluate_task(plain, ByHash()).rows
    for path in list(folder.rglob("*.*")):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    packed = task(folder)
    assert packed.revision == revision
    assert evaluate_task(packed, ByHash()).rows == rows


def test_languages_name_and_metric_can_be_chosen(folder):
    chosen = task(folder, name="library", languages=["de"], main_metric="map")
    assert set(chosen.qrels) == {("de", "de")} and set(chosen.corpora) == {"de"}
    assert evaluate_task(chosen, ByHash()).provenance["main_metric"] == "map"
    assert "library/monolingual/map" in evaluate_task(chosen, ByHash()).aggregate()
    assert task(folder, languages=["en"], pool="judged").provenance()["num_candidates"] == {"en": 2}


def write(path, text):
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "settings", "error", "message"),
    [
        (lambda f: shutil.rmtree(f / "qrels"), {}, DataError, r"qrels: no \.tsv or \.tsv\.gz files"),
        (lambda f: (f / "corpus/de.jsonl").unlink(), {}, DataError, r"corpus: no de\.jsonl, which qrels/de-de"),
        (lambda f: (f / "queries/de.jsonl").unlink(), {}, DataError, r"queries: no de\.jsonl, which qrels/de-de\.tsv"),
        (lambda f: (f / "qrels/de-de.tsv").rename(f / "qrels/test.tsv"), {}, DataError, "qrels are named by"),
        (lambda f: None, {"languages": ["fr"]}, ConfigError, "no language 'fr'; it has de, en"),
        (lambda f: (f / "qrels/de-de.tsv").unlink(), {"languages": ["de"]}, DataError, "no qrels between de;"),
        (lambda f: None, {"name": "my task"}, ConfigError, "name=my task: must be of letters"),
        (lambda f: None, {"main_metric": "nDCG"}, DataError, "main_metric=nDCG: it is one of"),
        (
            lambda f: write(f / "qrels/en-en.tsv", "q\tp\ts\nq3\tloans\t1\n"), {}, DataError,
            r"en-en\.tsv:2: no query 'q3'",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_named(folder, change, settings, error, message):
    change(folder)
    with pytest.raises(error, match=message):
        task(folder, **settings)


def test_what_is_wrong_in_a_corpus_is_named_before_anything_is_encoded(folder):
    def encode(texts, side):
        raise AssertionError("encoded")

    encode.fingerprint = "none"
    path = folder / "corpus/de.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    write(path, "".join([*lines, lines[0]]))
    with pytest.raises(DataError, match=r"de\.jsonl:4: duplicate id, first seen at .*de\.jsonl:1 \(1 in all\)"):
        evaluate_task(task(folder), encode)
    write(path, "".join([*lines, "{"]))
    with pytest.raises(DataError, match=r"de\.jsonl:4: malformed JSON"):
        evaluate_task(task(folder), encode)


@pytest.fixture
def scifact(tmp_path):
    root = tmp_path / "beir" / "sci-fact"
    (root / "qrels").mkdir(parents=True)
    docs = [
        {"_id": "4", "title": "A title", "text": "and text."},
        {"_id": "5", "title": "", "text": "Other.", "metadata": {}},
    ]
    write(root / "corpus.jsonl", "".join(json.dumps(doc) + "\n" for doc in docs))
    write(root / "queries.jsonl", '{"_id": "1", "text": "Claim?"}\n{"_id": "2", "text": "Of training."}\n')
    write(root / "qrels/test.tsv", "query-id\tcorpus-id\tscore\n1\t4\t1\n")
    write(root / "qrels/train.tsv", "query-id\tcorpus-id\tscore\n2\t5\t1\n")
    return tmp_path / "beir"


def test_beir(scifact):
    def result(split):
        return evaluate_task(beir(scifact, "sci-fact", "en", split, None, 1, False), ByHash())

    rows = result("test").rows
    assert {(row.task, row.setting, row.query_language, row.num_queries) for row in rows} == {
        ("beir_sci_fact", "monolingual", "en", 1)
    }
    assert result("test").provenance["main_metric"] == "ndcg_at_10"
    assert result("test").provenance["revision"] != result("train").provenance["revision"]
    task = beir(scifact, "sci-fact", "en", "test", "judged", 1, False)
    assert [passage.text for passage in task.corpora["en"].passages()] == ["A title and text."]


def test_beir_names_what_is_missing(scifact):
    with pytest.raises(DataError, match=r"no folder .*scifact\. Did you mean 'sci-fact'\? Get https://.*/scifact\.zip"):
        beir(scifact, "scifact", "en", "test", None, 1, False)
    with pytest.raises(DataError, match=r"no .*qrels/dev\.tsv, plain or \.gz"):
        beir(scifact, "sci-fact", "en", "dev", None, 1, False)


@pytest.fixture
def duplicates(tmp_path):
    """As in Quora: each query is a document too, under its own id, and its duplicate is another document."""
    root = tmp_path / "beir" / "duplicates"
    (root / "qrels").mkdir(parents=True)
    texts = {"7": "How old is the sun?", "8": "What is the sun's age?", "9": "Who wrote Faust?"}
    docs = ({"_id": name, "title": "", "text": text} for name, text in texts.items())
    write(root / "corpus.jsonl", "".join(json.dumps(doc) + "\n" for doc in docs))
    write(root / "queries.jsonl", json.dumps({"_id": "7", "text": texts["7"]}) + "\n")
    write(root / "qrels/test.tsv", "query-id\tcorpus-id\tscore\n7\t8\t1\n")
    return tmp_path / "beir"


class ByWords:
    """Texts that share words are alike; a text is most like itself."""

    fingerprint = "by words"

    def __call__(self, texts, side):
        words = ["how", "old", "is", "the", "sun", "what", "age", "who", "wrote", "faust"]
        return torch.tensor([[float(word in text.lower()) for word in words] for text in texts])


def ndcg(task):
    return evaluate_task(task, ByWords()).aggregate()[f"{task.name}/monolingual/ndcg_at_10"]


def test_in_beirs_format_the_document_with_the_querys_own_id_is_left_out(duplicates):
    """So do published figures; ids that coincide otherwise are told apart by the key."""
    assert ndcg(beir(duplicates, "duplicates")) == 1.0
    kept = beir(duplicates, "duplicates", ignore_identical_ids=False)
    assert ndcg(kept) == pytest.approx(1 / log2(3))


def test_a_relevant_document_with_the_querys_own_id_is_no_duplicate(duplicates):
    write(duplicates / "duplicates/qrels/test.tsv", "query-id\tcorpus-id\tscore\n7\t7\t1\n")
    with pytest.raises(DataError, match=r"own id relevant for 1 queries, such as '7'.*ignore_identical_ids=false"):
        beir(duplicates, "duplicates")
    assert ndcg(beir(duplicates, "duplicates", ignore_identical_ids=False)) == 1.0


@pytest.mark.parametrize("same", [True, False])
def test_in_an_own_folder_ids_may_coincide_and_a_query_that_is_a_passage_is_named(tmp_path, caplog, same):
    root = tmp_path / "own"
    text = "How old is the sun?" if same else "Who wrote Faust?"
    for part, content in {
        "corpus/en.jsonl": [{"_id": "7", "text": text}, {"_id": "8", "text": "What is the sun's age?"}],
        "queries/en.jsonl": [{"_id": "7", "text": "How old is the sun?"}],
    }.items():
        (root / part).parent.mkdir(parents=True)
        write(root / part, "".join(json.dumps(entry) + "\n" for entry in content))
    (root / "qrels").mkdir()
    write(root / "qrels/en-en.tsv", "query-id\tcorpus-id\tscore\n7\t8\t1\n")
    assert ndcg(task(root)) == (pytest.approx(1 / log2(3)) if same else 1.0)
    assert ("1 queries are passages too, such as '7'" in caplog.text) == same
    left_out = task(root, ignore_identical_ids=True)
    assert ndcg(left_out) == 1.0
    assert "own id is left out" in left_out.note


@pytest.mark.parametrize("passages", ["en", "de", "zh-Hant", "zh-Hant-HK"])
@pytest.mark.parametrize("queries", ["en", "de", "zh-Hant", "zh-Hant-HK"])
def test_languages_with_script_and_region_are_read_from_names_of_files(tmp_path, queries, passages):
    contents = {
        f"queries/{queries}.jsonl": '{"_id": "q", "text": "?"}\n',
        f"corpus/{passages}.jsonl": '{"_id": "p", "text": "!"}\n',
        f"qrels/{queries}-{passages}.tsv": "query-id\tcorpus-id\tscore\nq\tp\t1\n",
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir()
        write(tmp_path / name, content)
    assert set(task(tmp_path).qrels) == {(queries, passages)}


@pytest.mark.parametrize("stem", ["en-zh-Hans-de-at", "Hant-en-zh", "en-zh-xx-Hant"])
def test_a_name_that_is_no_pair_of_languages_is_refused(folder, stem):
    (folder / "qrels/de-de.tsv").rename(folder / f"qrels/{stem}.tsv")
    with pytest.raises(DataError, match=rf"{stem}\.tsv: qrels are named by .*en-zh-Hant\.tsv"):
        task(folder)


@pytest.mark.parametrize(
    ("stem", "here"), [("en-zh-CN", "en-zh"), ("en-pt-BR", "en-pt"), ("zh-CN-en", "zh-en"), ("en-zh-TW", "en-zh-Hant")]
)
def test_a_name_with_other_codes_is_answered_with_the_codes_here(folder, stem, here):
    (folder / "qrels/de-de.tsv").rename(folder / f"qrels/{stem}.tsv")
    with pytest.raises(DataError, match=rf"{stem}\.tsv: .* With the codes here, this is {here}\.tsv\.$"):
        task(folder)


def test_a_pair_without_a_relevant_passage_is_told_and_not_measured(folder, caplog):
    path = folder / "qrels/en-de.tsv"
    write(path, "query-id\tcorpus-id\tscore\nq1\tleihen\t0\n")
    settings = {row.setting for row in evaluate_task(task(folder), ByHash()).rows}
    assert "crosslingual" not in settings and "monolingual" in settings
    assert f"{path}: no judgement is above 0, so en->de is not measured." in caplog.text


@pytest.mark.parametrize("kind", ["corpus", "queries"])
def test_half_of_a_surrogate_pair_is_refused_by_file_and_line(folder, kind):
    """As a text is left by a cut in UTF-16; Python's json reads it, and no tokenizer takes it."""
    path = folder / kind / "en.jsonl"
    write(path, path.read_text(encoding="utf-8") + '{"_id": "x", "text": "cut \\ud83d"}\n')
    number = len(path.read_text(encoding="utf-8").splitlines())
    with pytest.raises(
        DataError, match=rf"{kind}/en\.jsonl:{number}: half of a surrogate pair, .ud83d, behind '.*cut '"
    ):
        task(folder).provenance()


def test_whole_surrogate_pairs_are_characters(folder):
    path = folder / "queries/en.jsonl"
    write(path, path.read_text(encoding="utf-8") + '{"_id": "x", "text": "whole \\ud83d\\ude00"}\n')
    assert task(folder).queries["en"]["x"] == "whole \U0001f600"
