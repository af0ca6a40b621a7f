"""The picture of all language pairs."""

from pathlib import Path

import numpy as np
from matplotlib.image import imread

from mixlingua.evaluation.results import ResultRow
from mixlingua.report.figures import language_shares, pair_matrix, save_heatmap, save_share_heatmap


def test_matrix_has_queries_in_rows_and_passages_in_columns() -> None:
    rows = [
        ResultRow("t", "crosslingual", "de", "en", "map", 0.25, 1),
        ResultRow("t", "monolingual", "de", "de", "map", 0.5, 1),
        ResultRow("t", "monolingual", "de", "de", "recall_at_1", 0.9, 1),
        ResultRow("t", "multilingual", "de", "all", "map", 0.1, 1),
        ResultRow("other", "monolingual", "fr", "fr", "map", 0.7, 1),
    ]
    languages, matrix = pair_matrix(rows, "t", "map")
    assert languages == ["de", "en"]
    np.testing.assert_array_equal(matrix, [[0.5, 0.25], [np.nan, np.nan]])


def test_picture_gains_a_panel_with_a_before(before: list[ResultRow], after: list[ResultRow], tmp_path: Path) -> None:
    save_heatmap(tmp_path / "one.png", "atlas", None, after)
    save_heatmap(tmp_path / "two.png", "atlas", before, after)
    one, two = imread(tmp_path / "one.png"), imread(tmp_path / "two.png")
    assert two.shape[1] == 2 * one.shape[1]
    assert one.shape[0] == two.shape[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "two.png"]


def test_shares_of_languages_are_a_picture(tmp_path: Path) -> None:
    shares = {"de": {"de": 0.7, "en": 0.3}, "en": {"de": 0.4, "en": 0.6}}
    rows = [
        ResultRow("t", "multilingual", query, "all", f"share_of_{language}_at_10", value, 5)
        for query, own in shares.items() for language, value in own.items()
    ]  # fmt: skip
    rows += [
        ResultRow("t", "multilingual", "de", "all", "map", 0.1, 5),
        ResultRow("t", "monolingual", "de", "de", "map", 0.1, 5),
    ]
    found = language_shares(rows, "t")
    assert found == {("de", "de"): 0.7, ("de", "en"): 0.3, ("en", "de"): 0.4, ("en", "en"): 0.6}
    assert language_shares(rows, "other") == {}
    save_share_heatmap(tmp_path / "languages.png", "t", rows)
    assert imread(tmp_path / "languages.png").ndim == 3
