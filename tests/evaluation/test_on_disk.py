"""Corpora on disk give what pools in memory give: every metric, every query, whatever the shards."""

import logging
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mixlingua import distributed
from mixlingua.errors import ConfigError, DataError, StorageError
from mixlingua.evaluation.bias import PREFERENCE, PREFERENCE_BY_RANK
from mixlingua.evaluation.results import share_language
from mixlingua.evaluation.suite import evaluate_task
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.files import cache_dir
from mixlingua.retrieval.shards import VectorShards

sys.path.insert(0, str(Path(__file__).parent))
from worlds import ByHash, ByText, corpus_task, in_memory, random_world


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # hundreds of small shards


def needs_the_first_ten(metric):
    """Counts find ranks, not which passages come first."""
    return metric in PREFERENCE.keys() - PREFERENCE_BY_RANK.keys() or share_language(metric) is not None


def assert_same(result, expected):
    keys = [row.key for row in expected.rows if not needs_the_first_ten(row.metric)]
    assert [row.key for row in result.rows if not needs_the_first_ten(row.metric)] == keys
    for setting, table in expected.per_query.items():
        found = result.per_query[setting]
        assert (found.query_ids, found.query_languages, found.passage_languages) == (
            table.query_ids, table.query_languages, table.passage_languages,
        )  # fmt: skip
        for metric, values in table.values.items():
            if metric not in found.values:
                assert needs_the_first_ten(metric)
                continue
            # Sums over padded places may round; a rank that is off by one would move a value by far more.
            assert found.values[metric] == pytest.approx(values, rel=1e-12, nan_ok=True), (setting, metric)


def left(cache):
    return [path for path in (cache / "vectors").rglob("*") if path.is_file()]


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("shard_size", [7, 30, 1000])
def test_equal_to_pools_in_memory(cache, shard_size, ties):
    """Monolingual, cross-lingual and multilingual cells; repeated texts stand in one shard or in two."""
    for seed in range(3):
        *world, vectors = random_world(seed, ties=ties)
        expected = evaluate_task(in_memory(*world), ByText(vectors))
        assert set(expected.per_query) == {"monolingual", "crosslingual", "multilingual"}
        assert not np.isnan(expected.per_query["multilingual"].values["map_drop_without_own"]).all()
        assert_same(evaluate_task(corpus_task(*world, shard_size=shard_size), ByText(vectors)), expected)
        assert left(cache) == [], "vectors are removed"


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("shard_size", [7, 1000])
def test_a_query_that_is_a_passage_too_does_not_find_itself(shard_size, ties):
    """As pools in memory have it that exclude the passage with the query's id, in every setting."""
    for seed in range(3):
        queries, passages, qrels, vectors = random_world(seed, ties=ties)
        for language, own in {"de": ["q0", "q3"], "en": ["q5", "q13"], "zh": ["q7"]}.items():
            passages[language] |= {query: f"{language} {query}?" for query in own}  # the query's own text
        of_all = [query for query in queries["de"] if any(query in part for part in passages.values())]
        excluded = {
            language: {query: [query] for query in of_all if query in queries[language]} for language in queries
        }
        pools = RetrievalTask("world", "1", "CC0", "", queries, passages, qrels, excluded=excluded)
        expected = evaluate_task(pools, ByText(vectors))
        task = corpus_task(queries, passages, qrels, shard_size=shard_size, ignore_identical_ids=True)
        assert_same(evaluate_task(task, ByText(vectors)), expected)
        found = evaluate_task(corpus_task(queries, passages, qrels), ByText(vectors)).aggregate()
        assert found != evaluate_task(task, ByText(vectors)).aggregate()


def test_a_rule_that_changes_scores_changes_the_revision():
    *world, _ = random_world(0, ties=False)
    plain, ignoring = corpus_task(*world), corpus_task(*world, ignore_identical_ids=True)
    assert plain.revision != ignoring.revision
    assert (plain.provenance()["ignore_identical_ids"], ignoring.provenance()["ignore_identical_ids"]) == (False, True)


def test_a_text_that_two_shards_hold_ties_although_the_encoder_rounds_it_differently(cache):
    """As in memory, where a text is encoded once: the relevant passage stands behind its copy."""
    passages = {"de": {"other": "x", "copy": "same", "between": "y", "answer": "same"}}

    def encode(texts, side):
        scores = {"q?": 1.0, "x": 0.1, "y": 0.2, "same": 0.9 + 1e-6 * ("x" in texts)}
        return torch.tensor([[scores[text]] for text in texts])

    encode.fingerprint = "rounds"
    for shard_size in (1, 2, 4):
        task = corpus_task({"de": {"q": "q?"}}, passages, {"de": {"q": {"answer": 1}}}, shard_size=shard_size)
        assert evaluate_task(task, encode).aggregate()["world/monolingual/map"] == 1 / 2


