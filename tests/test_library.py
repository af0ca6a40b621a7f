"""The library in five lines, with the tiny model."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import mixlingua
from mixlingua.cli.main import main
from mixlingua.data.readers.jsonl import JsonlReader
from mixlingua.errors import ConfigError, DataError
from mixlingua.losses.distillation import Distillation, LanguageVariants, Relational
from mixlingua.losses.infonce import InfoNCE, MultiPositive
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
        (lambda: mixlingua.load_encoder("tiny", poling="mean"), "no option 'poling'; it takes name_or_path, "),
        (lambda: mixlingua.load_encoder("tiny", max_passage_length="128"), "max_passage_length='128': a whole number"),
        (lambda: mixlingua.load_encoder("tiny", dropout="x"), "dropout='x': a number or None is needed"),
        (lambda: mixlingua.load_encoder("tiny", pooling=5), "model.pooling=5"),
        (lambda: mixlingua.load_encoder("tiny", seed=-1), "seed=-1"),
        (lambda: mixlingua.load_encoder("tiny", seed=2**32), "seed=4294967296: a whole number from 0 to 4294967295"),
        (lambda: mixlingua.load_encoder("tiny", device="gpu"), "device='gpu': it is one of cpu, cuda, mps"),
        (lambda: mixlingua.load_encoder("tiny", device="cuda:99"), "device='cuda:99': there is none here"),
        (lambda: mixlingua.load_encoder(None), "load_encoder(None): the name of a recipe"),
        (lambda: mixlingua.load_encoder("folder"), "load_encoder('folder'): give the folder itself, or its hub id."),
        (lambda: mixlingua.benchmark("atlass"), "Did you mean 'atlas'?"),
        (lambda: mixlingua.benchmark("held_out"), "action=evaluate"),
        (lambda: mixlingua.benchmark("atlas", languages=["de"]), "no option 'languages'; it takes no options"),
        (lambda: mixlingua.benchmark("xquad_r", langs=["de"]), "no option 'langs'; it takes folder, languages, "),
        (lambda: mixlingua.benchmark("xquad_r", langs=["de"]), "Did you mean 'languages'?"),
        (lambda: mixlingua.benchmark("xquad_r", languages="de"), "languages='de': a list or None is needed"),
        (lambda: mixlingua.benchmark("xquad_r", folder=5), "folder=5: a text or a path is needed"),
        (lambda: mixlingua.benchmark(5), "benchmark(5)"),
    ],
)
def test_what_cannot_work_is_refused_by_name(call: Callable[[], object], named: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(named)) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.fixture(scope="module")
def tiny() -> mixlingua.Encoder:
    return mixlingua.load_encoder("tiny")


def test_no_texts_are_no_rows(tiny: mixlingua.Encoder) -> None:
    assert tiny.encode([]).shape == (0, 32)


@pytest.mark.parametrize(
    ("texts", "options", "named"),
    [
        (["a"], {"side": "document"}, "side='document'"),
        (None, {}, "encode(None): a text, or a list of texts"),
        (5, {}, "encode(5)"),
        (["a", None], {}, "text 1 of the list is None"),
        ([["a"]], {}, "text 0 of the list is ['a']"),
        (["a"], {"token_budget": "9"}, "token_budget: '9'"),
        (["a"], {"precision": 32}, "precision=32: it is one of"),
    ],
)
def test_what_is_no_text_is_refused(tiny: mixlingua.Encoder, texts: Any, options: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(named)):
        tiny.encode(texts, **options)


def test_the_callers_random_numbers_and_the_teacher_stay_as_they_are(tiny: mixlingua.Encoder) -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    teacher = mixlingua.load_encoder("tiny", seed=1)
    assert torch.equal(torch.rand(2), expected)
    before = teacher.encode("a")
    losses = {"infonce": InfoNCE(), "distillation": Distillation()}
    mixlingua.train(tiny, PAIRS, steps=2, batch_size=2, loss=losses, teacher=teacher)
    assert torch.equal(teacher.encode("a"), before)
    assert all(parameter.requires_grad for parameter in teacher.module.parameters())
    mixlingua.train(teacher, PAIRS, steps=2, batch_size=2, loss=losses, teacher=teacher)  # of what it was before
    assert not torch.equal(teacher.encode("a"), before)


def test_a_teacher_that_no_loss_asks_is_refused(tiny: mixlingua.Encoder) -> None:
    with pytest.raises(ConfigError, match=r"teacher=Encoder\(tiny.*none of the losses learns from a teacher"):
        mixlingua.train(tiny, PAIRS, steps=1, batch_size=2, teacher=mixlingua.load_encoder("tiny"))


def test_half_of_a_surrogate_pair_is_refused(tiny: mixlingua.Encoder) -> None:
    with pytest.raises(DataError, match="half of a surrogate pair at character 1"):
        tiny.encode("a\ud83d")


def test_what_is_no_encoder_or_no_benchmark_is_refused(tiny: mixlingua.Encoder) -> None:
    task = mixlingua.benchmark("atlas")
    for arguments, named in (
        ((tiny, "atlas"), "'atlas' is no benchmark. Give benchmark('atlas')."),
        ((tiny, [task]), "is no benchmark. Give each by itself: evaluate(encoder, *tasks)."),
        (("tiny", task), "'tiny' is no encoder of load_encoder; give load_encoder('tiny')."),
        ((tiny,), "evaluate: no benchmark is given"),
    ):
        with pytest.raises(ConfigError, match=re.escape(named)):
            mixlingua.evaluate(*arguments)  # type: ignore[arg-type]


def test_a_model_without_a_weight_to_train_is_refused() -> None:
    encoder = mixlingua.load_encoder("tiny", freeze_layers=2)
    with pytest.raises(ConfigError, match=r"model\.freeze_layers: every weight of the model is frozen"):
        mixlingua.train(encoder, PAIRS, batch_size=2)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"steps": 0}, "steps=0"),
        ({"steps": True}, "steps=True"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 1}, "batch_size=1: the batch has no passage that a query could be told from"),
        ({"batch_size": 1, "loss": MultiPositive()}, "so loss=loss would learn nothing"),
        ({"batch_size": 1, "loss": {"kl": Relational()}}, "so loss=kl would learn nothing"),
        ({"batch_size": 1, "loss": LanguageVariants()}, "so loss=loss would learn nothing"),
        ({"num_negatives": "1"}, "num_negatives='1': a whole number"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**32}, "seed=4294967296: a whole number from 0 to 4294967295"),
        ({"max_query_length": 0}, "max_query_length=0: a whole number of 4 or more"),
        ({"accumulate_grad_batches": 0}, "accumulate_grad_batches=0"),
        ({"gradient_clip_val": -1.0}, "gradient_clip_val=-1.0: a number of 0 or more"),
        ({"lr": -1}, "train: lr=-1: use optimizer=AdamW(lr=-1)"),
        ({"optimizer": "adamw"}, "mixlingua.training.optimizer.AdamW is needed"),
        ({"sampler": "hybrid"}, "mixlingua.sampling.strategies.Strategy is needed"),
        ({"loss": "infonce"}, "is no loss of a step"),
        ({"loss": {}}, "nothing to train by"),
        ({"teacher": "tiny"}, "mixlingua.library.Encoder is needed"),
        ({"languages": "de"}, "languages='de': a list of codes"),
        ({"languages": []}, "training languages: []"),
        ({"languages": ["deu"]}, "train: languages: unknown language 'deu'; its code here is 'de'"),
        ({"languages": ["fr"]}, "none of its rows has a training language (fr)"),
        ({"pivot": "xx"}, "train: pivot: unknown language 'xx'"),
        ({"callbacks": ["a"]}, "callbacks=['a']: a list of Lightning's Callbacks"),
        ({"loggers": "csv"}, "loggers='csv': a list of Lightning's Loggers"),
        ({"precsion": "32-true"}, "no option 'precsion', neither of train nor of Lightning's Trainer. Did you mean"),
        ({"precision": "fp16"}, "Precision 'fp16' is invalid"),
        ({"strategy": "ddp_spawn", "devices": 2}, "strategy='ddp_spawn': it trains copies of the encoder"),
        ({"max_steps": 3}, "train: max_steps=3: use steps=N"),
        ({"data": 5}, "5 is nothing to train on"),
        ({"data": {"de": 5}}, "5 is nothing to train on"),
        ({"data": []}, "there is no source of training pairs"),
        ({"encoder": "tiny"}, "'tiny' is no encoder of load_encoder"),
    ],
)
def test_training_that_cannot_work_is_refused_by_name(tiny: mixlingua.Encoder, arguments: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(named)) as raised:
        mixlingua.train(**{"encoder": tiny, "data": PAIRS, "steps": 1, "batch_size": 2, **arguments})
    assert "\n" not in str(raised.value)


def test_hard_negatives_make_up_for_one_pair_a_batch_where_the_loss_reads_them(
    tiny: mixlingua.Encoder, tmp_path: Path
) -> None:
    file = tmp_path / "pairs.jsonl"
    texts = {"queries": {"de": "Ja?", "en": "Yes?"}, "passages": {"de": "Ja.", "en": "Yes."}}
    rows = [{"id": number, **texts, "negatives": {"de": ["Nein."], "en": ["No."]}} for number in range(2)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    options: dict[str, Any] = {"steps": 1, "batch_size": 1, "num_negatives": 1, "languages": ["de", "en"]}
    assert mixlingua.train(tiny, file, loss=InfoNCE(), **options)[0] > 0
    with pytest.raises(ConfigError, match="so loss=loss would learn nothing"):  # it ranks positives alone
        mixlingua.train(tiny, file, loss=Relational(), **options)


def test_training_takes_several_files_and_files_by_language(tmp_path: Path) -> None:
    """Each gives what the same rows in one file give."""
    rows = [json.loads(line) for line in PAIRS.read_text(encoding="utf-8").splitlines()]
    languages = ("de", "en")

    def written(name: str, of_file: list[dict]) -> str:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in of_file), encoding="utf-8")
        return str(tmp_path / name)

    split = [written("a.jsonl", rows[:1]), Path(written("b.jsonl", rows[1:]))]
    by_language = {
        code: written(
            f"{code}.jsonl",
            [
                {"id": row["id"], "query": row["queries"][code], "passage": row["passages"][code]}
                for row in rows
                if code in row["queries"]
            ],
        )
        for code in languages
    }

    def losses(data: Any) -> list[float]:
        encoder = mixlingua.load_encoder("tiny", seed=3)
        return mixlingua.train(encoder, data, steps=2, batch_size=2, languages=languages)

    assert losses(split) == losses(by_language) == losses(PAIRS)


def test_a_benchmark_may_have_another_name_than_its_task(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"belebele\.jsonl\.gz: no such file"):
        mixlingua.benchmark("development", data=tmp_path)
