"""Scores over one number in which set-ups differ: the share of monolingual batches, the size of model or data."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mixlingua.comparison.compare import AVERAGE, ComparisonRow
from mixlingua.comparison.significance import t_interval
from mixlingua.evaluation.metrics import Floats
from mixlingua.evaluation.results import SETTINGS, ResultRow, share_language
from mixlingua.evaluation.run_folder import RANK_DISTANCE
from mixlingua.files import atomic_write
from mixlingua.languages import language_name
from mixlingua.report.comparison_tables import figure_name, interval, number, percent
from mixlingua.report.page import spoken


def language_shares(rows: Iterable[ResultRow], task: str) -> dict[tuple[str, str], float]:
    """(query language, language) -> its share of the first ten passages, in the multilingual setting."""
    own = (row for row in rows if (row.task, row.setting) == (task, "multilingual"))
    named = ((row, share_language(row.metric)) for row in own)
    return {(row.query_language, language): row.value for row, language in named if language is not None}


def pair_matrix(rows: Sequence[ResultRow], task: str, metric: str) -> tuple[list[str], np.ndarray]:
    """Languages (L) and the (L, L) values by query (row) and corpus language (column); nan where there is none."""
    pairs = [r for r in rows if r.task == task and r.metric == metric and r.setting in ("monolingual", "crosslingual")]
    return _square({(row.query_language, row.passage_language): row.value for row in pairs})


def save_share_heatmap(path: Path, task: str, rows: Sequence[ResultRow]) -> None:
    """Write the share of each language (column) among the first ten passages, by query language (row), to a PNG."""
    languages, matrix = _square(language_shares(rows, task))
    side = 0.48 * max(len(languages), 5)
    figure = Figure(figsize=(side + 3.0, side + 1.1), layout="constrained")
    norm = Normalize(0.0, float(np.nanmax(matrix)))
    _panel(figure.subplots(), matrix, languages, f"{task}: share of the top 10", cmap="viridis", norm=norm, form=".2f")
    with atomic_write(path) as partial:
        FigureCanvasAgg(figure).print_png(str(partial))


def save_heatmap(path: Path, task: str, before: Sequence[ResultRow] | None, after: Sequence[ResultRow]) -> None:
    """Write the mAP of every query and corpus language to a PNG; with `before`, the change beside it."""
    languages, matrix = pair_matrix(after, task, "map")
    old_languages, old = pair_matrix(before or (), task, "map")
    panels = 2 if before and old_languages == languages else 1
    side = 0.48 * max(len(languages), 5)
    figure = Figure(figsize=(panels * (side + 3.0), side + 1.1), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    lowest = 0.1 * np.floor(10 * np.nanmin(matrix))
    _panel(axes[0], matrix, languages, f"{task}: mAP", cmap="viridis", norm=Normalize(lowest, 1.0), form=".2f")
    if panels == 2:
        change = np.round(matrix - old, 2) + 0.0  # no "-0.00"
        limit = max(0.05, float(np.nanmax(np.abs(change))))
        _panel(
            axes[1], change, languages, "change by training", cmap="PuOr", norm=Normalize(-limit, limit), form="+.2f"
        )
    with atomic_write(path) as partial:
        FigureCanvasAgg(figure).print_png(str(partial))


def _square(values: Mapping[tuple[str, str], float]) -> tuple[list[str], np.ndarray]:
    languages = sorted({language for pair in values for language in pair})
    position = {language: index for index, language in enumerate(languages)}
    matrix = np.full((len(languages), len(languages)), np.nan)
    for (row, column), value in values.items():
        matrix[position[row], position[column]] = value
    return languages, matrix


def _panel(
    axes: Axes, matrix: np.ndarray, languages: list[str], title: str, *, cmap: str, norm: Normalize, form: str
) -> None:
    image = axes.imshow(matrix, cmap=cmap, norm=norm)
    axes.set_title(title, fontsize=12, loc="left")
    axes.set_xticks(range(len(languages)), languages)
    axes.set_yticks(range(len(languages)), [f"{language_name(code)}  {code}" for code in languages])
    axes.set_xlabel("passages in")
    axes.set_ylabel("queries in")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.figure.colorbar(image, ax=axes, fraction=0.046, pad=0.02)
    for (row, column), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            red, green, blue, _ = image.cmap(norm(value))
            dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.45
            text = format(value, form).replace("0.", ".", 1)
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")


Pair = tuple[str, str]  # query language, passage language
VALUE_STEPS, DIFFERENCE_STEPS = 9, 11  # colours of each scale in style.css, the middle one of differences neutral
_LEAST_LIMIT = 0.05  # of a scale of differences: noise should not look like a result


@dataclass(frozen=True)
class Head:
    """A row's or column's heading: short is always shown, long where there is room."""

    short: str
    long: str


@dataclass(frozen=True)
class GridCell:
    """style: the CSS class of its colour."""

    text: str
    style: str
    monolingual: bool


@dataclass(frozen=True)
class Grid:
    """cells: by row and column, None where a pair was not measured. low, high: what the ends of the colours mean."""

    title: str
    rows: list[Head]
    columns: list[Head]
    cells: list[list[GridCell | None]]
    styles: list[str]
    low: str
    high: str


def value_grid(title: str, values: Mapping[Pair, float], zero_shot: Collection[str] = ()) -> Grid:
    """Values from 0 to 1; colours from the tenth below the lowest to the tenth above the highest."""
    low = math.floor(10 * min(values.values()) + 1e-9) / 10
    high = max(math.ceil(10 * max(values.values()) - 1e-9) / 10, low + 0.1)
    cells = {
        pair: (_short(f"{value:.3f}"), f"v{round((value - low) / (high - low) * (VALUE_STEPS - 1))}")
        for pair, value in values.items()
    }
    styles = [f"v{step}" for step in range(VALUE_STEPS)]
    return _grid(title, cells, zero_shot, styles, f"{low:.1f}", f"{high:.1f}")


def difference_grid(
    title: str,
    values: Mapping[Pair, float],
    zero_shot: Collection[str] = (),
    marked: Collection[Pair] = (),
    largest: float = 0.0,
) -> Grid:
    """Differences, coloured alike on both sides of 0.

    marked: pairs that get a star. largest: of the differences in other grids that should have the same colours.
    """
    limit = max(_LEAST_LIMIT, largest, *(abs(value) for value in values.values()))
    middle = DIFFERENCE_STEPS // 2
    cells = {}
    for pair, value in values.items():
        text = _short(f"{value:+.3f}") if round(value, 3) else "0"
        cells[pair] = (text + ("*" if pair in marked else ""), f"d{middle + round(value / limit * middle)}")
    styles = [f"d{step}" for step in range(DIFFERENCE_STEPS)]
    return _grid(title, cells, zero_shot, styles, f"{-limit:.2f}", f"{limit:+.2f}")


def _grid(
    title: str,
    cells: Mapping[Pair, tuple[str, str]],
    zero_shot: Collection[str],
    styles: list[str],
    low: str,
    high: str,
) -> Grid:
    def head(language: str) -> Head:
        return Head(language + ("°" if language in zero_shot else ""), language_name(language))

    rows, columns, places = _layout(cells)
    filled = [[GridCell(*cells[pair], pair[0] == pair[1]) if pair in cells else None for pair in row] for row in places]
    shown = [head(column) if len(column) == 2 else Head(column, "") for column in columns]
    return Grid(title, [head(language) for language in rows], shown, filled, styles, low, high)


def _layout(pairs: Collection[Pair]) -> tuple[list[str], list[str], list[list[Pair]]]:
    """Languages of rows, headings of columns, and the pair at each place.

    A row for each query language and a column for each passage language; where that would leave most places empty, one
    column for pairs within a language, or two for the directions from and to the one language that all pairs share.
    """
    queries, passages = sorted({pair[0] for pair in pairs}), sorted({pair[1] for pair in pairs})
    shared = [language for language in queries if all(language in pair for pair in pairs)]
    if 2 * len(pairs) > len(queries) * len(passages) or not (
        shared or all(query == passage for query, passage in pairs)
    ):
        return queries, passages, [[(query, passage) for passage in passages] for query in queries]
    if not shared:
        return queries, ["within"], [[(query, query)] for query in queries]
    hub = shared[0]
    others = sorted({*queries, *passages} - {hub})
    return others, [f"→ {hub}", f"{hub} →"], [[(other, hub), (hub, other)] for other in others]


def _short(text: str) -> str:
    """Without the 0 before the point."""
    return text.replace("0.", ".", 1) if text.lstrip("+-").startswith("0.") else text


_NEAR = 1e-9
_ROOM = 7.0  # percent of an axis that a tick's text takes


@dataclass(frozen=True)
class Tick:
    """at: in percent of the axis, from its low end."""

    at: float
    text: str


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`; logarithmic ones place log(value + shift), and a shift lets them begin at 0."""

    low: float
    high: float
    marks: tuple[float, ...]
    logarithmic: bool = False
    shift: float = 0.0

    def at(self, value: float) -> float:
        """Where a value lies, in percent."""
        low, high, place = (self._placed(each) for each in (self.low, self.high, value))
        return 100 * (place - low) / (high - low)

    @property
    def ticks(self) -> list[Tick]:
        """Linear axes write all their marks with the same number of decimals."""
        digits = max(map(_decimals, self.marks))
        return [
            Tick(self.at(mark), _text(mark, _decimals(mark) if self.logarithmic else digits)) for mark in self.marks
        ]

    def _placed(self, value: float) -> float:
        return math.log(value + self.shift) if self.logarithmic else value


