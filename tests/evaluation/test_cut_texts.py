"""Texts longer than the model reads are counted, wherever they are encoded, and whoever reads the run is told."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mixlingua.data.build import build_store
from mixlingua.data.readers.jsonl import JsonlReader
from mixlingua.data.tokenizer import SAMPLE, Cut, sampled_cut
from mixlingua.evaluation.suite import evaluate_encoder
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.library import evaluate, load_encoder
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.report.page import cut_notes

sys.path.insert(0, str(Path(__file__).parent))
from worlds import corpus_task

LIMIT = 16


@pytest.fixture
def encoder():
    settings = {"pooling": "mean", "query_prefix": "", "passage_prefix": ""}
    return PretrainedEncoder("tiny", **settings, max_query_length=LIMIT, max_passage_length=LIMIT).load(0)


def tokens(encoder, text):
    """Of the whole text, special ones included."""
    return len(encoder.tokenizer.tokenizer(text)["input_ids"])


LONG, LONGER, LONGEST, SHORT = "a b c " * 10, "x y z " * 20, "u v w " * 30, "short"
QUERIES = {"en": {"q": "which?", "r": "which? " * 30}}
PASSAGES = {"en": {"p0": LONG, "p1": LONGER, "p2": SHORT, "p3": LONG, "p4": "other"}}
QRELS = {"en": {"q": {"p0": 1}, "r": {"p2": 1}}}


def counted(encoder, *tasks, keep=False):
    results = evaluate_encoder(encoder, tasks, token_budget=64, precision="32-true", keep=keep)
    return [result.provenance["cut"] for result in results]


def expected(encoder):
    lost = [tokens(encoder, text) - LIMIT for text in (LONG, LONGER)]
    of_query = tokens(encoder, QUERIES["en"]["r"]) - LIMIT
    assert min(*lost, of_query) > 0
    return {
        "query": {"num_texts": 2, "num_cut": 1, "limit": LIMIT, "lost_tokens": of_query},
        "passage": {"num_texts": 4, "num_cut": 2, "limit": LIMIT, "lost_tokens": sum(lost)},
    }


def test_a_limit_counts_what_lies_behind_it(encoder):
    texts = [LONG, LONGER, SHORT, "", "a b c d e f g h i j k l m n", "a b c d e f g h i j k l m n o"]
    ids, lost = encoder.tokenizer.encode_counting(texts, "query")
    assert ids == encoder.tokenizer.encode(texts, "query")
    assert lost == {text: tokens(encoder, text) - LIMIT for text in texts if tokens(encoder, text) > LIMIT}


def test_pools_in_memory_count_each_distinct_text_once_and_in_each_task(encoder):
    """The second task takes its vectors from the first, and the third all but one: what is cut counts in each."""
    one, two = (RetrievalTask(name, "1", "CC0", "", QUERIES, PASSAGES, QRELS) for name in ("one", "two"))
    three = replace(one, name="three", passages={"en": PASSAGES["en"] | {"p5": LONGEST}})
    cut = expected(encoder)
    lost = cut["passage"]["lost_tokens"] + tokens(encoder, LONGEST) - LIMIT
    of_three = cut | {"passage": {"num_texts": 5, "num_cut": 3, "limit": LIMIT, "lost_tokens": lost}}
    assert counted(encoder, one, two, three) == [cut, cut, of_three]


def test_vectors_of_the_cache_count_also_behind_a_task_that_has_cut_texts(encoder):
    """What the second task adds to the first is counted whether its vectors are computed, kept, or both."""
    one = RetrievalTask("one", "1", "CC0", "", QUERIES, PASSAGES, QRELS)
    two = replace(one, name="two", passages={"en": PASSAGES["en"] | {"p5": LONGEST}})
    plain = counted(encoder, one, two)
    assert [task["passage"]["num_cut"] for task in plain] == [2, 3]
    for _ in range(2):
        assert counted(encoder, one, two, keep=True) == plain


@pytest.mark.parametrize("shard_size", [1, 2, 10])
def test_corpora_count_as_pools_in_memory_also_where_vectors_were_kept(encoder, shard_size):
    task = corpus_task(QUERIES, PASSAGES, QRELS, shard_size=shard_size, keep_vectors=True)
    assert counted(encoder, task) == [expected(encoder)]
    assert counted(encoder, task) == [expected(encoder)], "nothing is encoded again"


def test_a_reader_of_the_run_is_told(encoder):
    about = {"one": {"cut": expected(encoder)}, "none": {"cut": {"query": {"num_texts": 3}}}, "older": {}}
    trained = {"own": {"passage": {"num_texts": 512, "num_cut": 128, "limit": 64, "lost_tokens": 64 * 128}}}
    notes = cut_notes({"tasks": about, "cut": trained})
    assert notes[0] == (
        "trained on own: 128 of 512 sampled passages are longer than 64 tokens and are cut; "
        "50% of their tokens are lost."
    )
    assert [note.partition(" are longer")[0] for note in notes[1:]] == [
        "one: 1 of 2 queries", "one: 2 of 4 passages",
    ]  # fmt: skip


def test_figures_of_the_library_say_so_too():
    encoder = load_encoder("tiny", max_passage_length=LIMIT)
    task = RetrievalTask("one", "1", "CC0", "", QUERIES, PASSAGES, QRELS)
    assert "one: 2 of 4 passages are longer than 16 tokens" in str(evaluate(encoder, task))


def test_a_training_source_is_sampled_and_counted_whole_where_it_is_small(encoder, tmp_path):
    def source(num_rows):
        path = tmp_path / f"{num_rows}.jsonl"
        rows = (
            {"id": str(i), "queries": {"en": f"q{i}"}, "passages": {"en": f"{i} " * 30 if i % 4 == 0 else f"p{i}"}}
            for i in range(num_rows)
        )
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return build_store(JsonlReader(path), tmp_path / "stores")

    small = sampled_cut(source(40), encoder.tokenizer, ["de", "en"], seed=0, source_index=0)
    assert (small["passage"].num_texts, small["passage"].num_cut, small["passage"].limit) == (40, 10, LIMIT)
    assert small["query"] == Cut(num_texts=40)
    large = sampled_cut(source(4 * SAMPLE), encoder.tokenizer, ["en"], seed=0, source_index=0)["passage"]
    assert large.num_texts == SAMPLE
    assert large.num_cut == pytest.approx(SAMPLE / 4, rel=0.3)