def test_settings_follow_from_the_judgements():
    queries, passages, qrels, _ = random_world(0, ties=False)
    task = corpus_task(queries, passages, qrels)
    own = {pair: part for pair, part in task.qrels.items() if pair[0] == pair[1]}
    only_english = {pair: part for pair, part in task.qrels.items() if pair[0] == "en"}

    def cells(part):
        result = evaluate_task(corpus_task(queries, passages, qrels, qrels=part), ByHash())
        return {(row.setting, row.query_language, row.passage_language) for row in result.rows}

    assert cells(own) == {("monolingual", language, language) for language in ("de", "en", "zh")}
    assert cells(only_english) == {
        ("monolingual", "en", "en"), ("crosslingual", "en", "de"), ("crosslingual", "en", "zh"),
        ("multilingual", "en", "all"),
    }  # fmt: skip
    partly = {pair: part for pair, part in only_english.items() if pair != ("en", "zh")}
    assert ("multilingual", "en", "all") not in cells(partly), "answers in the Chinese corpus are not known"


def test_negative_grades_and_queries_without_an_answer_do_not_count():
    queries = {"en": {"q1": "one?", "q2": "two?", "q3": "three?"}}
    passages = {"en": {"a": "a", "b": "b", "c": "c"}}
    task = corpus_task(queries, passages, {"en": {"q1": {"a": 2, "b": -1}, "q2": {"b": 0, "c": -2}}})
    assert task.asked == {"en": ["q1"]}
    assert task.provenance()["num_queries"] == {"en": 1}
    assert {row.num_queries for row in evaluate_task(task, ByHash()).rows} == {1}


def test_judged_passages_that_the_corpus_lacks_are_reported_and_never_found(caplog):
    queries = {"en": {"q": "question?"}}
    vectors = {"question?": torch.tensor([1.0, 0]), "a": torch.tensor([0.9, 0]), "b": torch.tensor([0.5, 0])}
    qrels = {("en", "en"): {"q": {"a": 3, "lost": 1, "gone": 0}}}
    task = corpus_task(queries, {"en": {"a": "a", "b": "b"}}, {"en": {"q": {"a": 1}}}, qrels=qrels)
    with caplog.at_level(logging.WARNING):
        result = evaluate_task(task, ByText(vectors)).aggregate()
    assert "corpus en: lacks 2 of 3 judged passages, 1 of them relevant, such as 'lost'" in caplog.text
    assert result["world/monolingual/map"] == 1 / 2
    assert result["world/monolingual/recall_at_100"] == 1 / 2
    assert result["world/monolingual/ndcg_at_10"] == pytest.approx(3 / (3 + 1 / np.log2(3)))


def test_another_corpus_than_that_of_the_qrels_is_refused():
    qrels = {("en", "en"): {"q": {"x1": 1, "x2": 1, "a": 0}}}
    task = corpus_task({"en": {"q": "?"}}, {"en": {"a": "a"}}, {"en": {"q": {"a": 1}}}, qrels=qrels)
    with pytest.raises(
        DataError, match="corpus en: has none of the 2 passages that the qrels call relevant, such as 'x1'"
    ):
        evaluate_task(task, ByHash())


@pytest.mark.parametrize("world_size", [2, 3])
def test_equal_on_all_ranks_of_which_one_writes(cache, on_ranks, monkeypatch, world_size):
    *world, vectors = random_world(0, ties=True)
    expected = evaluate_task(in_memory(*world), ByText(vectors))
    writers = set()
    write = VectorShards.write
    monkeypatch.setattr(VectorShards, "write", lambda *given: writers.add(distributed.rank()) or write(*given))
    for result in on_ranks(world_size, lambda: evaluate_task(corpus_task(*world), ByText(vectors))):
        assert_same(result, expected)
    assert writers == {0}


def test_an_error_on_the_first_rank_ends_all(on_ranks, monkeypatch):
    def full(*_):
        raise StorageError("full")

    *world, _ = random_world(0, ties=False)
    monkeypatch.setattr(VectorShards, "write", full)
    seen = []

    def run():
        try:
            evaluate_task(corpus_task(*world), ByHash())
        except StorageError as error:
            seen.append(str(error))

    on_ranks(3, run)
    assert seen == ["full"] * 3


def test_a_text_that_one_rank_reads_otherwise_ends_all(on_ranks):
    *world, _ = random_world(0, ties=False)
    seen = []

    def run():
        task = corpus_task(*world, keep_vectors=True)
        corpus = task.corpora["de"]
        assert task.censuses["de"].num_passages == len(corpus.texts)
        if distributed.rank() == 2:
            corpus.texts = corpus.texts | {list(corpus.texts)[-1]: "rewritten"}
        try:
            evaluate_task(task, ByHash())
        except DataError as error:
            seen.append(str(error))

    on_ranks(3, run)
    told = "task world: corpus de: changed while it was read. Evaluate again once nothing writes to it."
    assert seen == [told] * 3
    assert not list((cache_dir() / "vectors").glob("*/*.npy"))


