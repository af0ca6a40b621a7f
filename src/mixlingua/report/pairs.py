"""Every language pair's result for the loggers that can show more than scalars."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from mixlingua.evaluation.results import ResultRow
from mixlingua.report.heatmap import pair_matrix


@runtime_checkable
class ShowsPairs(Protocol):
    """A logger that shows a table and a picture."""

    def log_pairs(self, name: str, columns: Sequence[str], cells: Sequence[Sequence[object]], image: Path) -> None: ...


def log_pairs(loggers: Iterable[object], rows: Sequence[ResultRow], heatmaps: dict[str, Path]) -> None:
    """Give each task's mAP by language pair, as table and picture, to the loggers that show them.

    heatmaps: task -> its PNG file.
    """
    shown = [logger for logger in loggers if isinstance(logger, ShowsPairs)]
    for task, image in heatmaps.items() if shown else ():
        languages, matrix = pair_matrix(rows, task, "map")
        cells = [[language, *map(float, values)] for language, values in zip(languages, matrix, strict=True)]
        for logger in shown:
            logger.log_pairs(f"{task}/map_by_pair", ["query", *languages], cells, image)
