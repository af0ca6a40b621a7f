"""Success at k over corpora in shards equals a ranking of everything, also where the evaluation was stopped."""

import logging
import os
import sys
from pathlib import Path

import ir_measures
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import Qrel, ScoredDoc, Success

from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.corpus_tasks import AnswerTask
from mixlingua.evaluation.engines import answers as engine
from mixlingua.evaluation.engines.answers import AnswerIndex, FirstAnswers, tokens
from mixlingua.evaluation.suite import evaluate_task
from mixlingua.files import cache_dir

sys.path.insert(0, str(Path(__file__).parent))
from worlds import ByHash, ByText, ListCorpus

LANGUAGES = ("de", "en", "zh-Hant-HK")


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # hundreds of small shards


def world(seed, *, ties, num_passages=150):
    """Answers, passages and vectors by text: an answer that many passages have, one that few have, one that none has.

    With `ties`, vectors have few distinct values. Some passages repeat a text.
    """
    random = np.random.default_rng(seed)
    answers = {"q0": ["Zwei", "two"], "q1": ["rare bird"], "q2": ["nowhere", ""], "q3": ["two"], "q4": ["rare"]}
    chosen = random.choice(["two", "rare bird", "bird rare", "none"], num_passages, p=[0.3, 0.05, 0.15, 0.5])
    distinct = num_passages - num_passages // 5
    passages = {f"p{i}": f"text {i % distinct}, {chosen[i % distinct]}." for i in range(num_passages)}
    queries = {language: {question: f"{language} {question}?" for question in answers} for language in LANGUAGES}
    texts = [*passages.values(), *(text for own in queries.values() for text in own.values())]
    if ties:
        vectors = {text: torch.from_numpy(random.integers(-1, 2, 3)).float() for text in texts}
    else:
        vectors = {text: torch.from_numpy(random.standard_normal(8)).float() for text in texts}
        vectors = {text: torch.nn.functional.normalize(row, dim=0) for text, row in vectors.items()}
    return queries, answers, passages, vectors


def task_of(queries, answers, passages, **changes):
    corpus = changes.get("corpus", ListCorpus(passages))
    given = {
        "name": "asked", "release": "1", "licence": "CC0", "note": "", "queries": queries, "answers": answers,
        "corpus": corpus, "answer_corpus": corpus, "corpus_language": "en", "published": len(passages),
        "shard_size": 40, "files": {"questions": "hash"},
    } | changes  # fmt: skip
    return AnswerTask(**given)


def answering(own, passages):
    """The ids of the passages that contain an answer of a question, by comparing at every place."""
    wanted = [tokens(answer) for answer in own if tokens(answer)]
    texts = {name: tokens(text) for name, text in passages.items()}
    return {
        name for name, text in texts.items()
        if any(text[at : at + len(answer)] == answer for answer in wanted for at in range(len(text)))
    }  # fmt: skip


def ranking(query, relevant, passages, vectors):
    """Ids, best first; of those that score the same, answering passages come last."""
    score = {name: float(vectors[query].double() @ vectors[text].double()) for name, text in passages.items()}
    return sorted(passages, key=lambda name: (-score[name], name in relevant))


def expected_ranks(queries, answers, passages, vectors):
    """By language and question: the rank of the first answering passage."""
    found = {}
    for question, own in answers.items():
        relevant = answering(own, passages)
        for language, texts in queries.items():
            order = ranking(texts[question], relevant, passages, vectors)
            found[language, question] = next(
                (rank for rank, name in enumerate(order, start=1) if name in relevant), np.inf
            )
    return found


def ranks_of(result):
    return {
        (language, question): value
        for table in result.per_query.values()
        for language, question, value in zip(table.query_languages, table.query_ids, table.values["rank"], strict=True)
    }


@settings(max_examples=15)
@given(st.integers(0, 1000), st.booleans(), st.integers(1, 60), st.integers(1, 60))
def test_ranks_are_those_of_everything_sorted(seed, ties, num_passages, shard_size):
    *parts, vectors = world(seed, ties=ties, num_passages=num_passages)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "SUCCESS", {"rank": lambda result: result.ranks[:, 0]})
        result = evaluate_task(task_of(*parts, shard_size=shard_size), ByText(vectors))
    assert ranks_of(result) == expected_ranks(*parts, vectors)