def linear(values: Iterable[float], *, from_zero: bool = False, marks: int = 5) -> Scale:
    """An axis that holds all values, ends at ticks, and has about `marks` of them."""
    low, high = _ends(values)
    low = min(low, 0.0) if from_zero else low
    if high - low < _NEAR:
        low, high = (0.0, high) if from_zero and high > 0 else (low - 0.5, high + 0.5)
    step = _round_step((high - low) / marks)
    first, last = math.floor(low / step + _NEAR), math.ceil(high / step - _NEAR)
    return Scale(first * step, last * step, tuple(number * step for number in range(first, last + 1)))


def logarithmic(values: Iterable[float]) -> Scale:
    """A logarithmic axis that holds all values, which are 0 or more, with ticks at powers of ten (and 0)."""
    low, high = _ends(values)
    shift = 1.0 if low < 1 else 0.0
    first = math.floor(math.log10(low) + _NEAR) if low >= 1 else 0
    last = max(math.ceil(math.log10(max(high, 1.0)) - _NEAR), first + 1)
    powers = tuple(10.0**power for power in range(first, last + 1))
    ends = (0.0, *powers) if shift else powers
    top = max(high, ends[1])
    return Scale(ends[0], top, tuple(mark for mark in ends if mark <= top), logarithmic=True, shift=shift)