def test_an_evaluation_that_stopped_goes_on_where_it_was(monkeypatch):
    """One corpus searched, one half encoded: the rest alone is encoded, and the values are the same."""
    queries, passages, qrels, _ = random_world(0, ties=False)
    own = {pair: part for pair, part in corpus_task(queries, passages, qrels).qrels.items() if pair[0] == pair[1]}

    def task():
        return corpus_task(queries, passages, qrels, qrels=own)

    expected = evaluate_task(task(), ByHash())
    shutil.rmtree(cache_dir())
    write, count = VectorShards.write, iter(range(1000))

    def write_nine(*given):
        if next(count) == 9:
            raise KeyboardInterrupt
        write(*given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(VectorShards, "write", write_nine)
        evaluate_task(task(), ByHash())

    encoded = []

    class Counting(ByHash):
        def __call__(self, texts, side):
            encoded.append((side, len(texts)))
            return super().__call__(texts, side)

    assert_same(evaluate_task(task(), Counting()), expected)
    # 60 German passages in six shards were searched; three English shards of seven (67 passages) were there. The first
    # 50 texts are distinct, the others repeat one of an earlier shard.
    assert [size for side, size in encoded if side == "passage"] == [10, 10, *[10] * 5]
    assert not list((cache_dir() / "vectors").glob("*"))


def test_vectors_are_kept_where_asked_and_used_again():
    *world, vectors = random_world(0, ties=False)
    first = evaluate_task(corpus_task(*world, keep_vectors=True), ByText(vectors))
    assert len(list((cache_dir() / "vectors").glob("*/manifest.json"))) == 3
    encode = ByText(vectors)
    assert_same(evaluate_task(corpus_task(*world), encode), first)
    assert [side for side, _ in encode.calls] == ["query"]
    other = ByText(vectors)
    other.fingerprint = "other"
    evaluate_task(corpus_task(*world), other)
    assert "passage" in [side for side, _ in other.calls], "another encoder's vectors were used"


def test_too_little_room_is_said_before_anything_is_encoded(monkeypatch):
    *world, vectors = random_world(0, ties=False)
    usage = shutil.disk_usage(Path.home())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=201 * 64 * 4 - 1))
    encode = ByText(vectors)
    with pytest.raises(StorageError, match=r"201 vectors need 0\.0 GB, .*MIXLINGUA_CACHE"):
        evaluate_task(corpus_task(*world), encode)
    assert [side for side, _ in encode.calls] == ["query"]


def test_a_shard_holds_passages():
    *world, _ = random_world(0, ties=False)
    with pytest.raises(ConfigError, match="task world: shard_size=0"):
        corpus_task(*world, shard_size=0)


def test_revision_changes_with_what_scores_depend_on():
    queries, passages, qrels, _ = random_world(0, ties=False)

    def revision(**changes):
        return corpus_task(queries, passages, qrels, **changes).revision

    original = revision()
    assert original == revision(shard_size=3, keep_vectors=True) and original.startswith("1-")
    changed = {language: dict(part) for language, part in passages.items()}
    changed["zh"]["zh3"] = "another text"
    task = corpus_task(queries, passages, qrels)
    graded = {pair: {query: dict(part) for query, part in judged.items()} for pair, judged in task.qrels.items()}
    query, grades = next(iter(graded["de", "de"].items()))
    graded["de", "de"][query] = dict.fromkeys(grades, 7)
    others = {
        original,
        corpus_task(queries, changed, qrels).revision,
        revision(queries=queries | {"de": queries["de"] | {"q0": "?"}}),
        revision(qrels=graded),
        revision(release="2"),
    }
    assert len(others) == 5


def test_other_numbers_of_passages_than_published_are_said(caplog):
    *world, _ = random_world(0, ties=False)
    with caplog.at_level(logging.WARNING):
        assert corpus_task(*world, published={"de": 60, "en": 67}).revision.startswith("1-")
        assert caplog.text == ""
        assert corpus_task(*world, published={"de": 61}).revision.startswith("local-")
    assert "de has 60 instead of 61" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"main_metric": "ndcg@10"}, "main_metric=ndcg@10: it is one of map, .*Did you mean 'ndcg_at_10'"),
        ({"qrels": {("en", "fr"): {"q0": {"a": 1}}}}, "qrels en-fr need queries in en and a corpus in fr"),
        ({"qrels": {("en", "de"): {"nobody": {"de0": 1}}}}, "qrels en-de name 1 unknown queries, such as 'nobody'"),
        ({"qrels": {("en", "de"): {"q0": {"de0": 0}}}}, "no query has a relevant passage"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    *world, _ = random_world(0, ties=False)
    with pytest.raises(DataError, match=f"task world: .*{message}"):
        corpus_task(*world, **changes)
