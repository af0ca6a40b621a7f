"""Matrices of language pairs: read from results, laid out, coloured, drawn and logged."""

from pathlib import Path

import pytest
from matplotlib.image import imread

from mixlingua.evaluation.results import ResultRow
from mixlingua.report.figures import COLOURS
from mixlingua.report.pairs import (
    Matrix,
    difference_matrix,
    language_shares,
    matrix_figure,
    pair_values,
    save_heatmap,
    save_share_heatmap,
    value_matrix,
)

NAMES = {colour: name for name, colour in COLOURS.items()}


def shown(matrix: Matrix) -> list[list[tuple[str, str]]]:
    """Text and colour of each cell that has a value."""
    cells = [[pair for pair in row if pair in matrix.values] for row in matrix.pairs]
    return [[(matrix.texts[pair], NAMES[matrix.colour(pair)]) for pair in row] for row in cells]


def test_pairs_are_those_of_one_task_and_metric() -> None:
    rows = [
        ResultRow("t", "crosslingual", "de", "en", "map", 0.25, 1),
        ResultRow("t", "monolingual", "de", "de", "map", 0.5, 1),
        ResultRow("t", "monolingual", "de", "de", "recall_at_1", 0.9, 1),
        ResultRow("t", "multilingual", "de", "all", "map", 0.1, 1),
        ResultRow("other", "monolingual", "fr", "fr", "map", 0.7, 1),
    ]
    assert pair_values(rows, "t", "map") == {("de", "en"): 0.25, ("de", "de"): 0.5}


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
    values = {("de", "de"): 0.9, ("de", "en"): 0.5, ("en", "de"): 0.7004, ("en", "en"): 1.0}
    matrix = value_matrix("t", values, ["en"])
    assert (matrix.low, matrix.high) == pytest.approx((0.5, 1.0))
    assert shown(matrix) == [[(".900", "v6"), (".500", "v0")], [(".700", "v3"), ("1.000", "v8")]]
    assert matrix.row_headings == ["German  de", "English  en°"]
    assert matrix.column_headings == ["de", "en°"]
    picture = matrix.picture
    assert picture.summary == "From .500 (de->en) to 1.000 (en->en)."
    assert picture.table is not None
    assert [list(row) for row in picture.table.rows] == [
        ["German  de", ".900", ".500"],
        ["English  en°", ".700", "1.000"],
    ]
    svg = str(picture.svg)
    assert svg.count("var(--v6)") == svg.count("var(--v0)") == 2, "a cell each, and one step of the scale"
    assert svg.count("var(--on-deep)") == 4, "the text and the frame of two cells"


def test_a_value_on_a_tenth_is_no_lower_than_it() -> None:
    matrix = value_matrix("t", {("de", "en"): 0.3, ("en", "de"): 0.6})
    assert (matrix.low, matrix.high) == pytest.approx((0.3, 0.6))
    assert shown(value_matrix("t", {("de", "en"): 0.0})) == [[(".000", "v0")]]


def test_a_perfect_value_has_the_deepest_colour() -> None:
    matrix = value_matrix("t", {("de", "en"): 1.0, ("fr", "en"): 1.0})
    assert shown(matrix) == [[("1.000", "v8")], [("1.000", "v8")]]
    assert (matrix.low, matrix.high) == pytest.approx((0.9, 1.0))


def test_differences_are_centred_at_zero() -> None:
    values = {("de", "de"): 0.1, ("de", "en"): -0.1, ("en", "de"): -0.0004, ("en", "en"): 0.02}
    matrix = difference_matrix("t", values, marked={("de", "en")})
    assert shown(matrix) == [[("+.100", "d10"), ("-.100*", "d0")], [("0", "d5"), ("+.020", "d6")]]
    assert (matrix.low, matrix.high) == (-0.1, 0.1)


def test_noise_does_not_get_the_strongest_colour() -> None:
    matrix = difference_matrix("t", {("de", "en"): 0.004, ("en", "de"): -0.004})
    assert shown(matrix) == [[("-.004", "d5"), ("+.004", "d5")]]


def test_matrices_can_share_their_colours() -> None:
    matrix = difference_matrix("t", {("de", "en"): 0.1, ("en", "de"): -0.1}, largest=0.5)
    assert shown(matrix) == [[("-.100", "d4"), ("+.100", "d6")]]
    assert matrix.high == 0.5


@pytest.mark.parametrize(
    ("pairs", "rows", "columns"),
    [
        ([pair for other in ("de", "fr", "th", "zh") for pair in ((other, "en"), ("en", other))],
         ["de", "fr", "th", "zh"], ["→ en", "en →"]),  # bitexts with one language are no empty square
        ([("en", "en"), *(pair for other in ("de", "fr", "th", "zh") for pair in ((other, "en"), ("en", other)))],
         ["de", "en", "fr", "th", "zh"], ["→ en", "en →"]),
        ([(language, language) for language in ("ar", "bn", "sw")], ["ar", "bn", "sw"], ["within"]),
        ([("de", "de")], ["de"], ["de"]),
        ([(query, "en") for query in ("ar", "de", "th")], ["ar", "de", "th"], ["en"]),
        ([(query, passage) for query in ("ar", "de", "th") for passage in ("en", "fr")],
         ["ar", "de", "th"], ["en", "fr"]),
    ],
)  # fmt: skip
def test_layouts(pairs: list[tuple[str, str]], rows: list[str], columns: list[str]) -> None:
    matrix = value_matrix("t", dict.fromkeys(pairs, 0.5))
    assert (matrix.rows, matrix.columns) == (rows, columns)
    assert {pair for row in matrix.pairs for pair in row} == set(pairs)


def test_columns_with_arrows_are_not_called_languages_of_passages() -> None:
    arrows = value_matrix("t", {pair: 0.5 for other in ("de", "fr", "th") for pair in ((other, "en"), ("en", other))})
    square = value_matrix("t", {(query, passage): 0.5 for query in ("de", "en") for passage in ("de", "en")})
    labels = [
        [(axes.get_ylabel(), axes.get_xlabel()) for axes in matrix_figure([matrix], titled=True).axes[:1]]
        for matrix in (arrows, square)
    ]
    assert labels == [[("", "")], [("queries in", "passages in")]]
    assert "Arrows lead" in arrows.picture.summary and "Arrows" not in square.picture.summary


def test_pictures_are_files(before: list[ResultRow], after: list[ResultRow], tmp_path: Path) -> None:
    save_heatmap(tmp_path / "one.png", "atlas", "map", None, after)
    save_heatmap(tmp_path / "two.png", "atlas", "map", before, after)
    save_share_heatmap(tmp_path / "shares.png", "t", {("de", "de"): 0.7, ("de", "en"): 0.3, ("en", "de"): 0.4})
    one, two = imread(tmp_path / "one.png"), imread(tmp_path / "two.png")
    assert two.shape[1] == 2 * one.shape[1] and one.shape[0] == two.shape[0], "a panel for the change"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "shares.png", "two.png"]