def of_settings(values: Iterable[float]) -> Scale:
    """An axis for the two or more values that a setting was given, with a tick at each that has room for one;
    logarithmic where they span a factor of twenty or more."""
    tried = sorted(set(values))
    scale = Scale(tried[0], tried[-1], (), logarithmic=tried[0] > 0 and tried[-1] / tried[0] >= 20)
    marks = [tried[0]]
    for value in tried[1:]:
        if scale.at(value) - scale.at(marks[-1]) >= _ROOM:
            marks.append(value)
    return replace(scale, marks=tuple(marks))


def _ends(values: Iterable[float]) -> tuple[float, float]:
    held = list(values)
    return min(held), max(held)


def _round_step(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - _NEAR))


def _decimals(value: float) -> int:
    """Decimals that a value needs, of at most six."""
    return next((digits for digits in range(6) if abs(value - round(value, digits)) < _NEAR), 6)


def _text(value: float, digits: int) -> str:
    for size, letter in ((1e9, "B"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:g}" if 0 < abs(value) < 1e-3 else f"{value:,.{digits}f}"


Point = tuple[float, float]
_SIDE = 1000  # units of the stretched coordinate system that paths are drawn in


@dataclass(frozen=True)
class Line:
    """points: joined. dots: marked. bars: (x, low, high), the ends of intervals. key: which of the line styles."""

    name: str
    key: str
    points: Sequence[Point]
    dots: Sequence[Point] = ()
    bars: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True)
class Chart:
    """summary: what a reader who does not see it should know. columns, rows: its figures as a table."""

    title: str
    summary: str
    x_label: str
    y_label: str
    x: Scale
    y: Scale
    lines: Sequence[Line]
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = field(default=())

    @property
    def x_ticks(self) -> list[Tick]:
        return self.x.ticks

    @property
    def y_ticks(self) -> list[Tick]:
        return [Tick(100 - tick.at, tick.text) for tick in self.y.ticks]  # from the top, as screens count

    def path(self, line: Line) -> str:
        """The line through its points."""
        return "M" + "L".join(self._places(line.points))

    def dots(self, line: Line) -> str:
        """A stroke without length at each dot: with round caps, a circle that no stretching distorts."""
        return "".join(f"M{place}h0" for place in self._places(line.dots))

    def bars(self, line: Line) -> str:
        """A stroke from the lower to the upper end of each interval."""
        ends = [self._places(((x, low), (x, high))) for x, low, high in line.bars]
        return "".join(f"M{low}L{high}" for low, high in ends)

    def _places(self, points: Iterable[Point]) -> list[str]:
        scale = _SIDE / 100
        return [f"{scale * self.x.at(x):.1f} {_SIDE - scale * self.y.at(y):.1f}" for x, y in points]


QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Spread:
    """quantiles: those of QUANTILES."""

    quantiles: tuple[float, ...]
    mean: float


@dataclass(frozen=True)
class SpreadRow:
    """One language; before: None where it was not measured."""

    language: str
    name: str
    before: Spread | None
    after: Spread


