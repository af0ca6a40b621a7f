"""A benchmark with transformed passages: what changes, what is said about it, and that texts are encoded once."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from mixlingua.errors import DataError
from mixlingua.evaluation.benchmarks.common import transformed
from mixlingua.evaluation.suite import evaluate_encoder, evaluate_task
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.retrieval import text_encoder
from mixlingua.retrieval.passage_transforms import HubCorrection, Joining, PassageTransforms

JOINING = Joining(0.5)


def with_joining(task: RetrievalTask) -> RetrievalTask:
    return transformed(task, "joined", joining=JOINING)


@pytest.fixture
def biased() -> RetrievalTask:
    """Two questions in two languages; a text is "meaning language", each a number (see `Biased`)."""
    texts = {
        language: {f"{language}{m}": f"{m} {place}" for m in (0, 1)} for place, language in enumerate(("de", "en"))
    }
    answers = {f"q{m}": {f"de{m}": 1, f"en{m}": 1} for m in (0, 1)}
    queries = {language: {f"q{m}": text for m, text in enumerate(own.values())} for language, own in texts.items()}
    return RetrievalTask("biased", "1", "CC0", "By hand.", queries, texts, {"de": answers, "en": answers})


class Biased:
    """Vectors with a component of the meaning and one of the language; queries see the language more than passages."""

    fingerprint = "biased"

    def __call__(self, texts, side):
        vectors = torch.zeros(len(texts), 4)
        for row, text in enumerate(texts):
            meaning, language = map(int, text.split())
            vectors[row, meaning] = 1.0
            vectors[row, 2 + language] = 1.5 if side == "query" else 0.9
        return torch.nn.functional.normalize(vectors, dim=1)


def test_language_bias_goes_and_the_rest_of_the_benchmark_is_the_same(biased):
    plain, joined = evaluate_task(biased, Biased()), evaluate_task(with_joining(biased), Biased())
    before, after = plain.aggregate(), joined.aggregate()
    # The other passage in the question's language is before the answer in the other language: ranks 1 and 3.
    assert before["biased/multilingual/map"] == pytest.approx((1 + 2 / 3) / 2)
    assert before["biased/multilingual/rank_distance"] == pytest.approx(2)
    assert after["biased_joined/multilingual/map"] == pytest.approx(1)
    assert after["biased_joined/multilingual/rank_distance"] == pytest.approx(1)
    assert {row.setting for row in joined.rows} == {"monolingual", "crosslingual", "multilingual"}


def test_what_was_done_is_written_down(biased):
    task = with_joining(biased)
    assert "joining=Joining(temperature=0.5), hub_correction=None" in task.provenance()["passage_transforms"]
    assert task.note.startswith("By hand. Each passage is joined with its nearest ones in other languages, ")
    assert biased.provenance()["passage_transforms"] == repr(PassageTransforms())


def test_it_is_not_for_one_language(biased):
    one = replace(biased, passages={"de": biased.passages["de"]},
                  qrels={language: {f"q{m}": {f"de{m}": 1} for m in (0, 1)} for language in ("de", "en")})  # fmt: skip
    with pytest.raises(DataError, match="two languages or more, not in de alone"):
        with_joining(one)


@pytest.fixture
def texts_encoded(monkeypatch) -> list[tuple[str, list[str]]]:
    """The side and the texts of each call of the encoder."""
    calls = []

    def encode_tokens(encoder, tokens, **_):
        sides, texts = zip(*tokens, strict=True)
        calls.append((sides[0], list(texts)))
        return Biased()(texts, sides[0])

    monkeypatch.setattr(text_encoder, "encode_tokens", encode_tokens)
    return calls


def numbers(calls):
    """The side of each call, and how many texts it had."""
    return [(side, len(texts)) for side, texts in calls]


class Tokenizer:
    """The tokens of a text are its side and itself."""

    def __init__(self):
        self.max_length = {"query": 9, "passage": 9}

    def encode_counting(self, texts, side):
        return [(side, text) for text in texts], {}


def evaluate(*tasks):
    encoder = SimpleNamespace(tokenizer=Tokenizer())
    return evaluate_encoder(encoder, tasks, token_budget=8, precision="32-true")


def with_one_more(task: RetrievalTask) -> RetrievalTask:
    return replace(task, name="longer", passages=task.passages | {"en": task.passages["en"] | {"en2": "00 1"}})


def test_texts_of_several_tasks_are_encoded_once(biased, texts_encoded):
    results = evaluate(biased, with_joining(biased), replace(biased, name="other"))
    assert numbers(texts_encoded) == [("query", 4), ("passage", 4)]
    assert [result.task for result in results] == ["biased", "biased_joined", "other"]


def test_a_passage_that_only_the_second_task_has_is_encoded_alone(biased, texts_encoded):
    evaluate(biased, with_one_more(biased))
    assert numbers(texts_encoded) == [("query", 4), ("passage", 4), ("passage", 1)]


def test_another_evaluation_encodes_anew(biased, texts_encoded):
    for _ in range(2):
        evaluate(biased)
    assert numbers(texts_encoded) == [("query", 4), ("passage", 4)] * 2


def test_only_the_latest_texts_are_kept(biased, texts_encoded):
    texts = with_one_more(biased).passages
    others = replace(
        biased, passages={name: {key: f"0{text}" for key, text in own.items()} for name, own in texts.items()}
    )
    encoder = text_encoder.TextEncoder(
        SimpleNamespace(tokenizer=Tokenizer()), 8, "32-true", text_encoder.progress_bars(), ""
    )
    for task in (biased, others, biased):
        evaluate_task(task, encoder)
    assert numbers(texts_encoded) == [("query", 4), ("passage", 4), ("passage", 5), ("passage", 4)]


PARAGRAPHS = ["0 01", "1 01"]


class Drawn:
    """A random vector for each text, "language number"; with joining, passages are joined as their texts say."""

    fingerprint = "drawn"

    def __init__(self, joining=None):
        self.joining = joining

    def __call__(self, texts, side):
        rows = [torch.randn(6, generator=torch.Generator().manual_seed(sum(map(ord, text)))) for text in texts]
        vectors = torch.nn.functional.normalize(torch.stack(rows), dim=1)
        if self.joining and side == "passage":
            return self.joining(vectors, [text.partition(" ")[0] for text in texts])
        return vectors


@pytest.fixture
def uneven() -> RetrievalTask:
    """Three languages, of which each has more passages than the one before, given in no order."""
    passages = {
        language: {f"{language}{n}": f"{language} {n}" for n in range(count)}
        for language, count in (("th", 9), ("de", 3), ("en", 5))
    }
    questions = {language: {f"q{n}": f"{language} question {n}" for n in range(3)} for language in passages}
    answers = {f"q{n}": {f"{language}{n}": 1 for language in passages} for n in range(3)}
    return RetrievalTask("uneven", "1", "CC0", "By hand.", questions, passages, dict.fromkeys(passages, answers))


def test_each_passage_is_joined_as_one_of_its_own_language(uneven):
    found = evaluate_task(with_joining(uneven), Drawn())
    by_hand = evaluate_task(replace(uneven, name="uneven_joined"), Drawn(JOINING))
    assert found.aggregate() == pytest.approx(by_hand.aggregate(), abs=1e-6)
    plain = evaluate_task(uneven, Drawn()).aggregate()
    for setting in ("monolingual", "crosslingual", "multilingual"):
        assert found.aggregate()[f"uneven_joined/{setting}/map"] != plain[f"uneven/{setting}/map"]


def test_equal_on_all_ranks(uneven, on_ranks):
    alone = evaluate_task(with_joining(uneven), Drawn()).rows
    for result in on_ranks(3, lambda: evaluate_task(with_joining(uneven), Drawn())):
        assert result.rows == alone


def test_contexts_and_centring_reach_the_ranking(uneven):
    """Against scores worked out here, with paragraphs of two passages each."""
    contexts = {
        language: {key: f"{language} paragraph {int(key[2:]) // 2}" for key in own}
        for language, own in uneven.passages.items()
    }
    task = replace(uneven, contexts=contexts)
    context, correction = {"context_weight": 0.7}, {"hub_correction": HubCorrection(0.5, 2)}
    vectors = {
        side: {language: Drawn()([*own.values()], side) for language, own in texts.items()}
        for side, texts in (("query", task.queries), ("passage", task.passages), ("context", contexts))
    }
    for options in (context, correction, context | correction):
        found = evaluate_task(transformed(task, "other", **options), Drawn()).aggregate()
        values = []
        for language in task.languages:
            passages = vectors["passage"][language]
            if "context_weight" in options:
                passages = torch.nn.functional.normalize(passages + 0.7 * vectors["context"][language], dim=1)
            scores = vectors["query"][language] @ passages.T
            if "hub_correction" in options:
                near = (passages @ passages.T).fill_diagonal_(-1).topk(2, dim=1).values.mean(dim=1)
                scores = scores - 0.5 * near
            ranks = [1 + int((row > row[number]).sum()) for number, row in enumerate(scores)]
            values.append(sum(1 / rank for rank in ranks) / len(ranks))
        assert found["uneven_other/monolingual/map"] == pytest.approx(sum(values) / 3)
        assert found != evaluate_task(uneven, Drawn()).aggregate()


def test_contexts_are_encoded_once_and_beside_what_is_known(biased, texts_encoded):
    contexts = {language: dict(zip(own, PARAGRAPHS, strict=True)) for language, own in biased.passages.items()}
    task = replace(biased, contexts=contexts)
    evaluate(task, transformed(task, "context", context_weight=0.2), with_joining(task))
    assert [texts for side, texts in texts_encoded if side == "passage"] == [["0 0", "1 0", "0 1", "1 1"], PARAGRAPHS]


def test_what_a_benchmark_lacks_is_said(biased):
    with pytest.raises(DataError, match=r"biased_context: context_weight=0.2, but its passages are parts of no longer"):
        transformed(biased, "context", context_weight=0.2)
    with pytest.raises(
        DataError, match=r"biased_hub_corrected: hub_correction.neighbours=2: .* too few are in de \(2\), en \(2\)"
    ):
        transformed(biased, "hub_corrected", hub_correction=HubCorrection(0.5, 2))
    with pytest.raises(DataError, match="its contexts are not those of its passages"):
        replace(biased, contexts={"de": {"de0": "a paragraph"}, "en": {}})
