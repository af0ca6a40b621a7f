"""Matrices of language pairs: read from results, drawn with queries in rows and passages in columns."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mixlingua.evaluation.results import ResultRow, share_language
from mixlingua.languages import language_name
from mixlingua.report.figures import COLOURS, STYLE, Picture, save_png
from mixlingua.report.plain_table import PlainTable, plain_name

Pair = tuple[str, str]  # query language, passage language

VALUE_COLOURS, DIFFERENCE_COLOURS = (
    tuple(COLOURS[f"{letter}{step}"] for step in range(steps)) for letter, steps in (("v", 9), ("d", 11))
)
DEEP = frozenset(COLOURS[name] for name in ("v5", "v6", "v7", "v8", "d0", "d1", "d9", "d10"))  # text on them is light
_LEAST_LIMIT = 0.05  # of a scale of differences: noise should not look like a result
_CELL = (44, 26)  # CSS pixels


def pair_values(rows: Iterable[ResultRow], task: str, metric: str) -> dict[Pair, float]:
    """A metric by language pair, in the pools of one language."""
    return {
        (row.query_language, row.passage_language): row.value
        for row in rows
        if row.task == task and row.metric == metric and row.setting in ("monolingual", "crosslingual")
    }


def language_shares(rows: Iterable[ResultRow], task: str) -> dict[Pair, float]:
    """(query language, language) -> its share of the first ten passages, in the multilingual setting."""
    multilingual = (row for row in rows if (row.task, row.setting) == (task, "multilingual"))
    named = ((row, share_language(row.metric)) for row in multilingual)
    return {(row.query_language, language): row.value for row, language in named if language is not None}


@dataclass(frozen=True)
class Matrix:
    """Values by pair as they are shown. low, high: what the ends of the colours mean. texts: of the cells.

    rows: language codes; columns: their headings; pairs: the pair in each cell, which may have no value.
    """

    title: str
    values: Mapping[Pair, float]
    texts: Mapping[Pair, str]
    colours: Sequence[str]
    low: float
    high: float
    zero_shot: Collection[str]
    rows: Sequence[str]
    columns: Sequence[str]
    pairs: Sequence[Sequence[Pair]]

    @property
    def row_headings(self) -> list[str]:
        """Such as "German  de"; a ring marks languages never trained on."""
        return [f"{language_name(code)}  {self._marked(code)}" for code in self.rows]

    @property
    def column_headings(self) -> list[str]:
        """Such as "de", or what a column holds instead of a language."""
        return [self._marked(heading) for heading in self.columns]

    def _marked(self, code: str) -> str:
        return code + ("°" if code in self.zero_shot else "")

    def colour(self, pair: Pair) -> str:
        """That of a cell."""
        share = (self.values[pair] - self.low) / (self.high - self.low)
        return self.colours[round(share * (len(self.colours) - 1))]

    @property
    def by_language(self) -> bool:
        """Whether rows are the queries' languages and columns the passages'."""
        return self.pairs[0][0] == (self.rows[0], self.columns[0])

    @property
    def picture(self) -> Picture:
        """For a page, with the same values as a table."""
        lowest, highest = (end(self.values, key=self.values.__getitem__) for end in (min, max))
        ends = (f"{self.texts[pair]} ({pair[0]}->{pair[1]})" for pair in (lowest, highest))
        cells = [[self.texts.get(pair, "") for pair in row] for row in self.pairs]
        lines = [[heading, *texts] for heading, texts in zip(self.row_headings, cells, strict=True)]
        table = PlainTable("pairs", self.title, ["", *self.column_headings], lines, labels=1)
        summary = f"From {' to '.join(ends)}."
        if len(self.columns) == 2 and not self.by_language:
            summary += " Arrows lead from the queries' language to the passages', of which the row names the other one."
        return Picture(self.title, summary, matrix_figure([self]), table)


def value_matrix(title: str, values: Mapping[Pair, float], zero_shot: Collection[str] = ()) -> Matrix:
    """Values from 0 to 1; colours from the tenth below the lowest to the tenth above the highest, never above 1."""
    low = min(math.floor(10 * min(values.values()) + 1e-9), 9) / 10
    high = max(math.ceil(10 * max(values.values()) - 1e-9) / 10, low + 0.1)
    texts = {pair: f"{value:.3f}".removeprefix("0") for pair, value in values.items()}
    return Matrix(title, values, texts, VALUE_COLOURS, low, high, zero_shot, *_layout(values))


def difference_matrix(
    title: str,
    values: Mapping[Pair, float],
    zero_shot: Collection[str] = (),
    marked: Collection[Pair] = (),
    largest: float = 0.0,
) -> Matrix:
    """Differences, coloured alike on both sides of 0.

    marked: pairs that get a star. largest: of the differences in other matrices that should have the same colours.
    """
    limit = max(_LEAST_LIMIT, largest, *map(abs, values.values()))
    texts = {}
    for pair, value in values.items():
        text = f"{value:+.3f}".replace("0.", ".", 1) if round(value, 3) else "0"
        texts[pair] = text + ("*" if pair in marked else "")
    return Matrix(title, values, texts, DIFFERENCE_COLOURS, -limit, limit, zero_shot, *_layout(values))


def share_matrix(task: str, shares: Mapping[Pair, float], zero_shot: Collection[str] = ()) -> Matrix:
    """The share of each language (column) among the first ten passages, by query language (row)."""
    return value_matrix(f"{task}: languages of the first ten passages", shares, zero_shot)


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
    others = sorted(code for code in {*queries, *passages} if code != hub or (hub, hub) in pairs)
    return others, [f"→ {hub}", f"{hub} →"], [[(other, hub), (hub, other)] for other in others]


def matrix_figure(matrices: Sequence[Matrix], *, titled: bool = False) -> Figure:
    """Matrices side by side. titled: with what a page says beside them."""
    columns, rows = (
        max(map(len, headings), default=1)
        for headings in ([each.columns for each in matrices], [each.rows for each in matrices])
    )
    width = len(matrices) * (_CELL[0] * max(columns, 5) + 210)
    with rc_context(STYLE):
        figure = Figure(figsize=(width / 72, (_CELL[1] * rows + (110 if titled else 60)) / 72), layout="constrained")
        for axes, matrix in zip(figure.subplots(1, len(matrices), squeeze=False)[0], matrices, strict=True):
            _draw(axes, matrix)
            if titled:
                axes.set_title(matrix.title)
                if matrix.by_language:
                    axes.set_ylabel("queries in")
                    axes.set_xlabel("passages in")
                    axes.xaxis.set_label_position("top")
    return figure


def _draw(axes: Axes, matrix: Matrix) -> None:
    for row, pairs in enumerate(matrix.pairs):
        for column, pair in enumerate(pairs):
            if pair in matrix.values:
                colour = matrix.colour(pair)
                ink = COLOURS["on-deep" if colour in DEEP else "ink"]
                axes.add_patch(Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, facecolor=colour))
                if pair[0] == pair[1]:
                    axes.add_patch(Rectangle((column - 0.43, row - 0.38), 0.86, 0.76, fill=False, edgecolor=ink))
                axes.text(column, row, matrix.texts[pair].replace("-", "\N{MINUS SIGN}"), ha="center",
                          va="center_baseline", fontsize=12, color=ink)  # fmt: skip
    axes.set_xlim(-0.5, len(matrix.columns) - 0.5)
    axes.set_ylim(len(matrix.rows) - 0.5, -0.5)
    axes.set_xticks(range(len(matrix.columns)), matrix.column_headings)
    axes.set_yticks(range(len(matrix.rows)), matrix.row_headings)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    colours = ScalarMappable(Normalize(matrix.low, matrix.high), ListedColormap(list(matrix.colours)))
    bar = axes.figure.colorbar(colours, ax=axes, fraction=0.03, pad=0.02, aspect=30)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)


def save_heatmap(
    path: Path, task: str, metric: str, before: Sequence[ResultRow] | None, after: Sequence[ResultRow]
) -> None:
    """Write a metric of every query and passage language to a PNG; with `before`, the change beside it."""
    values, old = pair_values(after, task, metric), pair_values(before or (), task, metric)
    matrices = [value_matrix(f"{task}: {plain_name(metric)}", values)]
    if old.keys() == values.keys():
        change = {pair: value - old[pair] for pair, value in values.items()}
        matrices.append(difference_matrix("change by training", change))
    save_png(matrix_figure(matrices, titled=True), path)


def save_share_heatmap(path: Path, task: str, shares: Mapping[Pair, float]) -> None:
    """Write the share of each language (column) among the first ten passages, by query language (row), to a PNG."""
    save_png(matrix_figure([share_matrix(task, shares)], titled=True), path)
