"""mteb both ways, with mteb itself: its tasks measured here, ours measured by it, and the files of both."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("mteb", reason="the extra mteb")
import mteb
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.benchmarks.common import transformed
from mixlingua.evaluation.benchmarks.mteb import mteb_tasks
from mixlingua.evaluation.run_folder import read_results, write_results
from mixlingua.evaluation.suite import evaluate_encoder
from mixlingua.library import load_encoder
from mixlingua.publish.mteb import MtebEncoder, as_mteb_task
from mixlingua.retrieval.passage_transforms import Joining

sys.path.insert(0, str(Path(__file__).parent))
from worlds import worded, words

SUBSETS = {"de": ["deu-Latn"], "en": ["eng-Latn"], "de-en": ["deu-Latn", "eng-Latn"], "en-de": ["eng-Latn", "deu-Latn"]}


def subset(queries, passages):
    """Forty passages and nine queries with graded judgements; half of the passages have a title."""
    corpus = [
        {
            "id": f"{passages}{n}",
            "text": f" {words(passages, n, n * 7, n + 3)} ",
            "title": words(passages, n) if n % 2 else "",
        }
        for n in range(40)
    ]
    asked = [{"id": f"q{n}", "text": f"{words(queries, n, n + 5)}?"} for n in range(9)]
    return {
        "corpus": Dataset.from_list(corpus),
        "queries": Dataset.from_list(asked),
        "relevant_docs": {
            f"q{n}": {f"{passages}{n * 4}": 2, f"{passages}{n * 3 + 1}": 1, f"{passages}5": 0} for n in range(9)
        },
        "top_ranked": None,
    }  # fmt: skip


class Local(AbsTaskRetrieval):
    """A task of mteb whose data are made here."""

    metadata = TaskMetadata(
        name="LocalRetrieval", description="made here", dataset={"path": "none", "revision": "0123456789abcdef"},
        type="Retrieval", category="t2t", modalities=["text"], eval_splits=["test"], eval_langs=SUBSETS,
        main_score="ndcg_at_10", reference=None, date=None, domains=None, task_subtypes=None, license=None,
        annotations_creators=None, dialect=None, sample_creation=None, bibtex_citation=None,
    )  # fmt: skip

    def load_data(self, **_):
        self.dataset = {
            name: {"test": subset(*(code[:2] for code in (codes * 2)[:2]))} for name, codes in SUBSETS.items()
        }
        self.data_loaded = True


class Reranked(Local):
    def load_data(self, **_):
        super().load_data()
        self.dataset["en"]["test"]["top_ranked"] = {"q0": ["en0"]}


class OtherCorpora(Local):
    """The German passages of one subset are others than those of another."""

    def load_data(self, **_):
        super().load_data()
        of_subset = self.dataset["en-de"]["test"]
        of_subset["corpus"] = of_subset["corpus"].map(lambda row: {"text": row["text"] + " mehr"})


class AmongPassages(Local):
    """Each query is a passage too, under its own id, as in ArguAna."""

    ignore_identical_ids = True

    def load_data(self, **_):
        super().load_data()
        for of_subset in (by_split["test"] for by_split in self.dataset.values()):
            asked = [{**row, "title": ""} for row in of_subset["queries"]]
            of_subset["corpus"] = Dataset.from_list([*of_subset["corpus"], *asked])


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("tiny", query_prefix="query: ", passage_prefix="passage: ").module


def by_mteb(encoder, task):
    """subset -> scores."""
    result = mteb.evaluate(MtebEncoder(encoder), task, cache=None, co2_tracker=False, show_progress_bar=False)
    (of_task,) = result.task_results
    return {entry["hf_subset"]: entry for entry in of_task.scores["test"]}


def as_given(score):
    """mteb rounds its scores to five digits."""
    return pytest.approx(round(score, 5), abs=1e-6)


def measured(encoder, *tasks):
    return evaluate_encoder(encoder, tasks, token_budget=512, precision="32-true")


PAIRS = {"de": ("de", "de"), "en": ("en", "en"), "de-en": ("de", "en"), "en-de": ("en", "de")}


def test_figures_are_those_of_mteb_and_its_files_are_written(encoder, tmp_path):
    (task,) = mteb_tasks([Local()], pair_order="query_first", parallel_queries=True)
    (result,) = measured(encoder, task)
    expected = by_mteb(encoder, Local())
    found = {
        (row.query_language, row.passage_language, row.metric): row.value
        for row in result.rows
        if row.setting != "multilingual"
    }
    assert set(expected) == set(PAIRS)
    for name, pair in PAIRS.items():
        for metric in ("ndcg_at_10", "recall_at_1", "recall_at_10", "precision_at_10", "mrr_at_10"):
            assert round(found[*pair, metric], 5) == as_given(expected[name][metric]), (name, metric)
        assert 0 < found[*pair, "ndcg_at_10"] < 1
    bias = {row.metric for row in result.rows if row.setting == "multilingual"}
    assert {"rank_distance", "map_drop_without_own"} <= bias, "and what mteb has not"

    write_results(tmp_path, [result], {})
    assert read_results(tmp_path).rows == result.rows
    read = mteb.results.TaskResult.from_disk(tmp_path / "mteb" / "LocalRetrieval.json")
    assert (read.task_name, read.dataset_revision) == ("LocalRetrieval", "0123456789abcdef")
    scores = {entry["hf_subset"]: entry["main_score"] for entry in read.scores["test"]}
    assert {name: round(score, 5) for name, score in scores.items()} == {
        name: as_given(entry["main_score"]) for name, entry in expected.items()
    }
    assert {entry["hf_subset"]: entry["languages"] for entry in read.scores["test"]} == SUBSETS


def test_a_query_that_is_a_passage_too_does_not_find_itself_as_in_mteb(encoder):
    results = measured(encoder, *mteb_tasks([AmongPassages()], pair_order="query_first", parallel_queries=True))
    found = {
        (row.query_language, row.passage_language): row.value
        for result in results
        for row in result.rows
        if row.metric == "ndcg_at_10"
    }
    expected = by_mteb(encoder, AmongPassages())
    assert {name: round(found[pair], 5) for name, pair in PAIRS.items()} == {
        name: as_given(expected[name]["ndcg_at_10"]) for name in PAIRS
    }


def test_subsets_can_be_chosen_and_the_order_of_a_pair_be_said():
    (task,) = mteb_tasks([Local()], subsets=["de-en"], pair_order="corpus_first")
    assert set(task.qrels) == {("en", "de")} and task.name == "LocalRetrieval"
    (task,) = mteb_tasks([Local()], subsets=["de", "en"], parallel_queries=True)
    assert set(task.qrels) == {("de", "de"), ("en", "en")}


def test_languages_that_number_their_queries_anew_have_no_question_in_common(encoder):
    chosen = {"subsets": ["de", "en"]}
    with pytest.raises(ConfigError, match=r"queries in several languages have the id q0.*parallel_queries to true"):
        mteb_tasks([Local()], **chosen)
    (parallel,) = mteb_tasks([Local()], **chosen, parallel_queries=True)
    (anew,) = mteb_tasks([Local()], **chosen, parallel_queries=False)
    assert set(parallel.queries["de"]) == set(parallel.queries["en"])
    assert not set(anew.queries["de"]) & set(anew.queries["en"]) and "de:q0" in anew.queries["de"]
    assert {row.value for row in measured(encoder, anew)[0].rows if row.metric == "ndcg_at_10"} == {
        row.value for row in measured(encoder, parallel)[0].rows if row.metric == "ndcg_at_10"
    }
    of_each = mteb_tasks([AmongPassages()], **chosen, parallel_queries=False)
    assert [set(task.queries) for task in of_each] == [{"de"}, {"en"}], "a query's own id is what finds its passage"


def test_different_corpora_in_a_language_are_tasks_of_their_own(encoder):
    tasks = mteb_tasks([OtherCorpora()], pair_order="query_first", parallel_queries=True)
    assert [task.name for task in tasks] == [f"LocalRetrieval_{name}" for name in ("de", "en", "de_en", "en_de")]
    expected = by_mteb(encoder, OtherCorpora())["en-de"]["ndcg_at_10"]
    (result,) = measured(encoder, tasks[3])
    assert round(result.aggregate()["LocalRetrieval_en_de/crosslingual/ndcg_at_10"], 5) == as_given(expected)
    assert [entry["hf_subset"] for entry in json.loads(*result.further_files.values())["scores"]["test"]] == ["en-de"]


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (
            Local(),
            {},
            r"de-en of LocalRetrieval is in deu-Latn, eng-Latn, and mteb does not say .*pair_order",
        ),
        (Local(), {"pair_order": "german_first"}, r"pair_order=german_first: it is one of query_first, corpus_first"),
        (Local(), {"subsets": ["fr"]}, r"mteb\.subsets: LocalRetrieval has no 'fr'; it has de, en, de-en, en-de"),
        (Local(), {"subsets": []}, r"mteb\.subsets: nothing of LocalRetrieval is chosen"),
        (Local(), {"split": "dev"}, r"mteb\.split: LocalRetrieval has no 'dev'; it has test"),
        (Reranked(), {"subsets": ["en"]}, r"LocalRetrieval \(en\) reranks given passages"),
        ("SciFakt", {}, r"mteb has no task 'SciFakt'\. ?Did you mean 'SciFact'"),
        ("Banking77Classification", {}, r"Banking77Classification is Classification; retrieval of text is measured"),
    ],
)
def test_what_cannot_be_measured_is_refused(task, options, message):
    with pytest.raises(ConfigError, match=message):
        mteb_tasks([task], **options)


class Offline(Local):
    def load_data(self, **_):
        raise ConnectionError("Couldn't reach the Hub")


def test_data_that_mteb_cannot_load_are_named():
    with pytest.raises(
        DataError, match=r"the data of LocalRetrieval could not be fetched or read \(ConnectionError: Cou"
    ):
        mteb_tasks([Offline()])


@pytest.fixture
def mixed():
    return worded("de", "en", "zh-Hant")


def test_our_mixed_pool_is_a_task_of_mteb(encoder, mixed):
    (result,) = measured(encoder, mixed)
    scores = by_mteb(encoder, as_mteb_task(mixed))
    assert set(scores) == {"de", "en", "zh-Hant"}
    found = {(row.query_language, row.metric): row.value for row in result.rows if row.setting == "multilingual"}
    for language, entry in scores.items():
        for metric in ("ndcg_at_10", "recall_at_10", "mrr_at_10", "own_language_excess_at_10"):
            assert round(found[language, metric], 5) == as_given(entry[metric]), (language, metric)
    assert scores["zh-Hant"]["languages"] == ["zho-Hant"]


def test_what_mteb_cannot_do_is_refused(mixed):
    with pytest.raises(DataError, match="mteb cannot leave out a query's own passage, nor transform vectors"):
        as_mteb_task(transformed(mixed, "joined", joining=Joining()))
    with pytest.raises(DataError, match="passages are encoded as queries"):
        as_mteb_task(replace(mixed, symmetric=True))
