"""Retrieval quality of every language pair of a task as one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mixlingua.evaluation.results import ResultRow
from mixlingua.files import atomic_write
from mixlingua.languages import language_name
from mixlingua.report.shares import language_shares


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
