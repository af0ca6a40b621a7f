"""The before/after table."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table

from mixlingua.evaluation.results import ResultRow
from mixlingua.report.groups import languages_of
from mixlingua.report.run_tables import averages, before_after_table, headline

MAIN = {"atlas": {"main_metric": "map"}}


def printed(table: Table, width: int = 80) -> dict[str, list[str]]:
    """Label -> figures of each line."""
    console = Console(width=width, file=StringIO(), color_system=None)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    lines = (line.strip().replace("↑", "|").replace("↓", "|").split("|") for line in text.splitlines())
    return {line[0].strip(): line[1].split() for line in lines if len(line) == 2}


def test_seen_and_zero_shot_languages_are_averaged_apart(before: list[ResultRow]) -> None:
    found = averages(before, {"de", "en"})
    assert found["atlas", "crosslingual", "map", "seen"] == pytest.approx(0.4)  # de->en, en->de
    assert found["atlas", "crosslingual", "map", "zero-shot"] == pytest.approx(0.2)  # the four pairs with el
    assert found["atlas", "multilingual", "rank_distance", "seen"] == 600.0
    assert found["atlas", "multilingual", "rank_distance", "zero-shot"] == 1200.0


def test_table_shows_before_after_and_change(before: list[ResultRow], after: list[ResultRow]) -> None:
    assert printed(before_after_table(before, after, {"de", "en"}, MAIN)) == {
        "monolingual mAP": ["0.600", "0.700", "+0.100", "0.200", "0.300", "+0.100"],
        "cross-lingual mAP": ["0.400", "0.500", "+0.100", "0.200", "0.300", "+0.100"],
        "rank distance": ["600", "300", "-300", "1,200", "600", "-600"],
    }


def test_languages_of_passages_alone_are_languages_too(after: list[ResultRow]) -> None:
    """Questions in German and English, passages in Greek too: all are shown together where nothing was trained."""
    rows = [row for row in after if row.query_language != "el"]
    assert languages_of(rows) == ["de", "el", "en"]
    assert headline(None, rows, languages_of(rows), MAIN).groups == ["seen"]
    assert "with el, which were never trained on" in headline(None, rows, ["de", "en"], MAIN).note


def test_micro_averages_weigh_by_queries(after: list[ResultRow]) -> None:
    rows = [replace(row, num_queries=30 if row.query_language == "de" else 10) for row in after]
    rows = [replace(row, value=0.9) if row.query_language == row.passage_language == "de" else row for row in rows]
    macro, micro = (before_after_table(None, rows, {"de", "en", "el"}, MAIN, kind) for kind in ("macro", "micro"))
    assert printed(macro)["monolingual mAP"] == ["0.633"]  # 0.9, 0.7 and 0.3
    assert printed(micro)["monolingual mAP"] == ["0.740"]  # 0.9 three times


def test_table_without_a_before_has_one_column_a_group(after: list[ResultRow]) -> None:
    assert printed(before_after_table(None, after, {"de", "en"}, MAIN))["monolingual mAP"] == ["0.700", "0.300"]
    assert printed(before_after_table(None, after, {"de", "en", "el"}, MAIN))["monolingual mAP"] == ["0.567"]


def test_change_for_the_better_is_green(before: list[ResultRow], after: list[ResultRow]) -> None:
    table = before_after_table(before, after, {"de", "en"}, MAIN)
    changes = [cell.style for column in (3, 6) for cell in table.columns[column]._cells if getattr(cell, "plain", "")]
    assert changes == ["green"] * 6
    table = before_after_table(after, before, {"de", "en"}, MAIN)
    assert {cell.style for cell in table.columns[3]._cells if getattr(cell, "plain", "")} == {"red"}


@pytest.mark.parametrize("metric", ["ndcg_at_10", "mrr_at_100", "f1"])
def test_the_main_metric_of_a_benchmark_is_shown_first_in_each_setting(after: list[ResultRow], metric: str) -> None:
    """BEIR and MIRACL are compared by nDCG@10, Mr. TyDi by MRR@100."""
    rows = [*after, *(replace(row, metric=metric, value=0.25) for row in after if row.metric == "map")]
    lines = printed(before_after_table(None, rows, {"de", "en", "el"}, {"atlas": {"main_metric": metric}}))
    name = {"ndcg_at_10": "nDCG@10", "mrr_at_100": "MRR@100", "f1": "f1"}[metric]
    assert list(lines) == [
        f"monolingual {name}", "monolingual mAP", f"cross-lingual {name}", "cross-lingual mAP", "rank distance",
    ]  # fmt: skip
    assert lines[f"monolingual {name}"] == lines[f"cross-lingual {name}"] == ["0.250"]


def test_the_note_says_what_multilingual_recall_at_1_can_be_at_most(after: list[ResultRow]) -> None:
    rows = [*after, *(replace(row, metric="recall_at_1", value=0.05) for row in after if row.setting == "multilingual")]
    about = {"atlas": {"main_metric": "map", "most_recall_at_1": 1 / 11}}
    assert "recall@1 is at most 0.091 on atlas" in headline(None, rows, {"de"}, about).note
    assert "recall@1" not in headline(None, after, {"de"}, about).note
    assert "recall@1" not in headline(None, rows, {"de"}, {"atlas": {**about["atlas"], "most_recall_at_1": 1}}).note
