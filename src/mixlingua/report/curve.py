"""Figures over one numeric setting, such as alpha: the mean over seeds, its interval, and a line for each sampler."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mixlingua.evaluation.significance import t_interval
from mixlingua.files import atomic_write

_LOGARITHMIC = 10  # largest over smallest setting from which the axis is logarithmic
_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)  # told apart by colour-blind eyes
_MARKERS = "osD^vPX"


@dataclass(frozen=True)
class Line:
    """label: for the legend. points: setting -> one value for each seed."""

    label: str
    points: Mapping[float, Sequence[float]]


@dataclass(frozen=True)
class Panel:
    """One metric over the setting."""

    title: str
    lines: Sequence[Line]


def save_curve(path: Path, panels: Sequence[Panel], *, title: str, setting: str, confidence: float) -> None:
    """Write panels side by side to a PNG. Dots are seeds; bars are Student's intervals, where there are two seeds."""
    figure = Figure(figsize=(3.6 * len(panels) + 0.6, 3.6), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(all_axes, panels, strict=True):
        _draw(axes, panel, confidence)
        axes.set_xlabel(setting)
    lines = panels[0].lines
    if len(lines) > 1:
        figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    if any(len(values) > 1 for line in lines for values in line.points.values()):
        figure.text(0.99, 0.97, f"bars: {100 * confidence:g}% over seeds", ha="right", fontsize=8, color="dimgrey")
    with atomic_write(path) as partial:
        FigureCanvasAgg(figure).print_png(str(partial))


def _draw(axes: Axes, panel: Panel, confidence: float) -> None:
    for number, line in enumerate(panel.lines):
        colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
        points = sorted(line.points.items())
        settings = [setting for setting, _ in points]
        means = [float(np.mean(values)) for _, values in points]
        axes.plot(settings, means, color=colour, marker=marker, markersize=5, linewidth=1.5, label=line.label)
        for (setting, values), mean in zip(points, means, strict=True):
            if interval := t_interval(list(values), confidence):
                ends = [[mean - interval[0]], [interval[1] - mean]]
                axes.errorbar([setting], [mean], ends, color=colour, capsize=2, linewidth=1, alpha=0.7)
                axes.scatter([setting] * len(values), values, s=6, color=colour, alpha=0.5)
    every = sorted({setting for line in panel.lines for setting in line.points})
    if every[0] > 0 and every[-1] / every[0] >= _LOGARITHMIC:
        axes.set_xscale("log")
    axes.set_xticks(every, [f"{setting:g}" if setting < 1e5 else f"{setting / 1e6:,.0f}M" for setting in every])
    axes.minorticks_off()
    axes.set_title(panel.title, fontsize=10, loc="left")
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
