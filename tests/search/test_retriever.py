"""Results are documents: the best of each, as many as asked for, in one language or fair to all."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mixlingua
from mixlingua.errors import ConfigError, DataError
from mixlingua.search.encoding import Encoding
from mixlingua.search.retriever import NEIGHBOURS, Retriever, fair_ranking

from .conftest import animals, make


@pytest.fixture
def retriever(tmp_path: Path, encoding: Encoding) -> Retriever:
    make(tmp_path, animals(), encoding)
    return Retriever.load(tmp_path)


def test_a_document_appears_once_with_its_best_window(retriever: Retriever) -> None:
    folder = retriever.folder
    query = retriever.encode_queries(["dog cat 12"])[0].numpy()
    scores = folder.gathered(np.arange(folder.num_rows)) @ query
    best: dict[str, tuple[float, str]] = {}
    for row, score in zip(map(folder.row, range(folder.num_rows)), scores.tolist(), strict=True):
        if score > best.get(row.document, (-9, ""))[0]:
            best[row.document] = score, row.text
    expected = sorted(best, key=lambda name: -best[name][0])
    results = retriever.search("dog cat 12", k=60)
    assert [result.id for result in results] == expected
    assert [result.text for result in results] == [best[name][1] for name in expected]
    assert [result.score for result in results] == pytest.approx([best[name][0] for name in expected], abs=1e-6)
    assert retriever.search("dog cat 12", k=7) == results[:7]


def test_a_language_gives_as_many_results_as_it_has(retriever: Retriever) -> None:
    assert [result.language for result in retriever.search("dog", k=20, language="de")] == ["de"] * 20
    assert len(retriever.search("dog", k=1000, language="de")) == 20
    assert len(retriever.search("dog", k=1000)) == 60
    of_all = [result for result in retriever.search("dog", k=60) if result.language == "de"]
    assert retriever.search("dog", k=20, language="de") == of_all
    with pytest.raises(DataError, match=r"language=dee: the index has de, en alone. Did you mean 'de'"):
        retriever.search("dog", language="dee")
    for code in ("de-DE", "deu", "German"):
        with pytest.raises(DataError, match=rf"language={code}: the index has de, en alone. Its code here is 'de'\."):
            retriever.search("dog", language=code)


def test_an_index_in_integers_is_loaded_in_integers(tmp_path: Path, encoding: Encoding) -> None:
    encoding = replace(encoding, model={**encoding.model, "precision": "int8"})
    make(tmp_path, animals(), encoding)
    retriever = Retriever.load(tmp_path)
    transformer = retriever.encoding.encoder.transformer
    assert not [module for module in transformer.modules() if isinstance(module, torch.nn.Linear)]
    assert retriever.encode_queries(["dog"]).equal(encoding(["dog"], "query"))
    assert [module for module in encoding.encoder.transformer.modules() if isinstance(module, torch.nn.Linear)]


def test_several_queries_are_searched_as_each_alone(retriever: Retriever) -> None:
    together = retriever.search(["dog", "Wald", "dog"], k=5)
    for one, query in zip(together, ["dog", "Wald", "dog"], strict=True):
        alone = retriever.search(query, k=5)
        assert [result.id for result in one] == [result.id for result in alone]
    assert retriever.search([]) == []


def test_a_fair_list_ranks_documents_among_those_of_their_language() -> None:
    level = {"de": 0.9, "en": 0.5}  # German documents score higher whatever they say
    de = [(level["de"] + 0.01 * (9 - rank), rank) for rank in range(10)]
    en = [(level["en"] + (0.3 if rank == 0 else 0.0), 10 + rank) for rank in range(10)]
    fair = fair_ranking([de, en], 3)
    assert fair[0] == en[0], "the one that stands out"
    assert fair[1:] == de[:2]
    assert [score for score, _ in fair] == [en[0][0], de[0][0], de[1][0]], "scores stay what they are"


def test_fair_lists_by_their_definition(retriever: Retriever) -> None:
    by_language = {code: retriever.search("river town", k=60, language=code) for code in retriever.languages}
    levels = {code: np.mean([result.score for result in found[:NEIGHBOURS]]) for code, found in by_language.items()}
    every = [result for found in by_language.values() for result in found]
    expected = sorted(every, key=lambda result: levels[result.language] - result.score)[:10]
    assert retriever.search("river town", k=10, fair=True) == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"query": "x", "k": 0}, "k=0: a whole number of 1 or more is needed"),
        ({"query": "x", "k": True}, "k=True"),
        ({"query": " "}, "query: it is empty"),
        ({"query": "x", "language": "de", "fair": True}, "fair=true with language=de"),
        ({"query": "x", "fair": "no"}, "fair='no': must be true or false"),
        ({"query": "x", "fair": 1}, "fair=1: must be true or false"),
        ({"query": "x", "language": 5}, "language=5: must be a code such as 'de'"),
        ({"query": None}, "query=None: a text, or a list of texts"),
        ({"query": ["x", None]}, "query=None: it must be a text"),
    ],
)
def test_searches_that_make_no_sense_are_refused(retriever: Retriever, arguments: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        retriever.search(**arguments)


def test_a_device_that_is_none_is_refused(retriever: Retriever) -> None:
    with pytest.raises(ConfigError, match=r"device='gpu': it is one of cpu, cuda, mps.*Did you mean 'cuda'"):
        Retriever.load(retriever.folder.path, device="gpu")


def test_half_a_surrogate_pair_is_no_query(retriever: Retriever) -> None:
    with pytest.raises(DataError, match="half of a surrogate pair at character 3"):
        retriever.search("cut\ud83d")


def test_a_query_that_is_cut_can_be_told(retriever: Retriever) -> None:
    tokenizer = retriever.encoding.encoder.tokenizer
    query = "dog " * 300
    of_query = len(tokenizer.tokenizer(tokenizer.prefix["query"] + query)["input_ids"])
    assert retriever.cut_note(query) == f"the query has {of_query:,} tokens; the first 64 are read"
    assert retriever.cut_note("dog") is None


def test_threads_search_at_once(retriever: Retriever) -> None:
    queries = [f"{word} {number}" for number in range(8) for word in ("dog", "Wald", "a longer query about a river")]
    alone = {query: retriever.search(query, k=3) for query in queries}
    different: list[str] = []

    def work(offset: int) -> None:
        for query in queries[offset:] + queries[:offset]:
            if retriever.search(query, k=3) != alone[query]:
                different.append(query)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert different == []


def test_it_is_part_of_the_library(retriever: Retriever) -> None:
    assert mixlingua.Retriever is Retriever
    assert (retriever.languages, retriever.count, retriever.model_name) == (("de", "en"), 60, "tiny")
    vectors = retriever.encode_passages(["a", "b"])
    assert vectors.shape == (2, 32)
    np.testing.assert_allclose(vectors.norm(dim=1), 1, atol=1e-5)
