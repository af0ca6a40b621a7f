"""What a run prints is printed as it is."""

import pytest
from rich.console import Console

from mixlingua.cli.show import add_note, duration, plan_table, say


def test_brackets_of_notes_and_paths_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """As markup, [de] would vanish and [/en] would end the run."""
    table = plan_table("Training")
    add_note(table, "source 'own[de]': 3 rows cut at [/en]")
    Console(width=100).print(table)
    say(f"Results in {'long/' * 30}sweep[seed]/[/0]; report.html shows them")
    printed = capsys.readouterr().out
    assert "source 'own[de]': 3 rows cut at [/en]" in printed
    assert f"Results in {'long/' * 30}sweep[seed]/[/0]; report.html shows them\n" in printed


@pytest.mark.parametrize(
    ("seconds", "text"), [(40.4, "40 s"), (90, "2 min"), (3540, "59 min"), (3600, "1 h 0 min"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
