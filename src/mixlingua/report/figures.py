"""The pictures of a run and of a comparison, drawn by matplotlib: PNG files, and SVG inside the pages.

The colours of a picture are those of templates/style.css in its light scheme. In the SVG they become the variables of
that file, so that a picture follows the reader's scheme as the page does. Sizes are in CSS pixels at 72 dots per inch.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mixlingua.comparison.significance import t_interval
from mixlingua.comparison.variations import Curve, Panel
from mixlingua.evaluation.metrics import Floats
from mixlingua.files import atomic_write
from mixlingua.languages import language_name
from mixlingua.report.plain_table import PlainTable, figure_text, metric_name, spoken

Point = tuple[float, float]

# Names of style.css -> their values in its light scheme. v: steps of values, d: of differences with a neutral middle.
COLOURS = {
    "paper": "#fefdfb", "ink": "#1b1a18", "soft": "#5f5c56", "rule": "#e3dfd8", "strong-rule": "#8f8b83",
    "blue": "#2b569d", "orange": "#a8480b", "green": "#1a7a5e", "purple": "#8a4a91", "ochre": "#8a6a00",
    "teal": "#147a8c", "on-deep": "#ffffff",
    "v0": "#eff7fd", "v1": "#cfe3f3", "v2": "#afcde8", "v3": "#90b7dd", "v4": "#73a1d2", "v5": "#4374b8",
    "v6": "#3668ac", "v7": "#2c59a0", "v8": "#1f438a",
    "d0": "#9e4502", "d1": "#b05e2a", "d2": "#d49c6f", "d3": "#e2bc99", "d4": "#efdac4", "d5": "#f7f5f3",
    "d6": "#cde3f5", "d7": "#a4c7e8", "d8": "#7ea8d8", "d9": "#4374b9", "d10": "#2b569e",
}  # fmt: skip
_LINES = tuple(COLOURS[name] for name in ("blue", "orange", "green", "purple", "ochre", "teal", "ink"))
_DASHES = ("-", (0, (6, 3)), (0, (2, 2)), (0, (6, 2, 2, 2)))
_MARKERS = "osD^vPX"
_OF_KIND = {"monolingual": 0, "english": 0, "crosslingual": 1, "mixed": 1, "validation": 2}  # line styles in `loss`
_WIDTH = 736  # of a figure in a page
STYLE: dict[Any, Any] = {
    "font.size": 13, "axes.titlesize": 14, "axes.labelsize": 13, "legend.fontsize": 13, "text.color": COLOURS["ink"],
    "axes.titlecolor": COLOURS["ink"], "axes.labelcolor": COLOURS["soft"], "axes.edgecolor": COLOURS["strong-rule"],
    "xtick.color": COLOURS["soft"], "ytick.color": COLOURS["soft"], "grid.color": COLOURS["rule"],
    "axes.spines.top": False, "axes.spines.right": False, "axes.facecolor": "none", "figure.dpi": 72,
    "figure.facecolor": COLOURS["paper"], "axes.titlelocation": "left", "svg.fonttype": "none",
    "text.parse_math": False, "legend.frameon": False, "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A figure for readers who see it, and a title, a summary and a table of its values for those who do not."""

    title: str
    summary: str
    figure: Figure
    table: PlainTable | None = None

    @property
    def svg(self) -> Markup:
        """An <svg> element; equal pictures give equal texts, and pictures of different titles share no id."""
        text = StringIO()
        name = re.sub(r"\W+", "-", self.title.lower()).strip("-")
        with rc_context({**STYLE, "svg.hashsalt": name}):
            FigureCanvasSVG(self.figure).print_svg(text, metadata={"Date": None})
        svg = text.getvalue()
        svg = svg[svg.index("<svg") :]
        svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
        svg = re.sub(r' clip-path="url\(#\w+\)"', "", svg)  # nothing is drawn beyond its axes
        svg = re.sub(r"\s*<clipPath.*?</clipPath>", "", svg, flags=re.DOTALL)
        used = set(re.findall(r'href="#(\w+)"', svg))
        svg = re.sub(r' id="([^"]+)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", svg)
        svg = svg.replace('href="#', f'href="#{name}-')
        for variable, colour in COLOURS.items():
            svg = svg.replace(colour, f"var(--{variable})")
        described = f"<title>{escape(self.title)}</title><desc>{escape(self.summary)}</desc>"
        label = f'role="img" aria-label={quoteattr(f"{self.title}. {self.summary}")}'
        ((width, height),) = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg[: svg.index(">")])
        size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        return Markup(f"<svg {size} {label}>{described}{svg[svg.index('>') + 1 :]}")

    def save(self, path: Path) -> None:
        """Write a PNG file."""
        save_png(self.figure, path)


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure to a PNG file, with two pixels for each CSS pixel."""
    FigureCanvasAgg(figure)
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=144, metadata={"Software": None})


def number_text(value: float) -> str:
    """A number as axes show it: 0.25, 1,000, 118M, 1.2B."""
    for size, letter in ((1e9, "B"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


# The loss of a training run.
_MOST_DOTS = 200  # of a line: a longer one shows means of neighbouring steps


def loss_picture(losses: Mapping[str, Sequence[Point]], validation: Sequence[Point]) -> Picture:
    """The loss of each kind of batch by step, as dots and their running mean, and that of held-out batches.

    losses: kind of batch -> (step, loss) in nats.
    """
    notes = []
    with rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH / 72, 320 / 72), layout="constrained")
        axes = figure.subplots()
        for kind, points in losses.items():
            dots, bundle = _thinned(points)
            means = _running_mean(dots, max(1, len(dots) // 10))
            style = _line_style(_OF_KIND.get(kind, 3), f"{spoken(kind)} batches")
            axes.plot(*zip(*dots, strict=True), ".", color=style["color"], alpha=0.35, markersize=6)
            axes.plot(*zip(*means, strict=True), **style)
            note = f"{spoken(kind)} batches from {means[0][1]:.2f} to {means[-1][1]:.2f}"
            notes.append(f"{note} (a dot: the mean of {bundle} batches)" if bundle > 1 else note)
        if validation:
            style = _line_style(_OF_KIND["validation"], "validation")
            axes.plot(*zip(*validation, strict=True), marker="o", markersize=4, **style)
            notes.append(f"validation from {validation[0][1]:.2f} to {validation[-1][1]:.2f}")
        axes.set_xlabel("step")
        axes.set_ylabel("loss, nats")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=min([0, *(loss for points in losses.values() for _, loss in points)]))
        _quiet(axes)
        _legend(figure, axes)
    return Picture("Training loss", f"Running means, in nats: {'; '.join(notes)}.", figure)


def _thinned(points: Sequence[Point]) -> tuple[list[Point], int]:
    """The means of so many neighbouring points that few enough dots remain, and how many those are."""
    size = -(-len(points) // _MOST_DOTS)
    bundles = (np.mean(points[start : start + size], axis=0) for start in range(0, len(points), size))
    return [(float(x), float(y)) for x, y in bundles], size


def _running_mean(points: Sequence[Point], width: int) -> list[Point]:
    """Each point's x, with the mean of the y of up to `width` points on either side."""
    losses = [loss for _, loss in points]
    means = (np.mean(losses[max(0, index - width) : index + width + 1]) for index in range(len(points)))
    return [(x, float(mean)) for (x, _), mean in zip(points, means, strict=True)]


