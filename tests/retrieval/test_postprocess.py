"""Which text a layer is fitted to, and what the choice of a layer refuses."""

import numpy as np
import pytest
import torch

from mixlingua import distributed
from mixlingua.data.build import write_store
from mixlingua.data.rows import PairRow
from mixlingua.data.store import ParallelStore
from mixlingua.errors import ConfigError, DataError, ModelError
from mixlingua.retrieval.postprocess import Centring, Projection, draw_texts


def row(name: str, *languages: str) -> PairRow:
    return PairRow(
        id=name,
        queries={code: f"{code} q{name}" for code in languages},
        passages={code: f"{code} p{name}" for code in languages},
        passage_id=name,
    )


@pytest.fixture
def stores(tmp_path) -> list[ParallelStore]:
    """30 rows in de and en; 10 in de, en and fr; 5 in fr alone."""
    parts = {
        "pairs": [row(f"a{n}", "de", "en") for n in range(30)],
        "mixed": [*(row(f"b{n}", "de", "en", "fr") for n in range(10)), *(row(f"c{n}", "fr") for n in range(5))],
    }
    return [write_store(tmp_path / name, rows, name=name, fingerprint=name) for name, rows in parts.items()]


def named(texts: list[str], language: str, side: str) -> list[str]:
    """Row names of texts, each of this language and side."""
    assert all(text.startswith(f"{language} {side}") for text in texts)
    return [text.split()[1][1:] for text in texts]


def test_parallel_rows_are_drawn_for_all_their_languages(stores):
    drawn = draw_texts(stores, ["en", "de"], rows_per_language=12, seed=0)
    assert list(drawn) == ["en", "de"]
    rows = {code: named(texts.queries, code, "q") for code, texts in drawn.items()}
    assert rows["en"] == rows["de"] == named(drawn["de"].passages, "de", "p")
    assert len(set(rows["en"])) == 12
    assert {name[0] for name in rows["en"]} == {"a", "b"}, "from both sources"


def test_rows_that_have_every_language_come_before_others(stores):
    """30 of the 40 rows with German lack French: drawn for German, they would tell topics apart, not languages."""
    drawn = draw_texts(stores, ["de", "fr"], rows_per_language=10, seed=0)
    german, french = (named(drawn[code].queries, code, "q") for code in ("de", "fr"))
    assert german == french
    assert sorted(german) == [f"b{n}" for n in range(10)]
    more = draw_texts(stores, ["de", "fr"], rows_per_language=12, seed=0)
    assert named(more["de"].queries, "de", "q")[:10] == german


def test_each_language_takes_the_first_rows_that_have_it(stores):
    drawn = draw_texts(stores, ["de", "fr"], rows_per_language=15, seed=3)
    french = named(drawn["fr"].queries, "fr", "q")
    assert sorted(french) == sorted([f"b{n}" for n in range(10)] + [f"c{n}" for n in range(5)])
    german = [name for name in named(drawn["de"].queries, "de", "q") if name[0] == "b"]
    assert german == [name for name in french if name in german], "in one order"


def test_the_seed_decides_and_fewer_rows_are_among_more(stores):
    def rows(**changes):
        settings = {"rows_per_language": 10, "seed": 0} | changes
        return draw_texts(stores, ["de"], **settings)["de"].queries

    assert rows() == rows()
    assert sorted(rows()) != sorted(rows(seed=1))
    assert rows() == rows(rows_per_language=20)[:10]


def test_every_row_is_as_likely_as_every_other(stores):
    counts = np.zeros(40)
    order = {f"a{n}": n for n in range(30)} | {f"b{n}": 30 + n for n in range(10)}
    for seed in range(200):
        for name in named(draw_texts(stores, ["de"], rows_per_language=10, seed=seed)["de"].queries, "de", "q"):
            counts[order[name]] += 1
    assert counts.sum() == 2000
    assert counts.min() > 50 - 5 * 6.2 and counts.max() < 50 + 5 * 6.2  # binomial: 50, deviation 6.1


def test_pieces_and_parts_of_a_store(stores, monkeypatch):
    whole = draw_texts(stores, ["de", "fr"], rows_per_language=9, seed=0)
    monkeypatch.setattr("mixlingua.retrieval.postprocess._ROWS_AT_ONCE", 4)
    assert draw_texts(stores, ["de", "fr"], rows_per_language=9, seed=0) == whole
    part = [stores[1].subset(np.arange(3))]
    assert sorted(named(draw_texts(part, ["fr"], rows_per_language=3, seed=0)["fr"].queries, "fr", "q")) == [
        "b0", "b1", "b2",
    ]  # fmt: skip


