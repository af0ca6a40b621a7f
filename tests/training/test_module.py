"""A training step in a real trainer: it learns, uses every column, and stops before bad numbers reach the weights."""

import math
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from mixlingua.errors import TrainingError
from mixlingua.losses.base import StepLoss, TotalLoss
from mixlingua.training.checkpoints import checkpoint_callbacks, read_checkpoint
from mixlingua.training.optimizer import AdamW


def loader(batches) -> DataLoader:
    return DataLoader(batches, batch_size=None)


class Record(pl.Callback):
    """Keeps what is logged at every step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.steps.append({name: value.item() for name, value in trainer.logged_metrics.items()})


@pytest.fixture
def fit(trainer, tmp_path):
    """Trains module on batches and returns what was logged at every step."""

    def run(module, batches, callbacks=(), validation=None, **options) -> list[dict[str, float]]:
        record = Record()
        used = trainer(
            max_steps=len(batches), logger=pl.loggers.CSVLogger(tmp_path / "log"), log_every_n_steps=1,
            enable_checkpointing=bool(callbacks), callbacks=[record, *callbacks], **options,
        )  # fmt: skip
        used.fit(module, loader(batches), loader(validation) if validation else None)
        return record.steps

    return run


@pytest.fixture
def last_checkpoint(tmp_path):
    """Callbacks that save after every step, and the file they write."""
    return checkpoint_callbacks(tmp_path, every_n_steps=1), tmp_path / "checkpoints" / "last.ckpt"


def loss_of(module, batch) -> float:
    with torch.no_grad():
        return module.batch_loss(batch)[0].item()


def test_the_loss_falls_on_pairs_that_can_be_learned(module, toy_batches, fit):
    losses = [step["train/loss"] for step in fit(module, toy_batches(12))]
    assert losses[0] == pytest.approx(math.log(8), abs=0.5)  # near chance among eight passages
    assert losses[-1] < losses[0] / 2


def test_what_is_logged(module, toy_batches, fit):
    first, second = toy_batches(2)
    first, second = fit(module, [replace(first, kind="monolingual"), second])
    assert first["train/monolingual"] == 1.0 and second["train/monolingual"] == 0.0
    assert first["train/loss_monolingual"] == first["train/loss"]
    assert second["train/loss_crosslingual"] == second["train/loss"]
    assert first["train/temperature"] == pytest.approx(0.1)


def test_what_is_logged_of_a_step_is_the_mean_over_its_batches(module, make_batch, fit):
    """Of each kind, the mean over the batches of that kind."""
    texts = ["alpha", "river", "stone"]
    batches = [make_batch(index, texts[:size], texts[:size]) for index, size in enumerate((2, 3, 2, 3))]
    kinds = ["monolingual", "crosslingual", "monolingual", "monolingual"]
    batches = [replace(batch, kind=kind) for batch, kind in zip(batches, kinds, strict=True)]
    losses = [loss_of(module, batch) for batch in batches]
    logged = fit(module, batches, accumulate_grad_batches=4)[3]
    assert logged["train/loss"] == pytest.approx(sum(losses) / 4, abs=1e-5)
    assert logged["train/loss_monolingual"] == pytest.approx((losses[0] + losses[2] + losses[3]) / 3, abs=1e-5)
    assert logged["train/loss_crosslingual"] == pytest.approx(losses[1], abs=1e-5)
    assert logged["train/monolingual"] == 0.75


def test_losses_are_computed_in_float32_whatever_the_precision(module, toy_batches):
    """In bfloat16, scores would lie on a grid of .004."""
    types = []

    class Scores(StepLoss):
        def forward(self, step) -> torch.Tensor:
            scores = step.queries @ step.all_passages.T
            types.append(scores.dtype)
            return scores.sum()

    module.loss = TotalLoss({"scores": Scores(weight=1.0)})
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = module.batch_loss(toy_batches(1)[0])
    loss.backward()
    assert types == [torch.float32]


def test_the_loss_is_that_of_the_batchs_vectors(module, make_batch):
    """Worked out from the encoder's vectors: row i of the queries against every passage."""
    batch = make_batch(0, ["one", "two"], ["eins", "zwei"], ["drei", "vier"])
    with torch.no_grad():
        scores = module.encoder(batch.queries) @ module.encoder(batch.passages).T / 0.1
    by_hand = (scores.logsumexp(1) - scores.diagonal()).mean().item()
    assert loss_of(module, batch) == pytest.approx(by_hand, abs=1e-5)


def test_hard_negatives_are_columns_of_every_query(module, make_batch):
    queries, passages = ["one", "two"], ["eins", "zwei"]
    without = make_batch(0, queries, passages)
    batch = make_batch(0, queries, passages, ["drei", "vier"])
    assert loss_of(module, batch) > loss_of(module, without) + 0.1
    # A negative with the key of a query's passage is none for this query; the other one still counts it.
    masked = replace(batch, passage_keys=torch.tensor([[0], [1], [0], [1]]))
    assert loss_of(module, without) < loss_of(module, masked) < loss_of(module, batch)


