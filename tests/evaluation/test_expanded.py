"""A benchmark over an expanded index: what changes, what is said about it, and that texts are encoded once."""

from dataclasses import replace

import pytest
import torch

from mixlingua.errors import DataError
from mixlingua.evaluation import suite
from mixlingua.evaluation.expanded import expanded
from mixlingua.evaluation.task import RetrievalTask
from mixlingua.retrieval.expansion import NeighbourExpansion

EXPANSION = NeighbourExpansion(0.5)


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
    plain, joined = biased.evaluate(Biased()), expanded(biased, EXPANSION).evaluate(Biased())
    before, after = plain.aggregate(), joined.aggregate()
    # The other passage in the question's language is before the answer in the other language: ranks 1 and 3.
    assert before["biased/multilingual/map"] == pytest.approx((1 + 2 / 3) / 2)
    assert before["biased/multilingual/rank_distance"] == pytest.approx(2)
    assert after["biased_expanded/multilingual/map"] == pytest.approx(1)
    assert after["biased_expanded/multilingual/rank_distance"] == pytest.approx(1)
    assert {row.setting for row in joined.rows} == {"monolingual", "crosslingual", "multilingual"}


def test_what_was_done_is_written_down(biased):
    task = expanded(biased, EXPANSION)
    assert task.provenance()["expansion"] == "NeighbourExpansion(temperature=0.5)"
    assert task.note.startswith("By hand. Each passage is joined with its nearest ones in other languages, ")
    assert biased.provenance()["expansion"] is None


def test_it_is_not_for_one_language(biased):
    one = replace(biased, passages={"de": biased.passages["de"]},
                  qrels={language: {f"q{m}": {f"de{m}": 1} for m in (0, 1)} for language in ("de", "en")})  # fmt: skip
    with pytest.raises(DataError, match="two languages or more, not in de alone"):
        expanded(one, EXPANSION)


def test_texts_of_both_are_encoded_once(biased, monkeypatch):
    encoded = []

    def encode(encoder, texts, side, **_):
        encoded.append((side, len(texts)))
        return Biased()(texts, side)

    monkeypatch.setattr(suite, "encode", encode)
    tasks = [biased, expanded(biased, EXPANSION), replace(biased, name="other", queries=biased.queries)]
    results = suite.evaluate_encoder(object(), tasks, token_budget=8, precision="32-true")
    assert encoded == [("query", 4), ("passage", 4)]
    assert [result.task for result in results] == ["biased", "biased_expanded", "other"]
    longer = {"de": biased.passages["de"], "en": biased.passages["en"] | {"en2": "0 1"}}
    suite.evaluate_encoder(object(), [biased, replace(biased, passages=longer)], token_budget=8, precision="32-true")
    assert encoded[2:] == [("query", 4), ("passage", 4), ("passage", 5)]


class Drawn:
    """A random vector for each text, "language number"; with an expansion, passages are joined as their texts say."""

    fingerprint = "drawn"

    def __init__(self, expansion=None):
        self.expansion = expansion

    def __call__(self, texts, side):
        rows = [torch.randn(6, generator=torch.Generator().manual_seed(sum(map(ord, text)))) for text in texts]
        vectors = torch.nn.functional.normalize(torch.stack(rows), dim=1)
        if self.expansion and side == "passage":
            return self.expansion(vectors, [text.partition(" ")[0] for text in texts])
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
    found = expanded(uneven, EXPANSION).evaluate(Drawn())
    by_hand = replace(uneven, name="uneven_expanded").evaluate(Drawn(EXPANSION))
    assert found.aggregate() == pytest.approx(by_hand.aggregate(), abs=1e-6)
    plain = uneven.evaluate(Drawn()).aggregate()
    for setting in ("monolingual", "crosslingual", "multilingual"):
        assert found.aggregate()[f"uneven_expanded/{setting}/map"] != plain[f"uneven/{setting}/map"]


def test_equal_on_all_ranks(uneven, on_ranks):
    alone = expanded(uneven, EXPANSION).evaluate(Drawn()).rows
    for result in on_ranks(3, lambda: expanded(uneven, EXPANSION).evaluate(Drawn())):
        assert result.rows == alone
