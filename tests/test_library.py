"""The library in five lines, with the tiny model."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mixlingua
from mixlingua.cli.main import main
from mixlingua.data.readers.jsonl import JsonlReader
from mixlingua.errors import ConfigError, DataError
from mixlingua.losses.distillation import Distillation
from mixlingua.losses.infonce import InfoNCE
from mixlingua.sampling.strategies import Crosslingual
from mixlingua.training.optimizer import AdamW

REPOSITORY = Path(__file__).resolve().parents[1]
PAIRS = REPOSITORY / "docs" / "pairs.jsonl"


@pytest.fixture(autouse=True)
def seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")


def test_importing_costs_no_torch_until_a_name_is_used() -> None:
    code = (
        "import sys, mixlingua; assert 'torch' not in sys.modules; assert 'load_encoder' in dir(mixlingua);"
        "mixlingua.load_encoder; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(REPOSITORY / "src")}, check=True)


def test_five_lines(tmp_path: Path) -> None:
    encoder = mixlingua.load_encoder("tiny")
    vectors = encoder.encode(["Wo liegt Kairo?", "Where is Cairo?"], side="query")
    figures = mixlingua.evaluate(encoder, mixlingua.benchmark("atlas"))
    losses = mixlingua.train(encoder, PAIRS, steps=3, batch_size=2)
    losses += mixlingua.train(encoder, [JsonlReader(PAIRS)], steps=1, batch_size=2)
    encoder.save(tmp_path / "encoder")

    assert torch.allclose(vectors.norm(dim=1), torch.ones(2))
    assert "atlas/multilingual" in str(figures) and 0 < figures["atlas/multilingual/map"] < 1
    assert len(losses) == 4
    again = mixlingua.load_encoder(tmp_path / "encoder")
    assert torch.equal(again.encode("Wo liegt Kairo?"), encoder.encode("Wo liegt Kairo?"))
    assert not torch.equal(again.encode("Wo liegt Kairo?"), vectors[:1])


def test_training_is_that_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = (
        f"model=tiny data=jsonl data.sources.jsonl.path={PAIRS} data.languages=[de,en,es] data.batch_size=2 "
        "data.num_workers=0 evaluation=[] trainer.max_steps=4 seed=3 hydra.run.dir=run sampler=crosslingual "
        "trainer.log_every_n_steps=1 trainer.precision=32-true loss=[infonce,distillation]"
    )
    monkeypatch.chdir(tmp_path)
    main(command.split())
    lines = (tmp_path / "run" / "csv" / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("train/loss")
    logged = [float(line.split(",")[column]) for line in lines[1:] if line.split(",")[column]]

    encoder = mixlingua.load_encoder("tiny", seed=3)
    losses = {
        "infonce": InfoNCE(temperature=encoder.recipe.temperature),
        "distillation": Distillation(),
    }
    trained = mixlingua.train(
        encoder, PAIRS, steps=4, batch_size=2, seed=3, sampler=Crosslingual(), loss=losses, precision="32-true"
    )
    assert trained == logged


def test_steps_of_several_batches_give_the_loss_of_each(tmp_path: Path) -> None:
    def losses(steps: int, batches: int) -> list[float]:
        encoder = mixlingua.load_encoder("tiny", seed=3)
        optimizer = AdamW(lr=1e-12)  # so that no step changes what the next batch sees
        return mixlingua.train(
            encoder, PAIRS, steps=steps, batch_size=2, seed=3, optimizer=optimizer, accumulate_grad_batches=batches
        )

    assert losses(2, 2) == pytest.approx(losses(4, 1), abs=1e-4)


def test_texts_that_training_cuts_are_told(caplog: pytest.LogCaptureFixture) -> None:
    encoder = mixlingua.load_encoder("tiny")
    mixlingua.train(encoder, PAIRS, steps=1, batch_size=2, max_passage_length=8)
    (told,) = [record.getMessage() for record in caplog.records if "are cut" in record.getMessage()]
    assert told.startswith("jsonl: ") and "sampled passages are longer than 8 tokens" in told


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: mixlingua.load_encoder("tinny"), "Did you mean 'tiny'?"),
        (lambda: mixlingua.load_encoder("tiny", pooling="maen"), "model.pooling=maen"),
        (lambda: mixlingua.load_encoder("tiny", poling="mean"), "'poling'"),
        (lambda: mixlingua.benchmark("atlass"), "Did you mean 'atlas'?"),
        (lambda: mixlingua.benchmark("held_out"), "action=evaluate"),
        (lambda: mixlingua.train(mixlingua.load_encoder("tiny"), PAIRS, steps=0), "steps=0"),
        (lambda: mixlingua.load_encoder("tiny").encode(["a"], side="document"), "side='document'"),
    ],
)
def test_what_cannot_work_is_refused_by_name(call, named: str) -> None:
    with pytest.raises(ConfigError, match=named.replace("?", r"\?")):
        call()


def test_a_benchmark_may_have_another_name_than_its_task(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"belebele\.jsonl\.gz: no such file"):
        mixlingua.benchmark("development", data=tmp_path)
