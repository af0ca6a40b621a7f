"""What a run prints is printed as it is."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from torch import nn

from mixlingua.cli.configuration import compose
from mixlingua.cli.show import add_note, announce_training, duration, plan_table, say


def test_brackets_of_notes_and_paths_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """As markup, [de] would vanish and [/en] would end the run."""
    table = plan_table("Training")
    add_note(table, "source 'own[de]': 3 rows cut at [/en]")
    Console(width=100).print(table)
    say(f"Results in {'long/' * 30}sweep[seed]/[/0]; report.html shows them")
    printed = capsys.readouterr().out
    assert "source 'own[de]': 3 rows cut at [/en]" in printed
    assert f"Results in {'long/' * 30}sweep[seed]/[/0]; report.html shows them\n" in printed


def test_languages_of_the_data_that_are_not_trained_on_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = compose(["data.languages=[de,en]", "evaluation=[]"])
    sources = {"own": ["am", "de", "he"], "all": ["de", "en"]}
    stores = [SimpleNamespace(name=name, num_rows=60, languages=languages) for name, languages in sources.items()]
    announce_training(cfg, tmp_path, stores, [], None, nn.Linear(2, 2), [], {name: {} for name in sources})
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "own: 60 rows in 1 training languages (de) not in data.languages, so not trained on: am he data all" in printed
    )
    assert printed.count("not trained on") == 1


@pytest.mark.parametrize(
    ("seconds", "text"), [(40.4, "40 s"), (90, "2 min"), (3540, "59 min"), (3600, "1 h 0 min"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
