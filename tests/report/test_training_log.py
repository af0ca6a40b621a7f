"""The training curve, from the CSV file that Lightning's logger writes."""

from pathlib import Path

import pytest

from mixlingua.report.run_page import read_training_log

LINES = """\
batches/crosslingual,batches/monolingual,epoch,sources/atlas,step,train/loss,train/loss_crosslingual,train/loss_monolingual,train/monolingual,validation/loss,xquad_r/crosslingual/map
,,,,0,,,,,,0.5
1.0,,,1.0,1,,,,,,
,,0,,0,2.0,2.0,,0.0,,
0.5,0.5,,1.0,2,,,,,,
,,0,,1,0.5,2.0,0.5,1.0,,
,,0,,1,,,,,1.25,
0.667,0.333,,1.0,3,,,,,,
,,0,,2,1.0,1.0,0.5,0.0,,
,,0,,3,0.9,1.1,0.7,0.5,,
"""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "metrics.csv").write_text(LINES)
    return tmp_path


def test_a_loss_belongs_to_the_kind_of_its_step(run_dir: Path) -> None:
    """Lightning repeats the latest loss of each kind in every row: a repetition is no measurement.

    A step of several batches, here the fourth, may have both kinds.
    """
    log = read_training_log(run_dir)
    assert log is not None
    assert log.losses == {"crosslingual": [(1, 2.0), (3, 1.0), (4, 1.1)], "monolingual": [(2, 0.5), (4, 0.7)]}
    assert log.validation == [(2, 1.25)]


def test_the_last_shares_count(run_dir: Path) -> None:
    log = read_training_log(run_dir)
    assert log is not None
    assert log.batches == {"crosslingual": 0.667, "monolingual": 0.333}
    assert log.sources == {"atlas": 1.0}


def test_no_log_is_no_curve(tmp_path: Path, run_dir: Path) -> None:
    assert read_training_log(tmp_path / "other") is None
    (run_dir / "csv" / "metrics.csv").write_text("step,xquad_r/crosslingual/map\n0,0.5\n")
    assert read_training_log(run_dir) is None