@dataclass(frozen=True)
class SpreadChart:
    title: str
    rows: Sequence[SpreadRow]
    x: Scale

    @property
    def has_before(self) -> bool:
        return any(row.before for row in self.rows)


def spread_chart(
    title: str, after: Mapping[str, Floats], before: Mapping[str, Floats] | None, zero_shot: Collection[str] = ()
) -> SpreadChart:
    """after, before: language -> values, 0 or more. Languages never trained on come last."""
    rows = [
        SpreadRow(language, language_name(language), _spread((before or {}).get(language)), _held(after[language]))
        for language in sorted(after, key=lambda language: (language in zero_shot, language))
    ]
    shown = [part for row in rows for part in (row.before, row.after) if part]
    return SpreadChart(title, rows, logarithmic(value for part in shown for value in (*part.quantiles, part.mean)))


def _spread(values: Floats | None) -> Spread | None:
    return None if values is None else _held(values)


def _held(values: Floats) -> Spread:
    return Spread(tuple(float(value) for value in np.quantile(values, QUANTILES)), float(values.mean()))


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
class Series:
    """label: for the legend. points: setting -> one value for each seed."""

    label: str
    points: Mapping[float, Sequence[float]]


@dataclass(frozen=True)
class Panel:
    """One metric over the setting."""

    title: str
    lines: Sequence[Series]


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
    for place, line in enumerate(panel.lines):
        colour, marker = _COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)]
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


@dataclass(frozen=True)
class Variation:
    """Set-ups that differ in one number. values: system -> the number. fixed: what they share where others differ.
    along: settings that differ together with it, so that a change may be theirs."""

    variable: str
    values: Mapping[str, float]
    fixed: str
    along: Sequence[str]


def variation_charts(variation: Variation, rows: Sequence[ComparisonRow], confidence: float) -> Iterator[Chart]:
    """For each task: the main metric by setting, and rank distance."""
    own = [row for row in rows if row.scope == AVERAGE and row.system in variation.values]
    for task in dict.fromkeys(row.task for row in own):
        for ranks in (False, True):
            found = [row for row in own if row.task == task and (row.metric == RANK_DISTANCE) == ranks]
            if found:
                yield _chart(variation, task, found, confidence)


def _chart(variation: Variation, task: str, rows: Sequence[ComparisonRow], confidence: float) -> Chart:
    settings = [setting for setting in SETTINGS if any(row.setting == setting for row in rows)]
    members = {
        setting: sorted((row for row in rows if row.setting == setting), key=lambda row: variation.values[row.system])
        for setting in settings
    }
    lines = []
    for setting, own in members.items():
        points = [(variation.values[row.system], row.value) for row in own]
        ends = [(variation.values[row.system], *row.seeds_interval) for row in own if row.seeds_interval]
        lines.append(Line(spoken(setting), setting, points, points, ends))
    heights = [y for line in lines for _, y in line.points] + [
        y for line in lines for bar in line.bars for y in bar[1:]
    ]
    first = rows[0]
    metric = figure_name(first) if len(settings) == 1 else figure_name(first).partition(" ")[2]
    title = f"{task}: {metric} by {variation.variable}" + (f" ({variation.fixed})" if variation.fixed else "")
    columns, table = _table(variation, members)
    return Chart(
        title=title,
        summary=_summary(variation, rows, confidence),
        x_label=variation.variable,
        y_label=metric,
        x=of_settings(variation.values.values()),
        y=linear(heights),
        lines=lines,
        columns=columns,
        rows=table,
    )


def _table(variation: Variation, members: Mapping[str, Sequence[ComparisonRow]]) -> tuple[list[str], list[list[str]]]:
    """Headings, and a row for each set-up: the number, then mean and interval over seeds in each setting."""
    columns = [variation.variable]
    cells = {system: [f"{value:,.6g}"] for system, value in variation.values.items()}
    for own in members.values():
        columns += [figure_name(own[0]), "over seeds"]
        for row in own:
            cells[row.system] += [number(row, row.value), interval(row, row.seeds_interval)]
    return columns, [cells[system] for system in sorted(cells, key=lambda system: variation.values[system])]


def _summary(variation: Variation, rows: Sequence[ComparisonRow], confidence: float) -> str:
    replicated = sum(row.seeds_interval is not None for row in rows)
    parts = [f"Means over seeds; bars: {percent(confidence)} intervals over seeds" if replicated
             else "One seed each, so no interval over seeds"]  # fmt: skip
    if 0 < replicated < len(rows):
        parts.append("none where there is one seed")
    text = ", ".join(parts) + "."
    if variation.along:
        text += f" Along with it differ: {', '.join(variation.along)}."
    return text
