"""What a finished run shows: the table, the heatmaps, the page, and where its files are."""

from datetime import datetime
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from rich.console import Console

from mixlingua.app.status import read_status
from mixlingua.evaluation.results import ResultRow
from mixlingua.evaluation.run_folder import read_results
from mixlingua.evaluation.settings import ALL_LANGUAGES
from mixlingua.report.group_table import group_table
from mixlingua.report.heatmap import save_heatmap, save_share_heatmap
from mixlingua.report.pairs import log_pairs
from mixlingua.report.run_page import write_run_page
from mixlingua.report.shares import language_shares
from mixlingua.report.tables import before_after_table


def show_outcome(run_dir: Path, loggers: list[Logger], seen_languages: list[str] | None) -> dict[str, float]:
    """Read the run folder's results, write its heatmaps and page, give the pairs to the loggers and print the table.

    seen_languages: the languages trained on, shown apart from the others; None: no training, all shown together.
    Returns the main figures of each task by their keys in metrics.json.
    """
    after = read_results(run_dir)
    before = read_results(run_dir, "before").rows if (run_dir / "metrics_before.json").exists() else None
    heatmaps = _save_heatmaps(run_dir, before, after.rows)
    log_pairs(loggers, after.rows, heatmaps)
    page = write_run_page(run_dir, _times(read_status(run_dir)))
    main_metrics = {task: about["main_metric"] for task, about in after.provenance["tasks"].items()}
    console = Console()
    if after.rows:
        seen = seen_languages or sorted({row.query_language for row in after.rows})
        console.print(before_after_table(before, after.rows, seen, after.average))
        if groups := group_table(before, after.rows, main_metrics, after.average):
            console.print("", groups)
        if pretraining := after.provenance["pretraining"]:
            console.print(f"Pretrained weights: {pretraining}.", style="dim")
    console.print(f"Results in {run_dir}; {page.name} shows them", soft_wrap=True, highlight=False)
    return {
        key: value
        for key, value in after.aggregate().items()
        if (parts := key.split("/"))[2] in (main_metrics[parts[0]], "rank_distance")
    }


def _save_heatmaps(run_dir: Path, before: list[ResultRow] | None, after: list[ResultRow]) -> dict[str, Path]:
    """Where the mAP of language pairs is, by task; a task that has none may have shares of languages all the same."""
    pairs = (row for row in after if row.metric == "map" and row.passage_language != ALL_LANGUAGES)
    heatmaps = {task: run_dir / f"heatmap_{task}.png" for task in dict.fromkeys(row.task for row in pairs)}
    for task, path in heatmaps.items():
        save_heatmap(path, task, before, after)
    for task in dict.fromkeys(row.task for row in after):
        if language_shares(after, task):
            save_share_heatmap(run_dir / f"languages_{task}.png", task, after)
    return heatmaps


def _times(status: dict[str, Any]) -> list[tuple[str, str]]:
    """When the run started, and how long it took until now."""
    if "started" not in status:
        return []
    started = datetime.fromisoformat(status["started"])
    minutes, seconds = divmod(round((datetime.now().astimezone() - started).total_seconds()), 60)
    return [("Started", f"{started:%Y-%m-%d %H:%M %Z}"), ("Time until this page", f"{minutes} min {seconds} s")]
