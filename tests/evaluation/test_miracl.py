"""MIRACL and Mr. TyDi: the real judgements where they are, exactly shaped small files elsewhere."""

import gzip
import json
import logging
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from mixlingua.comparison.runs import read_run
from mixlingua.errors import DataError
from mixlingua.evaluation.benchmarks.common import table
from mixlingua.evaluation.benchmarks.miracl import MIRACL, miracl, mr_tydi
from mixlingua.evaluation.benchmarks.trec_files import read_trec_qrels
from mixlingua.evaluation.run_folder import write_results
from mixlingua.evaluation.suite import evaluate_task

sys.path.insert(0, str(Path(__file__).parent))
from worlds import ByHash

REAL = ("ar", "bn", "en", "hi", "sw", "te", "th", "yo")
FILES = {"topics": "1\tNani?\n2\tLini?\n", "qrels": "1\tQ0\t7#0\t1\n1\tQ0\t7#1\t0\n2\tQ0\t8#0\t1\n"}
DOCS = ["7#0", "7#1", "7#2", "8#0", "9#0"]


def write_docs(path, ids, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps({"docid": name, "title": "T", "text": f"text {name}"} | more) + "\n" for name in ids)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())


@pytest.fixture
def folder(tmp_path):
    """Swahili as laid out by hub downloads: two parts, the second of which sorts before the first as text."""
    for kind, content in FILES.items():
        (tmp_path / f"{kind}.miracl-v1.0-sw-dev.tsv").write_text(content)
    write_docs(tmp_path / "miracl-corpus-v1.0-sw" / "docs-2.jsonl.gz", DOCS[:3])
    write_docs(tmp_path / "miracl-corpus-v1.0-sw" / "docs-10.jsonl.gz", DOCS[3:])
    (tmp_path / "miracl-corpus-v1.0-sw" / ".gitattributes").write_text("")
    return tmp_path


def task(folder, languages=("sw",), pool=None):
    return miracl(folder, languages, pool, shard_size=2)


def test_a_passage_is_title_and_text_in_the_order_of_the_parts(folder):
    passages = list(task(folder).corpora["sw"].passages())
    assert [passage.id for passage in passages] == DOCS
    assert passages[0].text == "T text 7#0"


@pytest.mark.parametrize("place", ["miracl-corpus/miracl-corpus-v1.0-sw", "miracl-corpus/sw"])
def test_other_places_of_the_corpus_and_the_judgements(folder, place):
    (folder / "miracl-corpus").mkdir()
    shutil.move(folder / "miracl-corpus-v1.0-sw", folder / place)
    for kind in FILES:
        target = folder / "miracl-v1.0-sw" / kind
        target.mkdir(parents=True)
        shutil.move(folder / f"{kind}.miracl-v1.0-sw-dev.tsv", target)
    result = evaluate_task(task(folder), ByHash())
    assert {(row.setting, row.query_language, row.passage_language) for row in result.rows} == {
        ("monolingual", "sw", "sw")
    }
    assert {"miracl/monolingual/ndcg_at_10", "miracl/monolingual/recall_at_100"} <= set(result.aggregate())
    assert result.provenance["main_metric"] == "ndcg_at_10"
    assert result.provenance["num_candidates"] == {"sw": 5}


def test_other_files_than_the_published_are_said(folder, caplog):
    with caplog.at_level(logging.WARNING):
        assert task(folder).revision.startswith("local-")
    assert "queries or judgements in sw are not the published ones" in caplog.text
    assert "sw has 5 instead of 131,924" in caplog.text


def test_published_numbers_make_the_release(folder, monkeypatch, caplog):
    monkeypatch.setitem(table("published"), "miracl_sha256", {})
    monkeypatch.setitem(table("published")["miracl"], "sw", {"queries": 2, "judgements": 3, "passages": 5})
    assert task(folder).revision.startswith("v1.0-dev-") and caplog.text == ""


def test_pools_are_smaller_and_have_a_revision_of_their_own(folder):
    whole, judged = task(folder), task(folder, pool="judged")
    (folder / "pool").mkdir()
    (folder / "pool" / "sw.txt").write_text("9#0\n7#0\n")
    further = task(folder, pool=str(folder / "pool"))
    assert [passage.id for passage in judged.corpora["sw"].passages()] == ["7#0", "7#1", "8#0"]
    assert [passage.id for passage in further.corpora["sw"].passages()] == ["7#0", "7#1", "8#0", "9#0"]
    assert len({whole.revision, judged.revision, further.revision}) == 3
    assert judged.provenance()["num_candidates"] == {"sw": 3}
    with pytest.raises(DataError, match=r"elsewhere/sw\.txt: no such file\. pool is null, 'judged' or a folder"):
        task(folder, pool="elsewhere")


def test_a_pool_that_names_passages_which_the_corpus_lacks(folder):
    (folder / "pool").mkdir()
    (folder / "pool" / "sw.txt").write_text("9#0\n77#0\n")
    with pytest.raises(DataError, match="corpus sw: lacks 1 of 5 passages of the pool, such as '77#0'"):
        _ = task(folder, pool=str(folder / "pool")).censuses


