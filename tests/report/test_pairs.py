"""Matrices of language pairs: read from results, and as coloured tables."""

import numpy as np
import pytest

from mixlingua.evaluation.results import ResultRow
from mixlingua.report.pairs import Grid, difference_grid, language_shares, pair_values, square, value_grid


def shown(grid: Grid) -> list[list[tuple[str, str] | None]]:
    return [[(cell.text, cell.style) if cell else None for cell in row] for row in grid.cells]


def test_queries_are_in_rows_and_passages_in_columns() -> None:
    rows = [
        ResultRow("t", "crosslingual", "de", "en", "map", 0.25, 1),
        ResultRow("t", "monolingual", "de", "de", "map", 0.5, 1),
        ResultRow("t", "monolingual", "de", "de", "recall_at_1", 0.9, 1),
        ResultRow("t", "multilingual", "de", "all", "map", 0.1, 1),
        ResultRow("other", "monolingual", "fr", "fr", "map", 0.7, 1),
    ]
    languages, matrix = square(pair_values(rows, "t", "map"))
    assert languages == ["de", "en"]
    np.testing.assert_array_equal(matrix, [[0.5, 0.25], [np.nan, np.nan]])


def test_shares_of_languages_are_those_of_the_multilingual_setting() -> None:
    shares = {("de", "de"): 0.7, ("de", "en"): 0.3, ("en", "de"): 0.4, ("en", "en"): 0.6}
    rows = [ResultRow("t", "multilingual", query, "all", f"share_of_{language}_at_10", value, 5)
            for (query, language), value in shares.items()]  # fmt: skip
    others = [
        ResultRow("t", "multilingual", "de", "all", "map", 0.1, 5),
        ResultRow("t", "monolingual", "de", "de", "map", 0.1, 5),
    ]
    assert language_shares([*rows, *others], "t") == shares
    assert language_shares(rows, "other") == {}


def test_values_and_their_colours() -> None:
    grid = value_grid("t", {("de", "de"): 0.9, ("de", "en"): 0.5, ("en", "de"): 0.7004, ("en", "en"): 1.0}, ["en"])
    assert (grid.low, grid.high) == ("0.5", "1.0")
    assert shown(grid) == [[(".900", "v6"), (".500", "v0")], [(".700", "v3"), ("1.000", "v8")]]
    assert [(head.short, head.long) for head in grid.rows] == [("de", "German"), ("en°", "English")]
    assert [[cell.monolingual for cell in row if cell] for row in grid.cells] == [[True, False], [False, True]]


def test_a_value_on_a_tenth_is_no_lower_than_it() -> None:
    grid = value_grid("t", {("de", "en"): 0.3, ("en", "de"): 0.6})
    assert (grid.low, grid.high) == ("0.3", "0.6")
    assert value_grid("t", {("de", "en"): 0.0}).cells[0][0].style == "v0"  # type: ignore[union-attr]


def test_differences_are_centred_at_zero() -> None:
    grid = difference_grid("t", {("de", "de"): 0.1, ("de", "en"): -0.1, ("en", "de"): -0.0004, ("en", "en"): 0.02},
                           marked={("de", "en")})  # fmt: skip
    assert shown(grid) == [[("+.100", "d10"), ("-.100*", "d0")], [("0", "d5"), ("+.020", "d6")]]
    assert (grid.low, grid.high) == ("-0.10", "+0.10")


def test_noise_does_not_get_the_strongest_colour() -> None:
    assert shown(difference_grid("t", {("de", "en"): 0.004, ("en", "de"): -0.004})) == [
        [("-.004", "d5"), ("+.004", "d5")],
    ]  # fmt: skip


def test_grids_can_share_their_colours() -> None:
    grid = difference_grid("t", {("de", "en"): 0.1, ("en", "de"): -0.1}, largest=0.5)
    assert {cell.style for row in grid.cells for cell in row if cell} == {"d4", "d6"}
    assert grid.high == "+0.50"


def test_bitexts_with_one_language_are_no_empty_square() -> None:
    pairs = {pair for other in ("de", "fr", "th", "zh") for pair in ((other, "en"), ("en", other))}
    grid = value_grid("t", {pair: 0.5 for pair in pairs})
    assert [head.short for head in grid.rows] == ["de", "fr", "th", "zh"]
    assert [head.short for head in grid.columns] == ["→ en", "en →"]
    assert all(cell is not None for row in grid.cells for cell in row)


def test_languages_on_their_own_are_one_column() -> None:
    grid = value_grid("t", {(language, language): 0.5 for language in ("ar", "bn", "sw")})
    assert [head.short for head in grid.rows] == ["ar", "bn", "sw"]
    assert [len(row) for row in grid.cells] == [1, 1, 1]
    one = value_grid("t", {("de", "de"): 0.5})
    assert [head.short for head in one.columns] == ["de"]


@pytest.mark.parametrize("passages", [["en"], ["en", "fr"]])
def test_other_shapes_stay_rectangles(passages: list[str]) -> None:
    grid = value_grid("t", {(query, passage): 0.5 for query in ("ar", "de", "th") for passage in passages})
    assert [head.short for head in grid.columns] == passages
