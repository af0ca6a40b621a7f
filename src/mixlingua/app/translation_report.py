"""What a translation says: its cost before it starts, how far it is, and what became of the texts."""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from mixlingua.app.announce import plan_table
from mixlingua.files import atomic_write
from mixlingua.translation.gate import REASONS, Verdict
from mixlingua.translation.job import Cost, Job
from mixlingua.translation.texts import SourceTexts

log = logging.getLogger(__name__)
_FIRST_BATCHES = 5  # after which the time that is left is told


@dataclass
class LanguageReport:
    """What became of a language's texts. rejected: by reason; ratio: usual characters for one of the source; num_rows:
    rows that have the language in the end."""

    num_texts: int
    rejected: dict[str, int]
    ratio: float | None
    num_rows: int = 0

    @classmethod
    def of(cls, verdicts: Mapping[int, Verdict], ratio: float | None) -> Self:
        """The counts of verdicts, without rows."""
        counts = Counter(verdict.reason for verdict in verdicts.values())
        return cls(len(verdicts), {reason: counts[reason] for reason in REASONS if counts[reason]}, ratio)

    @property
    def accepted(self) -> float:
        """Share of the texts that were accepted."""
        return 1 - sum(self.rejected.values()) / self.num_texts


def announce_translation(cfg: DictConfig, run_dir: Path, job: Job, costs: Mapping[str, Cost]) -> None:
    """Print what will be translated by what, what it takes, and where the results will be."""
    table = plan_table("Translation")
    table.add_row("data", f"{'+'.join(cfg.data.sources)}: {job.sources.num_rows:,} rows")
    if job.sources.num_untranslatable:
        text = f"{job.sources.num_untranslatable:,} rows without '{job.settings.source}' stay as they are"
        table.add_row("", f"[yellow]{text}[/yellow]")
    table.add_row("model", f"{cfg.translator.name_or_path}, {cfg.trainer.accelerator}, {cfg.trainer.precision}")
    if cfg.translator.licence:
        table.add_row("licence", f"{cfg.translator.licence} (of the model)")
    for language, cost in costs.items():
        there = f", {cost.num_done:,} of them there already" if cost.num_done else ""
        table.add_row(
            f"{job.settings.source}->{language}",
            f"{cost.num_texts:,} distinct texts in {cost.num_pieces:,} pieces{there}; to do: {cost.num_tokens:,} "
            f"source tokens, {cost.num_batches:,} batches",
        )
    tokens, batches = (
        sum(numbers) for numbers in zip(*((c.num_tokens, c.num_batches) for c in costs.values()), strict=True)
    )
    table.add_row("in all", f"{tokens:,} source tokens, {batches:,} batches, {job.settings.num_beams} beams")
    if job.settings.gate.min_round_trip is not None:
        table.add_row("and back", "what is accepted is translated back, which about doubles it")
    table.add_row("results", str(run_dir))
    Console().print(table)


class TranslationBar:
    """A progress bar for each direction; after the first batches, the time that all may take is told once.

    It takes each source token to last as long as those so far, and a way back as long as the way there.
    """

    def __init__(self, num_tokens: int, clock: Callable[[], float] = time.monotonic) -> None:
        """num_tokens: source tokens of all directions."""
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, TimeRemainingColumn())
        self._tasks: dict[str, TaskID] = {}
        self._num_tokens = num_tokens
        self._clock = clock
        self._started = clock()
        self._batches = 0
        self._done = self._stage_done = 0  # tokens, in all and of the stage

    def __enter__(self) -> Self:
        self._bar.start()
        self._started = self._clock()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of a stage's tokens are translated."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total)
            self._stage_done = 0
        self._bar.update(self._tasks[stage], completed=done)
        self._batches += 1
        self._done += done - self._stage_done
        self._stage_done = done
        if self._batches == _FIRST_BATCHES:
            left = (self._clock() - self._started) / self._done * (self._num_tokens - self._done)
            log.info("After %d batches: about %s to go.", _FIRST_BATCHES, duration(left))


def duration(seconds: float) -> str:
    """Such as "2 h 5 min", "3 min" or "40 s"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def show_translation(
    cfg: DictConfig, run_dir: Path, sources: SourceTexts, reports: Mapping[str, LanguageReport]
) -> None:
    """Write RUN/translation.json and print the table of what was accepted and what was rejected for which reason."""
    content = {
        "translator": cfg.translator.name_or_path,
        "revision": cfg.translator.revision,
        "licence": cfg.translator.licence,
        "source": cfg.translation.source,
        "num_rows": sources.num_rows,
        "languages": {language: asdict(report) for language, report in reports.items()},
    }
    with atomic_write(run_dir / "translation.json") as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    met = [reason for reason in REASONS if any(reason in report.rejected for report in reports.values())]
    title = f"{sources.num_rows:,} rows, translated from {cfg.translation.source}"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
    for name in ("language", "texts", "accepted", *met, "ratio", "rows"):
        table.add_column(name, justify="left" if name == "language" else "right", overflow="fold")
    for language, report in reports.items():
        counts = (f"{report.rejected.get(reason, 0):,}" for reason in met)
        ratio = "" if report.ratio is None else f"{report.ratio:.2f}"
        share = f"{100 * report.accepted:.1f} %"
        table.add_row(language, f"{report.num_texts:,}", share, *counts, ratio, f"{report.num_rows:,}")
    console = Console()
    console.print(table)
    files = ", ".join(f"{name}.jsonl.gz" for name in cfg.data.sources)
    console.print(f"Rows in {run_dir / 'pairs'} ({files}); read them with data=jsonl", soft_wrap=True, highlight=False)
    if met:
        console.print(f"Rejected texts in {run_dir / 'rejected'}", soft_wrap=True, highlight=False)