@pytest.mark.parametrize("ties", [True, False])
def test_equal_to_ir_measures(ties):
    """Every question counts, also q2, which no passage answers; questions in English are the monolingual ones."""
    queries, answers, passages, vectors = world(5, ties=ties)
    result = evaluate_task(task_of(queries, answers, passages), ByText(vectors))
    qrels, run = [], []
    for question, own in answers.items():
        relevant = answering(own, passages)
        for language, texts in queries.items():
            key = f"{language} {question}"
            qrels += [Qrel(key, name, int(name in relevant)) for name in passages]
            order = ranking(texts[question], relevant, passages, vectors)
            run += [ScoredDoc(key, name, float(-place)) for place, name in enumerate(order)]
    names = {"success_at_20": Success @ 20, "success_at_100": Success @ 100}
    measured = {
        (str(value.measure), value.query_id): value.value for value in ir_measures.iter_calc(names.values(), qrels, run)
    }
    assert {setting: sorted(set(table.query_languages)) for setting, table in result.per_query.items()} == {
        "monolingual": ["en"], "crosslingual": ["de", "zh-Hant-HK"],
    }  # fmt: skip
    values = []
    for table in result.per_query.values():
        assert set(table.passage_languages) == {"en"} and list(table.values) == list(names)
        keys = [f"{language} {q}" for language, q in zip(table.query_languages, table.query_ids, strict=True)]
        for name, measure in names.items():
            assert table.values[name].tolist() == [measured[str(measure), key] for key in keys]
            values += table.values[name].tolist()
    assert {row.num_queries for row in result.rows} == {5} and set(values) == {0.0, 1.0}
    spread = {"asked/crosslingual/success_at_20_gap", "asked/crosslingual/success_at_100_std"}
    assert spread <= set(result.aggregate())


def test_worked_out_by_hand():
    """q: the first answering passage ties with one that does not answer and with one that does: third of five."""
    passages = {"a": "no", "b": "yes, 1066", "c": "none", "d": "1066 it was", "e": "also 1066"}
    score = {"a": 0.9, "b": 0.5, "c": 0.5, "d": 0.5, "e": -0.5}
    vectors = {text: torch.tensor([score[name]]) for name, text in passages.items()} | {"?": torch.tensor([1.0])}
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "SUCCESS", {f"at_{k}": lambda r, k=k: r.ranks[:, 0] <= k for k in (2, 3)})
        for size in (1, 2, 5):
            task = task_of({"en": {"q": "?"}}, {"q": ["1066"]}, passages, shard_size=size)
            found[size] = evaluate_task(task, ByText(vectors)).per_query["monolingual"].values
    assert {(bool(own["at_2"][0]), bool(own["at_3"][0])) for own in found.values()} == {(False, True)}


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("ties", [True, False])
def test_a_search_that_stopped_goes_on_where_it_was(monkeypatch, ties):
    """Stopped in each of its eight steps, before or after what that found is on disk."""
    *parts, vectors = world(7, ties=ties)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "SUCCESS", {"rank": lambda result: result.ranks[:, 0]})
        expected = ranks_of(evaluate_task(task_of(*parts), ByText(vectors)))
        judge, judged = AnswerIndex.answered, []
        patch.setattr(AnswerIndex, "answered", lambda *given: judged.append(1) or judge(*given))
        save = FirstAnswers.save
        for stop in range(8):
            for saved in (True, False):

                def stopping(first, path, steps, stop=stop, saved=saved):
                    if saved or steps != stop + 1:
                        save(first, path, steps)
                    if steps == stop + 1:
                        raise StoppedError

                with patch.context() as inner, pytest.raises(StoppedError):
                    inner.setattr(FirstAnswers, "save", stopping)
                    evaluate_task(task_of(*parts), ByText(vectors))
                judged.clear()
                encode = ByText(vectors)
                assert ranks_of(evaluate_task(task_of(*parts), encode)) == expected
                assert [side for side, _ in encode.calls] == ["query"], "vectors were encoded again"
                assert len(judged) == max(4 - stop - saved, 0), "shards were judged again"
                assert not list((cache_dir() / "vectors").glob("*")), "vectors and state are removed"


