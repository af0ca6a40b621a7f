"""Hard negatives by hand: the query of each row and language is one-hot, so a passage's vector lists its scores."""

import gzip
import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlingua.data.build import write_store
from mixlingua.data.readers.jsonl import JsonlReader
from mixlingua.data.rows import PairRow
from mixlingua.errors import ConfigError, DataError
from mixlingua.mining.mine import FILTERS, Mining, mine
from mixlingua.mining.output import Tally, write_mined
from mixlingua.mining.pool import mining_rows, pools

CPU = torch.device("cpu")


def pair(name, passages, passage_id="", touches=()):
    queries = {language: f"{name} {language}?" for language in passages}
    split_key = "" if name == "other" else f"document {len(name)}"
    return PairRow(name, queries, passages, passage_id or f"id {name}", touches, split_key=split_key)


@dataclass
class Scores:
    """An encoder by which query q gives passage p the score table.get((q, p), 0)."""

    queries: list[str]
    table: dict[tuple[str, str], float]

    def __call__(self, texts, side):
        if side == "query":
            return torch.eye(len(self.queries))[[self.queries.index(text) for text in texts]]
        scores = [[self.table.get((query, text), 0.0) for query in self.queries] for text in texts]
        return torch.tensor(scores).reshape(len(texts), len(self.queries))


@dataclass
class Held:
    vectors: torch.Tensor
    size: int

    def __iter__(self):
        return iter(self.vectors.split(self.size))

    def at(self, positions):
        return self.vectors[torch.from_numpy(positions)]


class Case:
    def __init__(self, folder, rows, table, languages):
        self.store = write_store(folder, rows, name="case", fingerprint="case")
        self.source = mining_rows(self.store, languages)
        self.encode = Scores([query for row in rows for query in row.queries.values()], table)

    def mine(self, settings):
        """A MinedRow for each row."""
        self.pools = pools(self.source, across_languages=settings.across_languages)
        vectors = {
            language: Held(self.encode([passage.text for passage in pool.passages()], "passage"), settings.shard_size)
            for language, pool in self.pools.items()
        }
        return list(mine(self.source, self.pools, vectors, self.encode, settings, device=CPU))

    def texts(self, settings):
        """(row, language) -> negatives."""
        return {
            (row.row, language): self.pools[language].texts(mined.positions)
            for row in self.mine(settings)
            for language, mined in row.mined.items()
        }


def mining(top_k=8, num_negatives=2, margin=0.25, across_languages=False, shard_size=100):
    return Mining(top_k, num_negatives, margin, across_languages, shard_size)


# What the German query of row "own" scores each German passage, best first; the margin of 1/4 ends at 1/2.
RANKED = {
    "higher": 1.0, "same id": 0.875, "own": 0.75, "near": 0.625, "overlaps": 0.5, "just right": 0.5,
    "same english": 0.375, "right": 0.25, "far": 0.125,
}  # fmt: skip


@pytest.fixture
def hand_worked():
    rows = [pair(name, {"de": f"{name} de", "en": f"{name} en"}) for name in RANKED]
    number = list(RANKED).index
    rows[number("same id")] = pair("same id", {"de": "same id de", "en": "same id en"}, passage_id="id own")
    rows[number("own")] = pair("own", {"de": "own de", "en": "own en"}, touches=("sentence 3",))
    rows[number("overlaps")] = pair("overlaps", {"de": "overlaps de", "en": "overlaps en"}, touches=("sentence 3",))
    rows[number("same english")] = pair("same english", {"de": "same english de", "en": "own en"})
    return rows, {("own de?", f"{name} de"): score for name, score in RANKED.items()}


def own(case, settings):
    (found,) = (row.mined["de"] for row in case.mine(settings) if case.store.ids([row.row]) == ["own"])
    return found, [text.removesuffix(" de") for text in case.pools["de"].texts(found.positions)]


def test_every_filter_takes_out_what_it_should(tmp_path, hand_worked):
    case = Case(tmp_path / "store", *hand_worked, ["de", "en"])
    found, names = own(case, mining())
    assert names == ["just right", "right"]
    assert found.positive == 0.75
    assert found.scores.tolist() == [0.5, 0.25]
    assert dict(zip(FILTERS, found.removed, strict=True)) == {"own": 1, "related": 3, "margin": 2}
    assert found.examined == 8

    assert own(case, mining(top_k=9, num_negatives=3))[1] == ["just right", "right", "far"]
    assert own(case, mining(top_k=8, num_negatives=3))[1] == ["just right", "right"], "the ninth is too far down"
    assert own(case, mining(num_negatives=1))[1] == ["just right"]
    assert own(case, mining(margin=0.26))[1] == ["right"]
    assert own(case, mining(margin=0.0))[1] == ["near", "just right"]
    assert own(case, mining(margin=None))[1] == ["higher", "near"]


