"""How long a translation will take, and the counts of what became of it."""

import logging

import pytest

from mixlingua.cli.translate import TranslationBar
from mixlingua.translation.gate import Verdict
from mixlingua.translation.output import LanguageReport


def test_the_time_to_go_is_told_once_after_five_batches_over_all_stages(caplog: pytest.LogCaptureFixture) -> None:
    """350 tokens of 2,000 took 70 seconds: the other 1,650 take 330."""
    seconds = iter([0.0, 100.0, 170.0])
    caplog.set_level(logging.INFO)
    with TranslationBar(2000, clock=lambda: next(seconds)) as bar:
        for done in (100, 200, 300):
            bar("en->de", done, 300)
        for done in (20, 50, 90, 130):
            bar("en->ru", done, 1000)
    assert [record.getMessage() for record in caplog.records] == ["After 5 batches: about 6 min to go."]


def test_counts_are_by_reason() -> None:
    verdicts = {0: Verdict("a"), 1: Verdict("", "empty"), 2: Verdict("b", "loop", 4), 3: Verdict("c", "loop", 9)}
    report = LanguageReport.of(verdicts, 1.2)
    assert (report.num_texts, report.rejected, report.accepted) == (4, {"empty": 1, "loop": 2}, 0.25)