# The spread of a metric over queries.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def spread_picture(
    title: str, after: Mapping[str, Floats], before: Mapping[str, Floats] | None, zero_shot: Collection[str] = ()
) -> Picture:
    """Quantiles and means of ranks by query language, on a logarithmic axis.

    after, before: language -> values, 0 or more. Languages never trained on come last.
    """
    languages = sorted(after, key=lambda language: (language in zero_shot, language))
    strips = [
        (language, stage, [*np.quantile(values[language], QUANTILES), values[language].mean()])
        for language in languages
        for stage, values in (("before", before or {}), ("after", after))
        if language in values
    ]
    height = 24 * len(strips) + 12 * len(languages) + 90
    with rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH / 72, height / 72), layout="constrained")
        axes = figure.subplots()
        axes.set_xscale("function", functions=(np.log1p, np.expm1))
        bottom, middles = 0.0, {}
        for language in languages:
            rows = [strip for strip in strips if strip[0] == language]
            middles[language] = bottom + (len(rows) - 1) / 2
            for offset, (_, stage, values) in enumerate(rows):
                _strip(axes, bottom + offset, values, faint=stage == "before", labelled=bottom == 0)
            bottom += len(rows) + 0.5
        axes.set_ylim(bottom - 0.75, -0.75)
        axes.set_yticks(list(middles.values()), [f"{language_name(code)}  {code}" for code in middles])
        axes.tick_params(axis="y", length=0, labelcolor=COLOURS["ink"])
        axes.spines["left"].set_visible(False)
        highest = max(max(values) for _, _, values in strips)
        ticks = [0.0, *(10.0**power for power in range(int(np.log10(max(highest, 1))) + 2))]
        axes.set_xlim(0, max(highest * 1.05, 1))
        shown = [tick for tick in ticks if tick <= max(highest * 1.05, 1)]
        axes.set_xticks(shown, [number_text(tick) for tick in shown])
        axes.minorticks_off()
        axes.set_xlabel("ranks, logarithmic")
        _quiet(axes, "x")
        _legend(figure, axes)
    headings = ["language", "", "5%", "25%", "median", "75%", "95%", "mean"]
    lines = [
        [f"{language_name(language)} {language}", stage, *(f"{value:,.0f}" for value in values)]
        for language, stage, values in strips
    ]
    summary = (
        "Line: from the 5th to the 95th percentile of the queries. Bar: the middle half. Dot: median. Stroke: mean."
    )
    return Picture(title, summary, figure, PlainTable("spread", title, headings, lines, labels=2))