@pytest.mark.parametrize("asked", ["own de?", " own \u00a0de? "])
def test_answers_to_the_same_question_are_no_negatives(tmp_path, hand_worked, asked):
    """In whatever language the questions are equal, and however they are written."""
    rows, table = hand_worked
    number = list(RANKED).index
    best, next_best = rows[number("just right")], rows[number("right")]
    rows[number("just right")] = replace(best, queries={"de": asked, "en": "another?"})
    rows[number("right")] = replace(next_best, queries={"de": "anders?", "en": rows[number("own")].queries["en"]})
    table |= {(asked, text): 0.0 for text in RANKED}
    assert own(Case(tmp_path / "store", rows, table, ["de"]), mining(top_k=9))[1] == ["far"]


def test_passages_of_equal_text_are_one_and_related_to_all_that_their_rows_are(tmp_path, hand_worked):
    rows, table = hand_worked
    twin = pair("twin", {"de": "just right de"})
    assert own(Case(tmp_path / "1", [*rows, twin], table, ["de", "en"]), mining())[1] == ["just right", "right"]
    twin = pair("twin", {"de": "just right de"}, touches=("sentence 3",))
    assert own(Case(tmp_path / "2", [*rows, twin], table, ["de", "en"]), mining())[1] == ["right"]


def test_a_text_of_a_language_that_is_not_trained_on_relates_rows_too(tmp_path, hand_worked):
    assert own(Case(tmp_path / "store", *hand_worked, ["de"]), mining())[1] == ["just right", "right"]


def test_across_languages_each_is_measured_by_the_rows_passage_in_it(tmp_path):
    rows = [
        pair("own", {"de": "own de", "en": "own en"}),
        pair("other", {"de": "other de", "en": "other en"}),
        pair("third", {"de": "third de", "fr": "third fr"}),
    ]
    table = {
        ("own de?", "own de"): 0.75,
        ("own de?", "own en"): 0.5,
        ("own de?", "other de"): 0.5,
        ("own de?", "other en"): 0.375,  # 1/4 below "own de", but not below "own en"
        ("own de?", "third fr"): 0.5,  # no French passage to compare with: the German one stands in
        ("own de?", "third de"): 0.625,
    }
    case = Case(tmp_path / "store", rows, table, ["de", "en", "fr"])
    found = case.mine(mining(across_languages=True, num_negatives=3))[0].mined["de"]
    pool = case.pools["de"]
    assert pool.texts(found.positions) == ["other de", "third fr"]
    assert [pool.languages[column] for column in pool.columns[found.positions]] == ["de", "fr"]
    assert dict(zip(FILTERS, found.removed, strict=True)) == {"own": 2, "related": 0, "margin": 2}
    assert case.texts(mining())[0, "de"] == ["other de"], "in the query's language alone"


def test_a_tally_adds_up(tmp_path, hand_worked):
    case = Case(tmp_path / "store", *hand_worked, ["de", "en"])
    found, _ = own(case, mining())
    tally = Tally()
    tally.add(found, case.pools["de"], 2)
    tally.add(found, case.pools["de"], 2)
    tally.add(found, case.pools["de"], 3)  # has two only
    assert tally.figures() == {
        "queries": 3,
        "left_out": 1,
        "mean_positive": 0.75,
        "mean_negative": 0.375,
        "removed": {"own": 1 / 8, "related": 3 / 8, "margin": 2 / 8},
        "negative_languages": {"de": 1.0},
    }


def test_a_source_without_the_languages_is_refused(tmp_path, hand_worked):
    with pytest.raises(DataError, match=r"source 'case' has no row in data.languages \(fr, el\); it has de, en"):
        Case(tmp_path / "store", *hand_worked, ["fr", "el"])


def test_what_is_written_is_trained_on_as_the_source_was(tmp_path, hand_worked):
    rows, table = hand_worked
    case = Case(tmp_path / "store", rows, table, ["de", "en"])
    mined = case.mine(mining(num_negatives=2, margin=None))
    for number in (0, 7):
        mined[number].mined.clear()  # nothing left of two rows,
    del mined[3].mined["en"]  # and of one, a language
    path = tmp_path / "case.jsonl.gz"
    assert write_mined(path, case.source, case.pools, iter(mined), 2) == len(rows) - 2
    again = write_mined(tmp_path / "again.jsonl.gz", case.source, case.pools, iter(mined), 2)
    assert again == len(rows) - 2 and (tmp_path / "again.jsonl.gz").read_bytes() == path.read_bytes()

    store = write_store(tmp_path / "trained", JsonlReader(path).rows(), name="mined", fingerprint="mined")
    kept = [number for number in range(len(rows)) if number not in (0, 7)]
    assert store.ids(range(store.num_rows)) == case.store.ids(kept)
    assert store.split_keys(range(store.num_rows)) == case.store.split_keys(kept)
    assert store.min_negatives == 2
    assert store.rows_per_language == {"de": len(rows) - 2, "en": len(rows) - 3}
    assert store.negatives([0], ["de"]) == [case.pools["de"].texts(mined[1].mined["de"].positions)]
    assert np.array_equal(sharing(store.keys), sharing(case.store.keys[kept])), "the same rows never meet in a batch"
    assert sharing(case.store.keys).sum() > len(rows)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        about = json.loads(file.readline())["mined"]["de"]
    assert about == {"positive": 0.0, "scores": [0.0, 0.0], "ids": case.store.ids([0, 3]), "languages": ["de", "de"]}


