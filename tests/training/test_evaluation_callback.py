"""The callback in real training: when it evaluates, what it logs and leaves behind; training is not disturbed."""

import json

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader

from mixlingua.evaluation.run_folder import read_results
from mixlingua.evaluation.suite import evaluate_task
from mixlingua.training.callbacks import EvaluationCallback
from mixlingua.training.end_of_training import EndOfTraining


class WordTokenizer:
    def __init__(self):
        self.max_length = {"query": 9, "passage": 9}

    def encode_counting(self, texts, side):
        return self.encode(texts, side), {}

    def encode(self, texts, side):
        return [[1 + int(word[1:].split("=")[0]) for word in text.split()] for text in texts]

    def pad(self, ids):
        longest = max(map(len, ids))
        return {"input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in ids])}


class BagOfWords(nn.Module):
    embedding_dim = 4
    packed = False

    def __init__(self):
        super().__init__()
        self.tokenizer = WordTokenizer()
        self.words = nn.Embedding(10, self.embedding_dim, padding_idx=0)
        self.dropout = nn.Dropout(0.5)

    def forward(self, features):
        return self.dropout(self.words(features["input_ids"]).sum(1))

    def fingerprint(self):
        return str(self.words.weight.tolist())


class Module(LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = BagOfWords()

    def whole_encoder(self):
        return self.encoder

    def end_sharding(self):
        """Nothing is shared."""

    def training_step(self, batch, _):
        assert self.encoder.training, "evaluation left the encoder in evaluation mode"
        return self.encoder({"input_ids": batch.long() % 10}).square().sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Recording:
    """A task with an engine of its own, which notes the step at which it is evaluated."""

    def __init__(self, task):
        self.task, self.trainer, self.steps = task, None, []
        self.name, self.main_metric, self.size = task.name, task.main_metric, task.size

    def provenance(self):
        return self.task.provenance()

    def evaluate(self, encode):
        self.steps.append(self.trainer.global_step)
        return evaluate_task(self.task, encode)


@pytest.fixture
def fit(tmp_path, two_languages):
    """Trains for six steps; returns the module, the callback and the steps at which tasks were evaluated."""

    def run(*, ckpt_path=None, **changes):
        arguments = dict(changes)
        max_steps, at_end = arguments.pop("max_steps", 6), arguments.pop("at_end", True)
        postprocess = arguments.pop("postprocess", None)
        task = Recording(two_languages)
        callback = EvaluationCallback(
            [task],
            run_dir=tmp_path / "run",
            provenance={"model": "bag"},
            token_budget=64,
            precision="32-true",
            **arguments,
        )
        end = EndOfTraining(tmp_path / "run", postprocess=postprocess, save_model=False, evaluation=callback)
        trainer = Trainer(
            max_steps=max_steps,
            accumulate_grad_batches=2,
            accelerator="cpu",
            logger=CSVLogger(tmp_path, flush_logs_every_n_steps=1),
            callbacks=[callback, *([end] if at_end else []), RichProgressBar()],
            enable_model_summary=False,
        )
        task.trainer = trainer
        module = Module()
        torch.manual_seed(1)
        trainer.fit(module, DataLoader(torch.arange(40), batch_size=2), ckpt_path=ckpt_path)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        return module, callback, task.steps

    return run


def test_evaluates_before_in_between_and_at_the_end_once_per_step(fit):
    assert fit(every_n_steps=2)[2] == [0, 2, 4, 6]
    assert fit(every_n_steps=4)[2] == [0, 4, 6]
    assert fit(before=False, at_end=False)[2] == []


def test_an_encoder_that_changes_when_training_ends_is_evaluated_as_it_is_then(fit):
    _, callback, steps = fit(every_n_steps=2, postprocess=lambda encoder: encoder.words.weight.data.zero_())
    assert steps == [0, 2, 4, 6, 6]
    _, plain, _ = fit(every_n_steps=2)
    assert callback.results_after[0].rows != plain.results_after[0].rows


def test_each_line_of_the_log_says_of_which_weights_its_figures_are(fit, tmp_path, caplog):
    """The last step may be measured twice, with the last weights and with those that the run ends with."""
    caplog.set_level("INFO")
    fit(every_n_steps=6, postprocess=lambda encoder: encoder.words.weight.data.zero_())
    lines = [record.getMessage().partition(": small/")[0] for record in caplog.records if ": small/" in record.message]
    assert lines == [
        "step 0, before training", "step 6, the weights of that step",
        "step 6, the run's end: the last weights, with a postprocess layer",
    ]  # fmt: skip
    assert read_results(tmp_path / "run").provenance["final_weights"] == "the last weights, with a postprocess layer"


def test_files_and_results(fit, tmp_path):
    _, callback, _ = fit()
    before, after = read_results(tmp_path / "run", "before"), read_results(tmp_path / "run")
    assert before.rows == callback.results_before[0].rows
    assert after.rows == callback.results_after[0].rows
    assert (before.provenance["step"], after.provenance["step"]) == (0, 6)
    assert after.provenance["model"] == "bag"
    assert set(json.loads((tmp_path / "run" / "metrics.json").read_text())) == set(after.aggregate())


def test_the_chosen_average_is_logged_and_written(fit, tmp_path):
    fit(average="micro", before=False)
    header, *_, last = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()
    logged = dict(zip(header.split(","), last.split(","), strict=True))
    after = read_results(tmp_path / "run")
    assert after.average == "micro"
    rows = {row.query_language: row.value for row in after.rows if (row.setting, row.metric) == ("monolingual", "map")}
    micro = (3 * rows["de"] + 2 * rows["en"]) / 5
    assert after.aggregate()["small/monolingual/map"] == pytest.approx(micro)
    assert float(logged["small/monolingual/map"]) == pytest.approx(micro)


def test_averages_are_logged_by_step(fit, tmp_path):
    fit(every_n_steps=2)
    header, *lines = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()
    names = header.split(",")
    assert "small/multilingual/rank_distance" in names
    assert "small/multilingual/recall_at_10_gap" in names
    assert not [name for name in names if "share_of" in name], "shares are a matrix, no scalars"
    assert [line.split(",")[names.index("step")] for line in lines] == ["0", "2", "4", "6"]


def test_training_is_the_same_with_and_without(fit):
    plain = fit(before=False, at_end=False)[0].state_dict()
    for name, value in fit(every_n_steps=1)[0].state_dict().items():
        assert torch.equal(value, plain[name])


def test_a_resumed_run_is_not_evaluated_before(fit, tmp_path):
    fit(max_steps=3, every_n_steps=3)
    _, callback, steps = fit(ckpt_path=tmp_path / "last.ckpt", every_n_steps=3)
    assert steps == [6]
    assert callback.results_before is None
    assert read_results(tmp_path / "run", "before").provenance["step"] == 0, "the first run's file stays"