def _strip(axes: Axes, height: float, values: Sequence[float], *, faint: bool, labelled: bool) -> None:
    low, lower, median, upper, high, mean = values
    colour = COLOURS["strong-rule" if faint else "blue"]
    label = ("before training" if faint else "after") if labelled else None
    axes.plot([low, high], [height] * 2, color=colour, linewidth=1.5)
    axes.plot([lower, upper], [height] * 2, color=colour, linewidth=7, solid_capstyle="butt", label=label)
    axes.plot([median], [height], "o", markersize=6, markeredgecolor=colour, markerfacecolor=COLOURS["paper"],
              markeredgewidth=1.8)  # fmt: skip
    axes.plot([mean], [height], "|", markersize=13, markeredgewidth=2, color=COLOURS["ink"])


# Scores over a number in which set-ups differ.
def curve_picture(curve: Curve, confidence: float) -> Picture:
    """A panel for each metric. Dots are runs, lines go through their means, bars are intervals over seeds."""
    columns = min(len(curve.panels), 2)
    rows = -(-len(curve.panels) // columns)
    names = [name for name, _ in curve.panels[0].lines]
    height = 290 * rows + 22 * -(-len(names) // _legend_columns(names)) + 20
    with rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH / 72, height / 72), layout="constrained")
        all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, panel in zip(all_axes, curve.panels, strict=False):
            draw_panel(axes, panel, confidence)
            axes.set_title(f"{curve.task} {panel_title(panel)}")
            axes.set_xlabel(curve.variable)
        for axes in all_axes[len(curve.panels) :]:
            axes.set_axis_off()
        _legend(figure, all_axes[0])
    replicated = any(len(values) > 1 for _, points in curve.panels[0].lines for values in points.values())
    bars = f"Bars: {100 * confidence:g}% intervals over seeds, none where there is one seed."
    summary = f"Means over seeds. {bars}" if replicated else "One seed each, so no interval over seeds."
    return Picture(f"{curve.task} over {curve.variable}", summary, figure, _curve_table(curve, confidence))


def draw_panel(axes: Axes, panel: Panel, confidence: float) -> None:
    """Draw the lines of a panel with their intervals, and a tick at every number."""
    for index, (name, points) in enumerate(panel.lines):
        numbers = sorted(points)
        means = [float(np.mean(points[number])) for number in numbers]
        style = _line_style(index, name)
        axes.plot(numbers, means, marker=_MARKERS[index % len(_MARKERS)], markersize=6, **style)
        for number, mean in zip(numbers, means, strict=True):
            values = points[number]
            if interval := t_interval(list(values), confidence):
                ends = [[mean - interval[0]], [interval[1] - mean]]
                axes.errorbar([number], [mean], ends, color=style["color"], capsize=3, linewidth=1, alpha=0.7)
                axes.plot([number] * len(values), values, ".", markersize=4, color=style["color"], alpha=0.5)
    every = sorted({number for _, points in panel.lines for number in points})
    if every[0] > 0 and every[-1] / every[0] >= 10:
        axes.set_xscale("log")
    axes.set_xticks(every, [number_text(number) for number in every])
    axes.minorticks_off()
    _quiet(axes)


def panel_title(panel: Panel) -> str:
    """Such as "multilingual mAP ↑"."""
    return f"{spoken(panel.setting)} {metric_name(panel.metric)}"


def _curve_table(curve: Curve, confidence: float) -> PlainTable:
    """Each line and number with the mean and the interval over seeds of each panel."""
    headings = ["", curve.variable]
    for panel in curve.panels:
        headings += [panel_title(panel), "over seeds"]
    rows = []
    for index, (name, points) in enumerate(curve.panels[0].lines):
        for number in sorted(points):
            cells = [name, f"{number:,.6g}"]
            for panel in curve.panels:
                values = list(panel.lines[index][1][number])
                text = partial(figure_text, panel.metric, ranks=1)
                ends = t_interval(values, confidence)
                cells += [text(float(np.mean(values))), f"{text(ends[0])} to {text(ends[1])}" if ends else "-"]
            rows.append(cells)
    return PlainTable("curve", f"{curve.task} over {curve.variable}", headings, rows, labels=1)


def _line_style(index: int, label: str) -> dict[str, Any]:
    return {
        "color": _LINES[index % len(_LINES)],
        "linestyle": _DASHES[index % len(_DASHES)],
        "linewidth": 2,
        "label": label,
    }


def _quiet(axes: Axes, axis: Literal["x", "y"] = "y") -> None:
    """Thin rules at the ticks of the measured axis, below the data."""
    axes.grid(axis=axis)
    axes.set_axisbelow(True)
    if axis == "y":
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if axes.get_ylim()[1] >= 1000:
            axes.yaxis.set_major_formatter("{x:,.0f}")


def _legend(figure: Figure, axes: Axes) -> None:
    """Above the axes, where there are several lines to tell apart."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside upper left", ncols=_legend_columns(labels))


def _legend_columns(labels: Sequence[str]) -> int:
    """As many as fit into the width of a page."""
    return max(1, min(3, 90 // (max(map(len, labels)) + 8)))
