"""Groups of languages, and the tables that show them."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mixlingua.comparison.compare import ComparisonRow
from mixlingua.evaluation.results import ResultRow
from mixlingua.report.comparison_tables import Labels, comparison_tables
from mixlingua.report.groups import (
    FAMILIES,
    HIGH,
    LOW,
    MID,
    SAME_FAMILY,
    SAME_SCRIPT,
    SCRIPTS,
    group_means,
    group_tables,
    groups_among,
    groups_note,
    groups_of,
)


def row(query: str, passage: str, value: float = 0.5, number: int = 10, metric: str = "map") -> ResultRow:
    setting = "multilingual" if passage == "all" else "monolingual" if query == passage else "crosslingual"
    return ResultRow("t", setting, query, passage, metric, value, number)


@pytest.mark.parametrize(
    ("query", "passage", "groups"),
    [
        ("de", "de", [HIGH]),
        ("el", "el", [MID]),
        ("sw", "sw", [LOW]),
        ("th", "all", [MID]),
        ("de", "en", [HIGH, SAME_SCRIPT, SAME_FAMILY]),
        ("de", "hi", [HIGH, SCRIPTS, SAME_FAMILY]),
        ("de", "vi", [HIGH, SAME_SCRIPT, FAMILIES]),
        ("de", "th", [MID, SCRIPTS, FAMILIES]),
        ("te", "de", [LOW, SCRIPTS, FAMILIES]),
        ("eo", "de", [LOW, SAME_SCRIPT]),  # no family
        ("si", "de", [SCRIPTS, SAME_FAMILY]),  # no class
    ],
)
def test_groups(query: str, passage: str, groups: list[str]) -> None:
    assert list(groups_of(row(query, passage))) == groups


def test_a_kind_with_one_group_is_not_shown() -> None:
    assert groups_among([row("de", "en"), row("en", "de")]) == []
    assert groups_among([row("de", "en"), row("de", "hi")]) == [SAME_SCRIPT, SCRIPTS]
    assert groups_among([row("de", "de"), row("sw", "sw"), row("th", "th")]) == [HIGH, MID, LOW]


def test_means_are_over_the_rows_of_a_group() -> None:
    rows = [row("de", "en", 0.8, 1), row("en", "de", 0.6, 3), row("de", "th", 0.1, 1), row("th", "th", 0.4)]
    assert group_means(rows, "macro") == {
        ("crosslingual", HIGH): pytest.approx(0.7),
        ("crosslingual", MID): pytest.approx(0.1),
        ("crosslingual", SAME_SCRIPT): pytest.approx(0.7),
        ("crosslingual", SCRIPTS): pytest.approx(0.1),
        ("crosslingual", SAME_FAMILY): pytest.approx(0.7),
        ("crosslingual", FAMILIES): pytest.approx(0.1),
        ("monolingual", MID): pytest.approx(0.4),
    }
    assert group_means(rows, "micro")["crosslingual", HIGH] == pytest.approx((0.8 + 3 * 0.6) / 4)


def test_unknown_languages_are_named() -> None:
    assert groups_note([row("de", "si"), row("eo", "all"), row("de", "de")]).endswith("because unknown: eo, si.")
    assert "unknown" not in groups_note([row("de", "en")])


ROWS = [
    *(row(code, code, value) for code, value in (("de", 0.8), ("en", 0.9), ("th", 0.5))),
    *(row(query, passage, 0.6 if "th" not in (query, passage) else 0.3)
      for query in ("de", "en", "th") for passage in ("de", "en", "th") if query != passage),
    *(row(code, "all", value) for code, value in (("de", 0.5), ("en", 0.5), ("th", 0.2))),
    row("de", "de", 0.0, metric="recall_at_1"),
]  # fmt: skip


def test_table_of_a_run_shows_after_and_change() -> None:
    before = [replace(each, value=each.value - 0.125) for each in ROWS if each.metric == "map"]
    (table,) = group_tables(before, ROWS, {"t": "map"}, "macro")
    assert table.title == "t: mAP by groups of languages"
    assert list(table.columns) == ["", "mono", "change", "cross", "change", "multi", "change"]
    assert [list(cells) for cells in table.rows] == [
        [HIGH, "0.850", "+0.125", "0.600", "+0.125", "0.500", "+0.125"],
        [MID, "0.500", "+0.125", "0.300", "+0.125", "0.200", "+0.125"],
        [SAME_SCRIPT, "", "", "0.600", "+0.125", "", ""],
        [SCRIPTS, "", "", "0.300", "+0.125", "", ""],
        [SAME_FAMILY, "", "", "0.600", "+0.125", "", ""],
        [FAMILIES, "", "", "0.300", "+0.125", "", ""],
    ]
    (alone,) = group_tables(None, ROWS, {"t": "map"}, "macro")
    assert list(alone.rows[0]) == [HIGH, "0.850", "0.600", "0.500"]


def test_a_task_with_one_group_has_no_table() -> None:
    alone = [replace(each, task="one") for each in ROWS if "th" not in (each.query_language, each.passage_language)]
    both = group_tables(None, [*alone, *ROWS], {"one": "map", "t": "map"}, "macro")
    assert [table.name for table in both] == ["groups-t"]


@pytest.fixture
def compared() -> Callable[[str, float], list[ComparisonRow]]:
    def rows_of(system: str, gain: float) -> list[ComparisonRow]:
        return [
            ComparisonRow(
                system, each.task, each.setting, each.metric, "language" if each.setting == "multilingual" else "pair",
                each.query_language, each.passage_language, each.num_queries, 1, each.value + gain, (0, 1), None, None,
            )
            for each in ROWS if each.metric == "map"
        ]  # fmt: skip

    return rows_of


def test_table_of_a_comparison(compared: Callable[[str, float], list[ComparisonRow]]) -> None:
    other_scope = replace(compared("hybrid", 0.3)[0], scope="language")  # a mean over pairs: no cell
    rows = [*compared("hybrid", 0.0), *compared("mixed", -0.1), other_scope]
    tables = {table.name: table for table in comparison_tables(rows, Labels([], {}), 0.95)}
    table = tables["groups-t"]
    assert list(table.columns) == ["", "hybrid", "mixed"]
    assert [list(cells) for cells in table.rows][:3] == [
        [HIGH, "0.850 / 0.600 / 0.500", "0.750 / 0.500 / 0.400"],
        [MID, "0.500 / 0.300 / 0.200", "0.400 / 0.200 / 0.100"],
        [SAME_SCRIPT, "- / 0.600 / -", "- / 0.500 / -"],
    ]
    assert table.note.startswith("Mo. / Cr. / Mul. A pair counts")
    assert not table.long
    many = [row for number in range(5) for row in compared(f"system {number}", 0.0)]
    assert all(table.long for table in comparison_tables(many, Labels([], {}), 0.95) if table.name == "groups-t")
