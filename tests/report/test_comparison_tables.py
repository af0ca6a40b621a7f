"""The tables of a comparison, from rows made by hand."""

from dataclasses import replace

import pytest

from mixlingua.comparison.compare import ComparisonRow
from mixlingua.report.comparison_tables import Labels, comparison_tables, flat
from mixlingua.report.plain_table import PlainTable


@pytest.fixture
def tables(rows: list[ComparisonRow]) -> dict[str, PlainTable]:
    labels = Labels(["model", "sampling"], {"mixed": ["m", "mixed"], "hybrid": ["m", "hybrid (baseline)"]})
    return {table.name: table for table in comparison_tables(rows, labels, 0.95)}


def test_the_papers_tables(tables: dict[str, PlainTable]) -> None:
    quality = tables["quality"]
    assert list(quality.columns) == ["model", "sampling", "seeds", "tiny_r Mo.", "tiny_r Cr."]
    assert [list(cells) for cells in quality.rows] == [
        ["m", "mixed", "1", "0.600*", "0.500*"],
        ["m", "hybrid (baseline)", "3", "0.700 ±0.020", "0.600 ±0.020"],
    ]
    assert "none with one seed" in quality.note
    assert [cells[-1] for cells in tables["rank-distance"].rows] == ["1,234.5*", "1,234.5 ±0.0"]


def test_differences_and_intervals(tables: dict[str, PlainTable]) -> None:
    assert list(tables["differences"].rows[0]) == [
        "mixed - hybrid", "tiny_r", "Mo. mAP ↑", "-0.1000*", "-0.1100 to -0.0900", "-", "-0.40", "0.0050", "0.0100",
    ]  # fmt: skip
    assert list(tables["intervals"].rows[1])[-2:] == ["0.600 to 0.800", "0.680 to 0.720"]


def test_languages_and_wins(tables: dict[str, PlainTable]) -> None:
    assert [list(cells) for cells in tables["languages-tiny-r"].rows] == [["de", "0.600* / 0.500*", "0.700 / 0.600"]]
    assert [list(cells[2:]) for cells in tables["wins"].rows] == [
        ["Mo.", "3 / 2 / 5", "0 / 0 / 1", "0 / 1"],
        ["Cr.", "3 / 2 / 5", "1 / 0 / 1", "0 / 1"],
    ]


def test_languages_are_in_alphabetical_order(rows: list[ComparisonRow]) -> None:
    """Rows come by setting: where English is asked within alone, it comes after those that are asked across."""
    asked = [replace(each, query_language="ar") for each in rows if each.scope == "language"]
    (table,) = (each for each in comparison_tables([*rows, *asked], Labels(["model"], {}), 0.95)
                if each.name == "languages-tiny-r")  # fmt: skip
    assert [cells[0] for cells in table.rows] == ["ar", "de"]


def test_pairs_are_for_files_only(tables: dict[str, PlainTable]) -> None:
    assert [cells[0] for cells in tables["pairs-tiny-r-mixed"].rows] == ["de->de", "de->en", "en->de"]
    assert [table.name for table in tables.values() if table.long] == ["pairs-tiny-r-mixed"]


def test_without_a_baseline_there_are_no_tests(rows: list[ComparisonRow]) -> None:
    labels = Labels(["model"], {"hybrid": ["m"]})
    names = [table.name for table in comparison_tables([r for r in rows if r.system == "hybrid"], labels, 0.95)]
    assert names == ["quality", "rank-distance", "intervals", "languages-tiny-r"]


def test_every_line_of_the_csv_has_the_same_columns(rows: list[ComparisonRow]) -> None:
    lines = [flat(each) for each in rows]
    assert len({tuple(line) for line in lines}) == 1
    assert lines[0]["difference"] == -0.1
    assert (lines[0]["difference_low"], lines[0]["seeds_low"]) == (pytest.approx(-0.11), None)
    assert (lines[-1]["baseline"], lines[-1]["seeds_high"]) == (None, pytest.approx(0.72))
