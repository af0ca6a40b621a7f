"""The table of a sweep, as a terminal of 80 columns shows it."""

from pathlib import Path

from rich.console import Console

from mixlingua.cli.job import JobResult
from mixlingua.cli.launch import sweep_table

METRICS = {f"atlas/{setting}/map": 0.5 for setting in ("monolingual", "crosslingual", "multilingual")}


def test_eighty_columns_show_what_differs_and_every_figure():
    jobs = [
        ([f"sampler={sampler}", "seed=1"], JobResult(Path("run"), METRICS | {"atlas/multilingual/rank_distance": 1231}))
        for sampler in ("monolingual", "crosslingual")
    ]
    console = Console(width=80)
    with console.capture() as captured:
        console.print(sweep_table(jobs))
    text = captured.get()
    assert "sampler=crosslingual" in text and "1,231.0" in text and text.count("0.5000") == 6
    assert "seed=1" not in text  # common to all
    assert "…" not in text
