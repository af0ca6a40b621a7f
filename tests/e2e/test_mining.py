"""action=mine from the command line, and training on what it leaves."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mixlingua.cli.names import check_command_line
from mixlingua.cli.run_record import read_status

Launch = Callable[..., int]
REPOSITORY = Path(__file__).resolve().parents[2]
MINE = ("action=mine", "mining.top_k=12", "mining.num_negatives=4", "mining.margin=null")


def rows(run: Path) -> list[dict]:
    with gzip.open(run / "mined" / "jsonl.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_mined_files_are_trained_on(
    launch: Launch, tmp_path: Path, own_cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert launch(*MINE, "hydra.run.dir=mine") == 0
    shown = " ".join(capfd.readouterr().out.split())
    assert "4 of the first 12 passages in the query's language" in shown
    assert "data=mined data.num_negatives=4" in shown
    assert read_status(tmp_path / "mine")["metrics"] == {"rows": 60, "left_out": 0}
    summary = json.loads((tmp_path / "mine" / "mining.json").read_text())
    assert list(summary["sources"]["jsonl"]) == ["de", "en", "fr"]
    assert summary["sources"]["jsonl"]["de"]["negative_languages"] == {"de": 1.0}
    assert summary["provenance"]["mining"]["top_k"] == 12
    vectors = own_cache / "vectors"
    assert not vectors.exists() or not [path for path in vectors.iterdir() if path.is_dir()], "removed once searched"

    assert launch(*MINE, "hydra.run.dir=again") == 0
    mined = Path("mined", "jsonl.jsonl.gz")
    assert (tmp_path / "again" / mined).read_bytes() == (tmp_path / "mine" / mined).read_bytes()

    trained = [f"data.sources.jsonl.path={tmp_path / 'mine' / mined}", "evaluation=[]"]
    assert launch(*trained, "data.num_negatives=4", "trainer.max_steps=2", "hydra.run.dir=train") == 0
    assert launch(*trained, "data.num_negatives=5", "hydra.run.dir=too_many") == 2
    assert "rows with 4 negatives" in capfd.readouterr().err

    choice = tmp_path / "mine" / "mined"
    check_command_line(["--config-dir", str(choice), "data=mined", "data.num_negatives=4"])
    sources = OmegaConf.load(choice / "data" / "mined.yaml").sources
    assert [(name, len(list(instantiate(reader).rows()))) for name, reader in sources.items()] == [("jsonl", 60)]


def test_across_languages_the_language_of_each_negative_is_known(
    launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bf16 = "evaluation.precision=bf16-mixed"
    assert launch(*MINE, "mining.across_languages=true", bf16, "hydra.run.dir=mine") == 0
    summary = json.loads((tmp_path / "mine" / "mining.json").read_text())
    assert summary["provenance"]["precision"] == "bf16-mixed", "of encoding; nothing is trained"
    assert "Languages of the negatives" in capfd.readouterr().out
    passages = {text: language for row in rows(tmp_path / "mine") for language, text in row["passages"].items()}
    seen = set()
    for row in rows(tmp_path / "mine"):
        for language, negatives in row["negatives"].items():
            assert [passages[text] for text in negatives] == row["mined"][language]["languages"]
            assert not {*negatives} & {*row["passages"].values()}
            seen |= {(language, passages[text]) for text in negatives}
    assert {"de", "en", "fr"} == {negative for _, negative in seen}


def test_nothing_that_looks_whole_is_left_where_nothing_is_found(
    launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert launch(*MINE, "mining.margin=2", "hydra.run.dir=mine") == 2
    assert "no query has mining.num_negatives=4 negatives" in capfd.readouterr().err
    assert read_status(tmp_path / "mine")["state"] == "failed"
    assert not (tmp_path / "mine" / "mining.json").exists()
    assert not list((tmp_path / "mine").rglob("*.gz"))
