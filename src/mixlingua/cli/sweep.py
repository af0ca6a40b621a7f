"""What a sweep shows at its end: one line for each job."""

import sys
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mixlingua.cli.job import JobResult


class SweepTable(Callback):
    """Hydra callback: collects the jobs of a sweep, prints their table and exits with 1 if a job failed."""

    def __init__(self) -> None:
        self.jobs: list[tuple[list[str], JobResult]] = []

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Keep the result of a job; run_job returns one for failed jobs too."""
        if job_return.status == JobStatus.COMPLETED:
            self.jobs.append((list(job_return.overrides or []), job_return.return_value))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the table."""
        Console().print(sweep_table(self.jobs))
        Console().print(f"Runs in {config.hydra.sweep.dir}", highlight=False, soft_wrap=True)
        if any(result.error for _, result in self.jobs):
            sys.exit(1)


def sweep_table(jobs: list[tuple[list[str], JobResult]]) -> Table:
    """One line for each job: the overrides in which jobs differ, state and the figures that the actions returned."""
    common = set.intersection(*(set(overrides) for overrides, _ in jobs)) if len(jobs) > 1 else set()
    names = list(dict.fromkeys(name for _, result in jobs for name in result.metrics))
    table = Table(title="Sweep", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("job", justify="right")
    table.add_column("overrides", no_wrap=True)
    table.add_column("state")
    for name in names:
        table.add_column(_heading(name), justify="right")
    for number, (overrides, result) in enumerate(jobs):
        state = "[red]failed" if result.error else "finished"
        different = "\n".join(override for override in overrides if override not in common)
        table.add_row(str(number), different, state, *(_figure(result.metrics.get(name)) for name in names))
    return table


def _heading(name: str) -> str:
    """A metric's key on several lines, so that a terminal of 80 columns shows all of it."""
    return name.replace("/", "\n").replace("lingual", "-\nlingual").replace("_", "_\n")


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