def test_the_state_of_a_search_is_that_of_one_shard_size(monkeypatch):
    *parts, vectors = world(7, ties=False)
    monkeypatch.setattr(engine, "SUCCESS", {"rank": lambda result: result.ranks[:, 0]})
    expected = ranks_of(evaluate_task(task_of(*parts), ByText(vectors)))
    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr(FirstAnswers, "count", lambda *_: (_ for _ in ()).throw(StoppedError))
        evaluate_task(task_of(*parts), ByText(vectors))
    assert ranks_of(evaluate_task(task_of(*parts, shard_size=30), ByText(vectors))) == expected
    assert ranks_of(evaluate_task(task_of(*parts), ByText(vectors))) == expected


def test_equal_on_all_ranks(on_ranks, monkeypatch):
    *parts, vectors = world(3, ties=True)
    monkeypatch.setattr(engine, "SUCCESS", {"rank": lambda result: result.ranks[:, 0]})
    expected = expected_ranks(*parts, vectors)
    for result in on_ranks(2, lambda: evaluate_task(task_of(*parts), ByText(vectors))):
        assert ranks_of(result) == expected


def test_vectors_are_kept_where_asked_and_used_again():
    *parts, vectors = world(1, ties=False)
    evaluate_task(task_of(*parts, keep_vectors=True), ByText(vectors))
    encode = ByText(vectors)
    evaluate_task(task_of(*parts), encode)
    assert [side for side, _ in encode.calls] == ["query"]
    assert not list((cache_dir() / "vectors").glob("*"))


@pytest.mark.parametrize("change", [{"id": "other"}, {"text": "Zwei."}])
def test_a_corpus_that_changes_between_readings_is_refused(change):
    *parts, vectors = world(1, ties=False)

    class Changing(ListCorpus):
        readings = 0

        def passages(self):
            self.readings += 1
            first, *others = super().passages()
            return iter([first._replace(**change) if self.readings > 2 else first, *others])

    with pytest.raises(DataError, match="task asked: corpus en: changed while it was read"):
        evaluate_task(task_of(*parts, corpus=Changing(parts[2])), ByText(vectors))


def test_answers_are_looked_for_in_what_is_judged():
    vectors = {"?": torch.tensor([1.0]), "Title 1066": torch.tensor([0.5]), "Other 1066": torch.tensor([0.25])}
    encoded, judged = {"a": "Title 1066", "b": "Other 1066"}, {"a": "Title", "b": "1066"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "SUCCESS", {"rank": lambda result: result.ranks[:, 0]})
        task = task_of({"en": {"q": "?"}}, {"q": ["1066"]}, encoded, answer_corpus=ListCorpus(judged))
        assert ranks_of(evaluate_task(task, ByText(vectors))) == {("en", "q"): 2}


def test_what_identifies_the_data(caplog):
    queries, answers, passages, _ = world(1, ties=False)
    task = task_of(queries, answers, passages)
    about = task.provenance()
    assert about["num_queries"] == dict.fromkeys(sorted(LANGUAGES), 5) and about["num_candidates"] == {"en": 150}
    assert about["languages"] == sorted(LANGUAGES) and about["main_metric"] == "success_at_100"
    assert set(about["files"]) == {"questions", "corpus en"} and about["revision"].startswith("1-")
    assert task.size == "5 questions in 3 languages, passages from 0.00 GB of files"
    others = [
        task_of(queries, answers | {"q0": ["two"]}, passages),
        task_of(queries | {"de": queries["de"] | {"q1": "?"}}, answers, passages),
        task_of(queries, answers, passages | {"p0": "another"}),
        task_of({"de": queries["de"]}, answers, passages),
        task_of(queries, answers, passages, answer_corpus=ListCorpus(passages)),
    ]
    assert len({about["revision"], *(other.revision for other in others)}) == 6
    assert task_of(queries, answers, passages, shard_size=3, keep_vectors=True).revision == about["revision"]
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        assert task_of(queries, answers, passages, published=7000).revision.startswith("local-")
    assert "not the released corpora by numbers of passages (en has 150 instead of 7,000)" in caplog.text


def test_unknown_languages_are_refused():
    with pytest.raises(ConfigError, match="task asked: unknown language 'xx'"):
        task_of({"xx": {"q": "?"}}, {"q": ["a"]}, {"p": "a"})


def test_how_many_questions_the_corpus_answers_is_said(caplog):
    *parts, _ = world(1, ties=False)
    with caplog.at_level(logging.INFO):
        evaluate_task(task_of(*parts), ByHash())
    assert "task asked: the corpus answers 4 of 5 questions" in caplog.text
