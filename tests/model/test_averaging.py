"""Which weights a run ends with: averages and mixtures worked out from the weights of each step."""

import math

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from mixlingua.errors import ConfigError
from mixlingua.training.callbacks import StartShare, moving_average
from mixlingua.training.checkpoints import checkpoint_callbacks, read_checkpoint

NAME = "encoder.transformer.encoder.layer.0.attention.self.query.weight"


class Weights(pl.Callback):
    """Keeps one weight as each step leaves it."""

    def __init__(self) -> None:
        self.steps: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.steps.append(pl_module.get_parameter(NAME).detach().clone())


@pytest.fixture
def fit(module, toy_batches, tmp_path):
    def run(*, average=(), finishing=(), steps=3, resume=None):
        weights = Weights()
        options = {"every_n_steps": 1, "validates": False, "patience": None, "save_model": False}
        callbacks = checkpoint_callbacks(tmp_path, **options, average=average, finishing=finishing)
        trainer = pl.Trainer(
            max_steps=steps, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
            callbacks=[weights, *callbacks], default_root_dir=tmp_path, num_sanity_val_steps=0,
        )  # fmt: skip
        trainer.fit(module, DataLoader(toy_batches(steps), batch_size=None), ckpt_path=resume, weights_only=True)
        return weights.steps, module.get_parameter(NAME).detach()

    return run


def test_the_moving_average_of_the_steps(fit):
    (first, second, third), final = fit(average=[moving_average(0.75)])
    expected = 0.75 * (0.75 * first + 0.25 * second) + 0.25 * third
    torch.testing.assert_close(final, expected)
    assert not torch.allclose(final, third)


def test_a_share_of_the_start(fit, module):
    start = module.get_parameter(NAME).detach().clone()
    steps, final = fit(finishing=[StartShare(module, 0.25)])
    torch.testing.assert_close(final, 0.25 * start + 0.75 * steps[-1])


def test_the_share_is_of_the_average_and_the_checkpoint_holds_the_trained_weights(fit, module, tmp_path):
    start = module.get_parameter(NAME).detach().clone()
    (first, second), final = fit(average=[moving_average(0.5)], finishing=[StartShare(module, 0.5)], steps=2)
    torch.testing.assert_close(final, 0.5 * start + 0.5 * (0.5 * first + 0.5 * second))
    saved = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    torch.testing.assert_close(saved["current_model_state"][NAME], second)


@pytest.mark.parametrize("decay", [0.0, 1.0, math.nan])
def test_decay_outside_its_range(decay):
    with pytest.raises(ConfigError, match=r"averaging\.ema_decay="):
        moving_average(decay)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_share_outside_its_range(module, share):
    with pytest.raises(ConfigError, match=r"averaging\.start_share="):
        StartShare(module, share)