def test_every_trainable_parameter_moves_and_a_frozen_one_does_not(module, infonce, toy_batches, fit):
    module.loss = TotalLoss({"infonce": infonce(learn_temperature=True, symmetric=True)})
    frozen = "encoder.transformer.embeddings.word_embeddings.weight"
    module.get_parameter(frozen).requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    fit(module, toy_batches(2))
    after = module.state_dict()
    assert [name for name in before if torch.equal(before[name], after[name])] == [frozen]


def test_the_schedule_runs_over_the_trainers_steps(module, toy_batches, fit):
    module.optimizer = AdamW(lr=1.0, weight_decay=0.0, warmup_steps=1, schedule="linear", layer_decay=1.0)
    rates = []

    class Rates(pl.Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
            rates.append(optimizer.param_groups[0]["lr"])

    fit(module, toy_batches(4), [Rates()])
    assert rates == pytest.approx([0.5, 1, 2 / 3, 1 / 3])


def test_validation_logs_the_mean_over_its_batches_without_training(module, toy_batches, make_batch, trainer):
    validation = [*toy_batches(1), make_batch(1, ["one", "two"], ["eins", "zwei"])]
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    (logged,) = trainer().validate(module, loader(validation), verbose=False)
    module.eval()
    expected = sum(loss_of(module, batch) for batch in validation) / 2
    assert logged == {"validation/loss": pytest.approx(expected, abs=1e-5)}
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


class PoisonWeights(pl.Callback):
    """Makes every vector of step 2 NaN."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if trainer.global_step == 2:
            pl_module.encoder.transformer.embeddings.word_embeddings.weight.data.fill_(math.nan)


class PoisonGradient(pl.Callback):
    """Makes one gradient of step 2 infinite; its loss is an ordinary number."""

    def on_after_backward(self, trainer, pl_module) -> None:
        if trainer.global_step == 2:
            pl_module.encoder.transformer.embeddings.LayerNorm.bias.grad[0] = math.inf


@pytest.mark.parametrize(
    ("poison", "what"), [(PoisonWeights, "the loss is nan"), (PoisonGradient, "the gradient norm is inf")]
)
def test_numbers_that_are_not_finite_stop_training_at_the_last_good_state(
    module, toy_batches, fit, last_checkpoint, poison, what
):
    callbacks, last = last_checkpoint
    expected = r"batch 2 \(crosslingual, source toy, languages de->en\).*checkpoints/last\.ckpt.*optimizer\.lr"
    with pytest.raises(TrainingError, match=rf"Step 2: {what} at {expected}"):
        fit(module, toy_batches(4), [poison(), *callbacks])
    checkpoint = read_checkpoint(last)
    assert checkpoint["global_step"] == 2
    assert all(tensor.isfinite().all() for tensor in checkpoint["state_dict"].values())


def test_an_infinite_gradient_is_seen_before_clipping_and_before_the_weights(module, toy_batches, fit):
    before = {}

    class Keep(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            before.update({name: tensor.clone() for name, tensor in pl_module.state_dict().items()})

    with pytest.raises(TrainingError, match="gradient norm is inf"):
        fit(module, toy_batches(4), [Keep(), PoisonGradient()], gradient_clip_val=1.0)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_the_gradient_norm_is_logged_as_it_is_before_clipping(module, toy_batches, fit):
    (batch,) = toy_batches(1)
    module.batch_loss(batch)[0].backward()
    gradients = [parameter.grad.flatten() for parameter in module.parameters() if parameter.grad is not None]
    norm = torch.cat(gradients).norm().item()
    module.zero_grad()
    (step,) = fit(module, [batch], gradient_clip_val=norm / 2)
    assert step["train/gradient_norm"] == pytest.approx(norm, rel=1e-4)


def test_a_loss_that_is_not_finite_names_its_batch_among_those_of_one_step(module, toy_batches, fit):
    class PoisonSecondBatch(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            bias = pl_module.encoder.transformer.embeddings.LayerNorm.bias.data
            bias.fill_(math.nan if batch.index == 1 else 0.0)

    with pytest.raises(TrainingError, match="Step 0: the loss is nan at batch 1 "):
        fit(module, toy_batches(4), [PoisonSecondBatch()], accumulate_grad_batches=4)


def test_the_message_names_every_language_pair_once(module, toy_batches, fit):
    (batch,) = toy_batches(1)
    batch = replace(batch, query_languages=["de"] * 4 + ["en"] * 4, passage_languages=["en", "th"] * 4)
    module.encoder.transformer.embeddings.word_embeddings.weight.data.fill_(math.nan)
    with pytest.raises(TrainingError, match="languages de->en, de->th, en->en, en->th"):
        fit(module, [batch])
