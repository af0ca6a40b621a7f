"""What loggers show of a run's end beside its scalars: pairs of languages, worst queries, pictures and files."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from mixlingua.evaluation.results import ResultRow
from mixlingua.evaluation.run_folder import read_worst_queries
from mixlingua.report.pairs import pair_values

WORST_QUERIES, REPORT = "worst_queries", "report"  # names that every run logs
BY_PAIR, LANGUAGES = "_by_pair", "_languages"  # ends of names: of a task's main metric, and of a task
_WORST_COLUMNS = (
    "task", "setting", "metric", "value", "query language", "query", "first language", "first passage", "first score",
    "relevant language", "relevant passage", "relevant rank", "pool size",
)  # fmt: skip


@runtime_checkable
class ShowsOutcome(Protocol):
    """A logger that shows tables, pictures and files; names may hold slashes."""

    def show_table(self, name: str, columns: Sequence[str], cells: Sequence[Sequence[object]]) -> None:
        """A table, whose cells are texts and numbers."""

    def show_picture(self, name: str, image: Path) -> None:
        """A PNG file."""

    def show_files(self, run_dir: Path) -> None:
        """What else the finished run folder holds, such as report.html."""


def log_outcome(
    loggers: Iterable[object], run_dir: Path, rows: Sequence[ResultRow], main_metrics: Mapping[str, str]
) -> None:
    """Give what a finished run folder holds to the loggers that show it.

    Of each task, its main metric by language pair as a table, with a row for each query language (nan where a pair has
    no value), and as the picture heatmap_TASK.png; languages_TASK.png; the worst queries with the texts that explain
    them. rows: of the run. main_metrics: by task.
    """
    for logger in loggers:
        if not isinstance(logger, ShowsOutcome):
            continue
        for task, metric in main_metrics.items():
            if values := pair_values(rows, task, metric):
                languages = sorted({language for pair in values for language in pair})
                cells = [
                    [query, *(values.get((query, passage), np.nan) for passage in languages)] for query in languages
                ]
                logger.show_table(f"{task}/{metric}{BY_PAIR}", ["query", *languages], cells)
            for name, file in (
                (f"{metric}{BY_PAIR}_heatmap", f"heatmap_{task}.png"),
                (LANGUAGES.removeprefix("_"), f"languages_{task}.png"),
            ):
                if (image := run_dir / file).exists():
                    logger.show_picture(f"{task}/{name}", image)
        if worst := _worst(run_dir):
            logger.show_table(WORST_QUERIES, _WORST_COLUMNS, worst)
        logger.show_files(run_dir)


def _worst(run_dir: Path) -> list[list[object]]:
    return [
        [query.task, query.setting, query.metric, query.value, query.query_language, query.query, query.first.language,
         query.first.text, query.first.score, query.relevant.language, query.relevant.text, query.relevant.rank,
         query.pool_size]
        for query in read_worst_queries(run_dir)
    ]  # fmt: skip