def test_rows_of_one_id_are_written_with_ids_of_their_own(tmp_path, hand_worked):
    rows, table = hand_worked
    case = Case(tmp_path / "store", [replace(row, id="7") for row in rows], table, ["de", "en"])
    path = tmp_path / "case.jsonl.gz"
    mined = case.mine(mining(num_negatives=1, margin=None))
    write_mined(path, case.source, case.pools, mined, 1)
    assert [row.id for row in JsonlReader(path).rows()][:3] == ["7", "7#2", "7#3"]


def test_nothing_is_written_where_nothing_is_left(tmp_path, hand_worked):
    case = Case(tmp_path / "store", *hand_worked, ["de", "en"])
    mined = case.mine(mining(top_k=9, num_negatives=9, margin=None))
    with pytest.raises(DataError, match=r"source 'case': no query has mining.num_negatives=9"):
        write_mined(tmp_path / "case.jsonl.gz", case.source, case.pools, iter(mined), 9)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize(
    "given",
    [{"top_k": 0}, {"num_negatives": 1.5}, {"shard_size": True}, {"top_k": 7}, {"margin": -0.1}, {"margin": "5%"},
     {"across_languages": "de"}],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(given):
    (key,) = given
    with pytest.raises(ConfigError, match=rf"mining\.{key}="):
        Mining(**given)


def sharing(keys):
    """(N, N), whether two rows share a key."""
    return (keys[:, None, :, None] == keys[None, :, None, :]).any(axis=(2, 3))


LANGUAGES = ("de", "en", "fr")


@st.composite
def sources(draw):
    """Rows that share ids, texts and touches in every way, and a score for each query and passage."""
    rows = []
    for number in range(draw(st.integers(2, 6))):
        held = draw(st.sets(st.sampled_from(LANGUAGES), min_size=1))
        texts = {language: f"{draw(st.sampled_from('abcdef'))} {language}" for language in sorted(held)}
        texts = {language: text if draw(st.booleans()) else "x" for language, text in texts.items()}
        touches = tuple(draw(st.sets(st.sampled_from("tuv"), max_size=1)))
        rows.append(pair(f"row {number}", texts, draw(st.sampled_from("pqrst")), touches))
    asked = [query for row in rows for query in row.queries.values()]
    passages = sorted({text for row in rows for text in row.passages.values()})
    table = {(query, text): draw(st.integers(-4, 8)) / 8 for query in asked for text in passages}
    return rows, table, draw(st.sampled_from([LANGUAGES, ("en", "de"), ("de",)]))


def expected(rows, table, languages, settings):
    """The definition, by names instead of keys, one passage after the other."""
    texts = [set(row.passages.values()) for row in rows]
    for _ in rows:  # what shares a text in some language, and what shares one with that
        texts = [set().union(*(other for other in texts if other & own)) for own in texts]

    def names(row):
        return {f"text {text}" for text in texts[rows.index(row)]} | {row.passage_id, *row.touches}

    found = {}
    for number, row in enumerate(rows):
        for language in (code for code in languages if code in row.passages):
            searched = languages if settings.across_languages else [language]
            passages = {}
            for code in searched:
                for other in rows:
                    if code in other.passages:
                        passages.setdefault(other.passages[code], code)
            ranked = sorted(passages, key=lambda text: -table[row.queries[language], text])
            chosen = []
            for text in ranked[: settings.top_k]:
                holders = [other for other in rows if text in [other.passages.get(code) for code in searched]]
                counterpart = row.passages.get(passages[text], row.passages[language])
                below = table[row.queries[language], counterpart] - table[row.queries[language], text]
                if any(names(holder) & names(row) for holder in holders):
                    continue
                if settings.margin is None or below >= settings.margin:
                    chosen.append(text)
            found[number, language] = chosen[: settings.num_negatives]
    return found


@settings(max_examples=40)
@given(
    sources(), st.integers(1, 9), st.integers(1, 4), st.sampled_from([None, 0.0, 0.125, 0.5]), st.booleans(),
    st.integers(1, 4),
)  # fmt: skip
def test_mining_is_its_definition(tmp_path_factory, source, top_k, num_negatives, margin, across_languages, size):
    """Hence: no negative shares a key with its row, all respect the margin, and they come in the order of the ranks.
    Neither how many rows are searched together nor the size of a shard makes a difference."""
    rows, table, languages = source
    if not any(language in row.passages for row in rows for language in languages):
        return
    case = Case(tmp_path_factory.mktemp("source") / "store", rows, table, languages)
    wanted = mining(top_k, min(num_negatives, top_k), margin, across_languages)
    definition = expected(rows, table, case.source.languages, wanted)
    assert case.texts(wanted) == definition
    assert case.texts(replace(wanted, shard_size=size)) == definition
