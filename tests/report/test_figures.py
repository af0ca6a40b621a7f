"""The pictures: what is drawn where, as PNG files and as SVG that a page can hold."""

import html
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

import mixlingua.report
from mixlingua.comparison.significance import t_interval
from mixlingua.comparison.variations import Curve, Line, Panel
from mixlingua.report.figures import (
    COLOURS,
    Picture,
    curve_picture,
    draw_panel,
    loss_picture,
    number_text,
    spread_picture,
)

CSS = (Path(mixlingua.report.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")


def drawn(*lines: Line) -> Axes:
    axes = Figure().subplots()
    draw_panel(axes, Panel("multilingual", "map", lines), 0.95)
    return axes


NAMES = ("<hybrid>", "model=$a$ & \\1")


def curve(points: dict[float, list[float]] | None = None) -> Picture:
    lines = [(name, points or {0.0: [0.25, 0.35], 0.5: [0.5, 0.7], 1.0: [0.4]}) for name in NAMES]
    panels = [Panel("multilingual", metric, lines) for metric in ("map", "rank_distance", "recall_at_1")]
    return curve_picture(Curve("xquad_r", "sampler.alpha", panels), 0.95)


def test_lines_go_through_the_means_and_bars_are_intervals_over_seeds() -> None:
    axes = drawn(("hybrid", {0.5: [0.3, 0.5, 0.4], 0.0: [0.2, 0.3]}), ("mixed", {0.0: [0.1], 0.5: [0.2]}))
    by_label = {line.get_label(): line for line in axes.lines}
    assert by_label["hybrid"].get_xdata() == pytest.approx([0.0, 0.5])
    assert by_label["hybrid"].get_ydata() == pytest.approx([0.25, 0.4])
    assert by_label["mixed"].get_ydata() == pytest.approx([0.1, 0.2])
    ends = [tuple(y for _, y in bar.get_segments()[0]) for container in axes.containers for bar in container.lines[2]]
    expected = [t_interval([0.2, 0.3], 0.95), t_interval([0.3, 0.5, 0.4], 0.95)]
    assert ends == [pytest.approx(interval) for interval in expected], "none for one seed"
    assert axes.get_xscale() == "linear"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.5"]


def test_sizes_are_on_a_logarithmic_axis() -> None:
    axes = drawn(("hybrid", {118e6: [0.3], 278e6: [0.4], 1.2e9: [0.5]}))
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["118M", "278M", "1.2B"]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.25, "0.25"), (1e-5, "1e-05"), (420, "420"), (10_000, "10,000"), (7.25e9, "7.25B")]
)
def test_numbers_on_axes(value: float, text: str) -> None:
    assert number_text(value) == text


def test_the_values_of_a_curve_are_a_table_too() -> None:
    picture = curve()
    assert picture.table is not None
    cells = [["0", "0.300", "-0.335 to 0.935"], ["0.5", "0.600", "-0.671 to 1.871"], ["1", "0.400", "-"]]
    assert [list(row[:4]) for row in picture.table.rows] == [
        [name, *of_number] for name in NAMES for of_number in cells
    ]
    assert "95% intervals over seeds" in picture.summary
    assert curve({0.0: [0.1], 1.0: [0.2]}).summary == "One seed each, so no interval over seeds."


def test_losses_are_dots_and_their_running_mean() -> None:
    mixed = [(float(step), 1.0 + (step - 1) % 2) for step in range(1, 1001)]
    picture = loss_picture({"mixed": mixed, "crosslingual": [(1.0, 2.0), (3.0, 1.0)]}, [(2.0, 1.25)])
    dots, means = picture.figure.axes[0].lines[:2]
    assert len(dots.get_xdata()) == 200
    assert (dots.get_xdata()[0], dots.get_ydata()[0]) == (3, pytest.approx(1.4))  # steps 1 to 5: 1 2 1 2 1
    assert means.get_ydata() == pytest.approx([1.5] * 200, abs=0.02)
    assert "mixed batches from 1.50 to 1.50 (a dot: the mean of 5 batches)" in picture.summary
    assert "cross-lingual batches from 1.50 to 1.50; validation from 1.25 to 1.25" in picture.summary


def test_spread_shows_quantiles_and_languages_never_trained_on_last() -> None:
    after = {"el": np.array([2.0, 17.5, 200.0, 2000.0]), "vi": np.array([0.0]), "de": np.array([5.0])}
    picture = spread_picture("ranks", after, {"el": np.array([10.0])}, zero_shot=["el"])
    assert picture.table is not None
    # The 5th percentile lies 0.15 of the way from 2 to 17.5.
    assert [list(row) for row in picture.table.rows] == [
        ["German de", "after", *["5"] * 6], ["Vietnamese vi", "after", *["0"] * 6],
        ["Greek el", "before", *["10"] * 6], ["Greek el", "after", "4", "14", "109", "650", "1,730", "555"],
    ]  # fmt: skip
    axes = picture.figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "10", "100", "1,000"]


def test_svg_is_deterministic_accessible_and_alone_on_its_page() -> None:
    svg = str(curve().svg)
    assert svg == str(curve().svg)
    assert 'role="img" aria-label="xquad_r over sampler.alpha. Means over seeds.' in svg
    assert "<title>xquad_r over sampler.alpha</title>" in svg
    assert ">sampler.alpha</text>" in svg, "text stays text"
    assert all(f">{html.escape(name)}</text>" in svg for name in NAMES)
    assert "url(" not in svg and "<metadata" not in svg
    other = str(loss_picture({"mixed": [(1.0, 1.0), (2.0, 1.0)]}, [(1.0, 1.0)]).svg)
    ids = [set(re.findall(r'\bid="([^"]+)"', each)) for each in (svg, other)]
    assert ids[0] and ids[1] and not ids[0] & ids[1]
    for each, known in zip((svg, other), ids, strict=True):
        assert set(re.findall(r'href="#([^"]+)"', each)) <= known


def test_svg_has_the_colours_of_the_page_in_both_schemes() -> None:
    light, dark = CSS.split("@media (prefers-color-scheme: dark)", 1)
    for name, colour in COLOURS.items():
        assert f"--{name}: {colour};" in light
        assert f"--{name}: #" in dark
    for picture in (curve(), spread_picture("s", {"de": np.array([5.0, 7.0])}, None)):
        assert not re.findall(r"#[0-9a-f]{6}\b", str(picture.svg))


def test_a_picture_is_a_file_too(tmp_path: Path) -> None:
    curve().save(tmp_path / "curve.png")
    assert imread(tmp_path / "curve.png").shape[1] > 1000