def test_what_is_missing_is_named_with_where_to_get_it(folder, network):
    shutil.rmtree(folder / "miracl-corpus-v1.0-sw")
    with pytest.raises(
        DataError, match=r"of the sw corpus in .*hf download miracl/miracl-corpus .*miracl-corpus-v1.0-sw"
    ):
        task(folder)
    with pytest.raises(DataError, match=r"needs topics\.miracl-v1\.0-yo-dev\.tsv: it is not in"):
        task(folder, ["yo"])


def test_the_real_judgements(shared_data, tmp_path, caplog):
    """The checksums are those of the files, the numbers the published ones; an evaluation over the judged passages."""
    for language in REAL:
        name = f"qrels.miracl-v1.0-{language}-dev.tsv"
        judgements = read_trec_qrels(shared_data / "miracl" / name, None)
        ids = sorted({passage for grades in judgements.values() for passage in grades})
        write_docs(tmp_path / f"miracl-corpus-v1.0-{language}" / "docs-0.jsonl", ids)
        for kind in FILES:
            shutil.copy(shared_data / "miracl" / f"{kind}.miracl-v1.0-{language}-dev.tsv", tmp_path)
    real = task(tmp_path, REAL, pool="judged")
    assert real.release == "v1.0-dev-pool" and caplog.text == ""
    assert {language: len(queries) for language, queries in real.asked.items()} == {
        language: MIRACL.published[language]["queries"] for language in REAL
    }
    small = miracl(tmp_path, ["yo", "bn"], "judged", shard_size=1000)
    result = evaluate_task(small, ByHash())
    assert result.provenance["num_candidates"] == {"bn": 3729, "yo": 942}
    assert {row.query_language: row.num_queries for row in result.rows} == {"bn": 411, "yo": 119}


@pytest.mark.parametrize("benchmark", [miracl, mr_tydi])
def test_questions_of_different_languages_are_never_one(tmp_path, benchmark):
    """Each language numbers its own: q1 in Swahili and q1 in Yoruba, or Thai, ask for different things."""
    languages = ("sw", "yo") if benchmark is miracl else ("sw", "th")
    for language, name in zip(languages, ("swahili", "thai"), strict=True):
        archive = tmp_path / f"mrtydi-v1.1-{name}"
        if benchmark is miracl:
            for kind, content in FILES.items():
                (tmp_path / f"{kind}.miracl-v1.0-{language}-dev.tsv").write_text(content)
            write_docs(tmp_path / f"miracl-corpus-v1.0-{language}" / "docs-0.jsonl", DOCS)
        else:
            write_docs(archive / "corpus.jsonl", DOCS)
            for file, content in TYDI.items():
                (archive / file).write_text(content)
    result = evaluate_task(benchmark(tmp_path, languages, shard_size=2), ByHash())
    table = result.per_query["monolingual"]
    assert list(table.query_ids) == [f"{language}:{number}" for language in languages for number in (1, 2)]
    write_results(tmp_path / "run", [result], {})
    values = read_run(tmp_path / "run").tasks[result.task]
    assert len(values.questions) == 4 and (np.isfinite(values.values).sum(axis=1) == 1).all()


TYDI = {"topic.test.tsv": FILES["topics"], "qrels.test.txt": "1 Q0 7#0 1\n2 Q0 8#0 1\n"}


@pytest.fixture
def archive(tmp_path):
    """Swahili as its archive unpacks."""
    root = tmp_path / "mrtydi-v1.1-swahili"
    (root / "collection").mkdir(parents=True)
    for name, content in TYDI.items():
        (root / name).write_text(content)
    lines = "".join(json.dumps({"id": name, "contents": f"T\n\ntext {name}"}) + "\n" for name in DOCS)
    (root / "collection" / "docs.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return tmp_path


def test_mr_tydi_as_unpacked(archive):
    result = evaluate_task(mr_tydi(archive, ["sw"], shard_size=2), ByHash())
    assert result.provenance["main_metric"] == "mrr_at_100"
    assert {"mr_tydi/monolingual/mrr_at_100", "mr_tydi/monolingual/recall_at_100"} <= set(result.aggregate())
    assert result.provenance["num_candidates"] == {"sw": 5}
    assert str(result.provenance["revision"]).startswith("local-")


def test_mr_tydi_with_the_corpus_of_the_hub(archive):
    write_docs(archive / "mrtydi-v1.1-swahili" / "corpus.jsonl.gz", DOCS[:4])
    assert mr_tydi(archive, ["sw"], shard_size=2).provenance()["num_candidates"] == {"sw": 4}
    assert mr_tydi(archive, ["sw"], "judged", shard_size=2).provenance()["num_candidates"] == {"sw": 2}


def test_mr_tydi_names_the_archive_that_is_missing(archive):
    with pytest.raises(
        DataError, match=r"mrtydi-v1\.1-thai/topic\.test\.tsv\. Get https://.*mrtydi-v1\.1-thai\.tar\.gz"
    ):
        mr_tydi(archive, ["sw", "th"], shard_size=2)
