"""The worst queries: by hand, against the values per query, and on several ranks."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mixlingua.errors import DataError
from mixlingua.evaluation.engines.in_memory import NUM_WORST, evaluate
from mixlingua.evaluation.results import RankedPassage
from mixlingua.evaluation.run_folder import read_worst_queries, write_results
from mixlingua.retrieval import search

sys.path.insert(0, str(Path(__file__).parent))
from worlds import ByText, in_memory, random_world


def shown(entries):
    """(setting, question, pair, value, id and rank of the relevant passage, id of the first)."""
    return [
        (e.setting, e.query_id, f"{e.query_language}->{e.passage_language}", round(e.value, 3), e.relevant.id,
         e.relevant.rank, e.first.id)
        for e in entries
    ]  # fmt: skip


def test_worst_queries_by_hand(two_languages, one_hot):
    assert shown(evaluate(two_languages, one_hot).worst) == [
        # German q2 stands behind d0; the English one, behind its tie with e0, comes no later.
        ("monolingual", "q2", "de->de", 0.5, "d1", 2, "d0"),
        ("monolingual", "q1", "de->de", 1.0, "d0", 1, "d0"),
        ("monolingual", "q3", "de->de", 1.0, "d2", 1, "d2"),
        # English q1 behind d2 and d1. English q2 ties with all at 0: an irrelevant one counts as first.
        ("crosslingual", "q1", "en->de", 0.333, "d0", 3, "d2"),
        ("crosslingual", "q2", "en->de", 0.333, "d1", 3, "d0"),
        # German q2: d0, e2, then d1 and e1. The English one has the same precision, but its first answer comes earlier.
        ("multilingual", "q2", "de->all", 0.417, "d1", 3, "d0"),
        ("multilingual", "q1", "en->all", 0.667, "e0", 1, "e0"),
        ("multilingual", "q3", "de->all", 1.0, "d2", 1, "d2"),
    ]


def test_texts_scores_and_ranks_are_those_of_the_pool(two_languages, one_hot):
    (entry,) = [e for e in evaluate(two_languages, one_hot).worst if (e.setting, e.query_id) == ("multilingual", "q2")]
    assert entry.query == "p0=0.9 p1=0.5 p4=0.5 p5=0.6"
    assert entry.first == RankedPassage("d0", "de", "p0", 1, pytest.approx(0.9))
    assert entry.relevant == RankedPassage("d1", "de", "p1", 3, pytest.approx(0.5))
    assert (entry.pool_size, entry.num_relevant, entry.last_rank) == (6, 2, 4)
    assert (entry.task, entry.metric) == ("small", "map")


@pytest.fixture
def world(monkeypatch):
    """Fourteen questions in three languages, with scores that are often equal, in blocks of three queries."""
    monkeypatch.setattr(search, "MAX_BLOCK_SCORES", 610)
    *world, vectors = random_world(0, ties=True)
    return in_memory(*world), ByText(vectors)


def test_no_question_is_worse_than_those_kept(world):
    result = evaluate(*world)
    for setting, table in result.per_query.items():
        lowest: dict[str, float] = {}
        for question, value in zip(table.query_ids, table.values["map"].tolist(), strict=True):
            lowest[question] = min(value, lowest.get(question, 1.0))
        kept = [entry for entry in result.worst if entry.setting == setting]
        assert len({entry.query_id for entry in kept}) == len(kept) == NUM_WORST
        assert [entry.value for entry in kept] == sorted(lowest.values())[:NUM_WORST]


def test_all_ranks_get_those_of_one(world, on_ranks):
    alone = evaluate(*world).worst
    assert on_ranks(3, lambda: evaluate(*world).worst) == [alone] * 3


def test_the_main_metric_decides(two_languages, one_hot):
    entries = evaluate(replace(two_languages, main_metric="recall_at_1"), one_hot).worst
    assert {entry.metric for entry in entries} == {"recall_at_1"}
    assert entries[0].value == 0.0


def test_round_trip(tmp_path, two_languages, one_hot):
    result = evaluate(two_languages, one_hot)
    write_results(tmp_path, [result], {}, stage="before")
    with pytest.raises(DataError, match=r"worst_queries\.json: not there"):
        read_worst_queries(tmp_path)
    write_results(tmp_path, [result, replace(result, task="other", worst=())], {})
    assert read_worst_queries(tmp_path) == result.worst

    path = tmp_path / "worst_queries.json"
    path.write_text(json.dumps([{"task": "small"}]))
    with pytest.raises(DataError, match=r"worst_queries\.json: entry 0"):
        read_worst_queries(tmp_path)
