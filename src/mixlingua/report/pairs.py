"""Matrices of language pairs: read from results, as coloured HTML tables, as PNG files, and for loggers."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from mixlingua.evaluation.metrics import Floats
from mixlingua.evaluation.results import ResultRow, share_language
from mixlingua.languages import language_name
from mixlingua.report.figures import save_png
from mixlingua.report.page import plain_name

Pair = tuple[str, str]  # query language, passage language


def pair_values(rows: Iterable[ResultRow], task: str, metric: str) -> dict[Pair, float]:
    """A metric by language pair, in the pools of one language."""
    return {
        (row.query_language, row.passage_language): row.value
        for row in rows
        if row.task == task and row.metric == metric and row.setting in ("monolingual", "crosslingual")
    }


def square(values: Mapping[Pair, float]) -> tuple[list[str], Floats]:
    """All languages (L), and the (L, L) values: queries in rows, passages in columns; nan where there is none."""
    languages = sorted({language for pair in values for language in pair})
    matrix = np.full((len(languages), len(languages)), np.nan)
    for (query, passage), value in values.items():
        matrix[languages.index(query), languages.index(passage)] = value
    return languages, matrix


def language_shares(rows: Iterable[ResultRow], task: str) -> dict[Pair, float]:
    """(query language, language) -> its share of the first ten passages, in the multilingual setting."""
    multilingual = (row for row in rows if (row.task, row.setting) == (task, "multilingual"))
    named = ((row, share_language(row.metric)) for row in multilingual)
    return {(row.query_language, language): row.value for row, language in named if language is not None}


# The colours of templates/style.css in its light scheme: of values, and of differences with a neutral middle.
VALUE_COLOURS = ("#eff7fd", "#cfe3f3", "#afcde8", "#90b7dd", "#73a1d2", "#5b8dca", "#3c70b7", "#2c59a0", "#1f438a")
DIFFERENCE_COLOURS = (
    "#9e4502", "#c47b49", "#d49c6f", "#e2bc99", "#efdac4", "#f7f5f3", "#cde3f5", "#a4c7e8", "#7ea8d8", "#5e8bc8",
    "#2b569d",
)  # fmt: skip
VALUE_STEPS, DIFFERENCE_STEPS = len(VALUE_COLOURS), len(DIFFERENCE_COLOURS)
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
    low, high = _tenths(values.values())
    cells = {
        pair: (_short(f"{value:.3f}"), f"v{round((value - low) / (high - low) * (VALUE_STEPS - 1))}")
        for pair, value in values.items()
    }
    styles = [f"v{step}" for step in range(VALUE_STEPS)]
    return _grid(title, cells, zero_shot, styles, f"{low:.1f}", f"{high:.1f}")


def _tenths(values: Collection[float]) -> tuple[float, float]:
    """The tenth below the lowest value and the tenth above the highest; never the same."""
    low = math.floor(10 * min(values) + 1e-9) / 10
    return low, max(math.ceil(10 * max(values) - 1e-9) / 10, low + 0.1)


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

    rows, columns, pairs = _layout(cells)
    filled = [[GridCell(*cells[pair], pair[0] == pair[1]) if pair in cells else None for pair in row] for row in pairs]
    shown = [head(column) if len(column) == 2 else Head(column, "") for column in columns]
    return Grid(title, [head(language) for language in rows], shown, filled, styles, low, high)


def _layout(pairs: Collection[Pair]) -> tuple[list[str], list[str], list[list[Pair]]]:
    """Languages of rows, headings of columns, and the pair in each cell.

    A row for each query language and a column for each passage language; where that would leave most cells empty, one
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


def save_heatmap(
    path: Path, task: str, metric: str, before: Sequence[ResultRow] | None, after: Sequence[ResultRow]
) -> None:
    """Write a metric of every query and passage language to a PNG; with `before`, the change beside it."""
    values, old = pair_values(after, task, metric), pair_values(before or (), task, metric)
    figure, axes = _matrix_figure(values, 2 if old.keys() == values.keys() else 1)
    low, high = _tenths(values.values())
    _matrix(axes[0], values, f"{task}: {plain_name(metric)}", VALUE_COLOURS, Normalize(low, high), ".2f")
    if len(axes) == 2:
        change = {pair: value - old[pair] for pair, value in values.items()}
        limit = max(_LEAST_LIMIT, *(abs(value) for value in change.values()))
        _matrix(axes[1], change, "change by training", DIFFERENCE_COLOURS, Normalize(-limit, limit), "+.2f")
    save_png(figure, path, 100)


def save_share_heatmap(path: Path, task: str, shares: Mapping[Pair, float]) -> None:
    """Write the share of each language (column) among the first ten passages, by query language (row), to a PNG.

    shares: those of `language_shares`.
    """
    figure, axes = _matrix_figure(shares, 1)
    norm = Normalize(0.0, max(shares.values()))
    _matrix(axes[0], shares, f"{task}: share of the top 10", VALUE_COLOURS, norm, ".2f")
    save_png(figure, path, 100)


def _matrix_figure(pairs: Collection[Pair], panels: int) -> tuple[Figure, Sequence[Axes]]:
    rows, columns, _ = _layout(pairs)
    width, height = (0.48 * max(len(headings), 5) for headings in (columns, rows))
    figure = Figure(figsize=(panels * (width + 3.0), height + 1.1), layout="constrained")
    return figure, figure.subplots(1, panels, squeeze=False)[0]


def _matrix(
    axes: Axes, values: Mapping[Pair, float], title: str, colours: Sequence[str], norm: Normalize, form: str
) -> None:
    rows, columns, pairs = _layout(values)
    matrix = np.array([[values.get(pair, np.nan) for pair in row] for row in pairs])
    image = axes.imshow(matrix, cmap=LinearSegmentedColormap.from_list("style", colours), norm=norm)
    axes.set_title(title, fontsize=12, loc="left")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), [f"{language_name(code)}  {code}" for code in rows])
    axes.set_xlabel("passages in")
    axes.set_ylabel("queries in")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.figure.colorbar(image, ax=axes, fraction=0.046, pad=0.02).outline.set_visible(False)
    for (row, column), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            red, green, blue, _ = image.cmap(norm(value))
            dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.45
            text = _short(format(value, form)) if round(value, 2) else "0"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")


@runtime_checkable
class ShowsPairs(Protocol):
    """A logger that shows a table and a picture."""

    def log_pairs(self, name: str, columns: Sequence[str], cells: Sequence[Sequence[object]], image: Path) -> None: ...


def log_pairs(
    loggers: Iterable[object], rows: Sequence[ResultRow], main_metrics: Mapping[str, str], heatmaps: Mapping[str, Path]
) -> None:
    """Give each task's main metric by language pair, as table and picture, to the loggers that show them.

    heatmaps: task -> its PNG file.
    """
    shown = [logger for logger in loggers if isinstance(logger, ShowsPairs)]
    for task, image in heatmaps.items() if shown else ():
        metric = main_metrics[task]
        languages, matrix = square(pair_values(rows, task, metric))
        cells = [[language, *map(float, values)] for language, values in zip(languages, matrix, strict=True)]
        for logger in shown:
            logger.log_pairs(f"{task}/{metric}_by_pair", ["query", *languages], cells, image)