def test_languages_with_too_few_rows_or_none_are_named(stores):
    with pytest.raises(
        DataError, match=r"rows_per_language=16: pairs, mixed has fewer rows in fr \(15\), el \(0\)\. Lower it"
    ):
        Centring(languages=["de", "fr", "el"], rows_per_language=16).check(stores)
    Centring(languages=["de", "fr"], rows_per_language=15).check(stores)


class Directions:
    """An encoder that says a text's language along one axis, its row along others, and its side along another."""

    fingerprint = "directions"

    def __init__(self, noise: float = 0.0) -> None:
        self.noise = noise
        self.calls: list[tuple[int, str]] = []

    def __call__(self, texts, side):
        self.calls.append((len(texts), side))
        vectors = torch.zeros(len(texts), 40)
        for index, text in enumerate(texts):
            code, name = text.split()
            vectors[index, ["de", "en", "fr"].index(code)] = 1.0
            vectors[index, 3] = 0.3 if side == "query" else -0.3
            vectors[index, 4 + sum(map(ord, name)) % 36] = 0.5 + self.noise
        return torch.nn.functional.normalize(vectors, dim=1)


def test_both_sides_of_every_language_are_encoded_in_one_call_each(stores):
    encode = Directions()
    Projection(languages=["de", "en"], rows_per_language=20, dims=None).layer(encode, stores, seed=0)
    assert encode.calls == [(40, "query"), (40, "passage")]


def test_the_projection_takes_out_the_language_and_keeps_side_and_row(stores):
    encode = Directions()
    layer = Projection(languages=["de", "en"], rows_per_language=20, dims=None).layer(encode, stores, seed=0)
    with torch.no_grad():
        german, english, other = layer(encode(["de qa1", "en qa1", "de qa2"], "query"))
        passage = layer(encode(["de qa1"], "passage"))[0]
    torch.testing.assert_close(german, english)
    assert (german - other).norm() > 0.1 and (german - passage).norm() > 0.1


def test_the_centring_leaves_every_language_with_mean_zero(stores):
    encode = Directions()
    layer = Centring(languages=["de", "fr"], rows_per_language=15).layer(encode, stores, seed=0)
    assert layer.languages == ("de", "fr")
    drawn = draw_texts(stores, ["de", "fr"], rows_per_language=15, seed=0)
    for texts in drawn.values():
        both = torch.cat([layer(encode(texts.queries, "query")), layer(encode(texts.passages, "passage"))])
        torch.testing.assert_close(both.mean(0), torch.zeros(40), rtol=0, atol=1e-3)


def test_vectors_that_are_not_finite_are_refused(stores):
    def diverged(texts, side):
        return torch.full((len(texts), 4), float("nan"))

    with pytest.raises(ModelError, match="postprocess: 40 of 40 query vectors hold NaN"):
        Projection(languages=["de", "en"], rows_per_language=20, dims=None).layer(diverged, stores, seed=0)


def test_the_first_ranks_layer_is_every_ranks(stores, monkeypatch):
    """Also where ranks compute the last bits differently."""
    sent = []
    method = Projection(languages=["de", "en", "fr"], rows_per_language=10, dims=1)
    monkeypatch.setattr(distributed, "all_gather_objects", lambda local: sent.append(local) or [sent[0]])
    first = method.layer(Directions(), stores, seed=0)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    second = method.layer(Directions(noise=0.2), stores, seed=0)
    assert torch.equal(first.linear.weight, second.linear.weight)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dims": 3}, r"postprocess\.dims=3: the means of 3 languages differ in at most 2 .*use 1 to 2, or null"),
        ({"dims": 0}, r"postprocess\.dims=0"),
        ({"languages": ["de"]}, r"postprocess\.languages: de; two or more"),
        ({"languages": ["de", "en", "de"]}, r"de en de; two or more, each once"),
        ({"languages": ["de", "xx"]}, r"postprocess\.languages: unknown language 'xx'"),
        ({"rows_per_language": 0}, r"postprocess\.rows_per_language=0: a whole number of 1 or more is needed"),
    ],
)
def test_values_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        Projection(**{"languages": ["de", "en", "fr"], "rows_per_language": 10, "dims": None} | changes)
