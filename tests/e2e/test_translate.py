"""action=translate from the command line to rows that train."""

import gzip
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "translation"))
import fakes

FAKES = Path(fakes.__file__).parent
Launch = Callable[..., int]
TRANSLATE = (
    "action=translate", "translator=folder", "translator._target_=fakes.LetterModel", "translator.name_or_path=letters",
    "translation.languages=[de,ru]",
)  # fmt: skip
FAILING = ["NOTHING", "STUCK", "UNENDING", "SAME", "WRONG", "GONE"]


@pytest.fixture
def english(data: Path) -> Path:
    """60 rows in English alone, two to a passage; six of their questions make the translator fail."""
    rows = [json.loads(line) for line in (data / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    passages = [row["passages"]["en"] for row in rows]
    for number, row in enumerate(rows):
        row |= {"queries": {"en": row["queries"]["en"]}, "passages": {"en": passages[number // 2]}}
        row["passage_id"] = f"p{number // 2}"
        if number < len(FAILING):
            row["queries"]["en"] = f"{FAILING[number]} of the old houses in that valley was it {number}?"
    path = data / "english.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lines(file: Path) -> list[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as opened:
        return [json.loads(line) for line in opened]


@pytest.fixture
def translate(launch: Launch, english: Path) -> Launch:
    def run(*more: str) -> int:
        fakes.LOADED.clear()
        return launch(*TRANSLATE, f"data.sources.jsonl.path={english}", *more)

    return run


def test_rows_in_english_become_parallel_rows_that_train(
    translate: Launch, launch: Launch, tmp_path: Path, english: Path, capfd: pytest.CaptureFixture
) -> None:
    assert translate("hydra.run.dir=made") == 0
    run = tmp_path / "made"
    output = capfd.readouterr().out
    assert "90 distinct texts in 90 pieces; to do:" in " ".join(output.split())
    assert "en->ru" in output
    rows = lines(run / "pairs" / "jsonl.jsonl.gz")
    original = [json.loads(line) for line in english.read_text().splitlines()]
    assert [(row["id"], row["passage_id"], row["queries"]["en"]) for row in rows] == [
        (row["id"], row["passage_id"], row["queries"]["en"]) for row in original
    ]
    assert [sorted(row["queries"]) for row in rows] == [["en"]] * 6 + [["de", "en", "ru"]] * 54
    assert all(row["queries"].keys() == row["passages"].keys() for row in rows)
    assert rows[6]["queries"]["de"] == rows[6]["queries"]["en"].translate(
        str.maketrans(fakes.ALPHABETS["en"], fakes.ALPHABETS["de"])
    )
    (translator,) = fakes.LOADED
    assert len(translator.called) == len(set(translator.called)) == 2 * 90

    rejected = {code: lines(run / "rejected" / f"{code}.jsonl.gz") for code in ("de", "ru")}
    reasons = ["empty", "loop", "cut_off", "copied", "script", "length"]
    assert [line["reason"] for line in rejected["de"]] == reasons
    assert [line["source"].split()[0] for line in rejected["ru"]] == FAILING
    counts = json.loads((run / "translation.json").read_text())["languages"]["de"]
    assert counts == {"num_texts": 90, "rejected": dict.fromkeys(counts["rejected"], 1), "ratio": 1.0, "num_rows": 54}
    assert sorted(counts["rejected"]) == sorted(reasons)
    status = json.loads((run / "status.json").read_text())
    assert status["metrics"]["translation/de/accepted"] == pytest.approx(84 / 90)

    trained = f"data.sources.jsonl.path={run / 'pairs' / 'jsonl.jsonl.gz'}"
    short = ["evaluation=[]", "data.languages=[de,en,ru]", "trainer.max_steps=2", "hydra.run.dir=trained"]
    assert launch(*short, trained) == 0
    assert (tmp_path / "trained" / "model").is_dir()


def test_resuming_translates_nothing_again_and_refuses_other_settings(
    translate: Launch, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    assert translate("hydra.run.dir=made", "translation.languages=[de]") == 0
    bounds = ["translation.gate.min_script_share=0", "translation.gate.max_copied_words=100"]
    assert translate("hydra.run.dir=again", "resume=made", "translation.languages=[ru,de]", *bounds) == 0
    (translator,) = fakes.LOADED
    assert {target for target, _ in translator.called} == {"ru"}
    assert "90 of them there already" in " ".join(capfd.readouterr().out.split())
    reasons = {line["reason"] for line in lines(tmp_path / "again" / "rejected" / "de.jsonl.gz")}
    assert reasons == {"empty", "loop", "cut_off", "length"}

    before = (tmp_path / "made" / "translations" / "en-de.jsonl").read_bytes()
    assert translate("hydra.run.dir=other", "resume=made", "translation.num_beams=1") == 2
    message = capfd.readouterr().err.splitlines()[-1]
    assert "num_beams was 4, is 1. Restore these settings" in message
    assert not (tmp_path / "other" / "pairs").exists()
    assert (tmp_path / "made" / "translations" / "en-de.jsonl").read_bytes() == before
    assert translate("resume=nowhere") == 2
    assert "resume=nowhere: no translations at" in capfd.readouterr().err


def test_fewer_rows_are_those_that_training_would_take(translate: Launch, tmp_path: Path) -> None:
    assert translate("hydra.run.dir=part", "data.max_rows=20", "translation.languages=[de,en]") == 0
    rows = lines(tmp_path / "part" / "pairs" / "jsonl.jsonl.gz")
    numbers = [int(row["id"].removeprefix("row-")) for row in rows]
    assert len(numbers) == 20 and numbers == sorted(numbers) and numbers != list(range(20))
    config = yaml.safe_load((tmp_path / "part" / "config.yaml").read_text())
    assert config["translation"]["gate"]["max_repeats"] == 3


def test_a_killed_run_ends_as_one_that_was_not(
    translate: Launch, start: Callable[..., Popen], tmp_path: Path, english: Path
) -> None:
    (tmp_path / "slow.py").write_text(
        f"import sys; sys.path.insert(0, {str(FAKES)!r})\n"
        "from fakes import LetterModel, LetterTranslator\n"
        "class Slow(LetterModel):\n"
        "    def load(self, languages, *, device, precision):\n"
        "        return LetterTranslator(pause=0.5)\n"
    )
    budget = "translation.token_budget=40"
    victim = start(
        *TRANSLATE,
        f"data.sources.jsonl.path={english}",
        "translator._target_=slow.Slow",
        "hydra.run.dir=killed",
        budget,
    )
    journal = tmp_path / "killed" / "translations" / "en-de.jsonl"
    while not journal.exists() or journal.read_bytes().count(b"\n") < 3:
        assert victim.poll() is None, victim.communicate()
        time.sleep(0.05)
    victim.kill()
    victim.wait()
    kept = sum(len(json.loads(line)["pieces"]) for line in journal.read_bytes().split(b"\n")[1:-1])
    assert not list((tmp_path / "killed").rglob("*.gz"))

    assert translate("hydra.run.dir=killed", "resume=killed", budget) == 0
    (translator,) = fakes.LOADED
    assert len(translator.called) == 2 * 90 - kept
    assert translate("hydra.run.dir=whole", budget) == 0
    for name in ("pairs/jsonl.jsonl.gz", "rejected/ru.jsonl.gz", "translation.json", "translations/en-de.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_nothing_to_translate_is_said(translate: Launch, data: Path, capfd: pytest.CaptureFixture) -> None:
    assert translate(f"data.sources.jsonl.path={data / 'pairs.jsonl'}", "translation.languages=[de]") == 2
    assert "nothing to translate. Choose another translation.source" in capfd.readouterr().err
