"""Figures over one numeric setting: what is drawn where."""

from pathlib import Path

import matplotlib.image
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixlingua.comparison.significance import t_interval
from mixlingua.report.figures import Panel, Series, _draw, save_curve


def drawn(*lines: Series) -> Axes:
    axes = Figure().subplots()
    _draw(axes, Panel("multilingual mAP ↑", lines), 0.95)
    return axes


def test_lines_go_through_the_means_and_bars_are_intervals_over_seeds() -> None:
    axes = drawn(Series("hybrid", {0.5: [0.3, 0.5, 0.4], 0.0: [0.2, 0.3]}), Series("mixed", {0.0: [0.1], 0.5: [0.2]}))
    by_label = {line.get_label(): line for line in axes.lines}
    assert by_label["hybrid"].get_xdata().tolist() == [0.0, 0.5]
    assert by_label["hybrid"].get_ydata().tolist() == pytest.approx([0.25, 0.4])
    assert by_label["mixed"].get_ydata().tolist() == pytest.approx([0.1, 0.2])
    ends = [tuple(y for _, y in bar.get_segments()[0]) for container in axes.containers for bar in container.lines[2]]
    expected = [t_interval([0.2, 0.3], 0.95), t_interval([0.3, 0.5, 0.4], 0.95)]
    assert ends == [pytest.approx(interval) for interval in expected], "none for one seed"
    assert axes.get_xscale() == "linear"
    assert axes.get_xticks().tolist() == [0.0, 0.5]


def test_sizes_are_on_a_logarithmic_axis() -> None:
    axes = drawn(Series("hybrid", {118e6: [0.3], 278e6: [0.4], 1.2e9: [0.5]}))
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["118M", "278M", "1,200M"]


def test_the_file_is_a_picture(tmp_path: Path) -> None:
    panels = [Panel(name, [Series(label, {1: [0.1], 2: [0.2]}) for label in "ab"]) for name in ("one", "two", "three")]
    save_curve(tmp_path / "c.png", panels, title="xquad_r", setting="sampler.alpha", confidence=0.95)
    height, width, _ = matplotlib.image.imread(tmp_path / "c.png").shape
    assert width > 2 * height > 400
