"""Which weights a run ends with: averages and mixtures worked out from the weights of each step."""

import json
import math
from contextlib import nullcontext
from copy import deepcopy

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from mixlingua.errors import CheckpointError, ConfigError
from mixlingua.model.folder import save_folder
from mixlingua.model.layers import Dense
from mixlingua.model.lora import LoRA
from mixlingua.training.averaging import ModelAverage, MovingAverage, StartShare
from mixlingua.training.checkpoints import check_resumable, read_checkpoint
from mixlingua.training.end_of_training import EndOfTraining

NAME = "encoder.transformer.encoder.layer.0.attention.self.query.weight"


QUERY = "encoder.transformer.encoder.layer.1.attention.self.query"


class Weights(pl.Callback):
    """Keeps some weights as each step leaves them."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.steps: list[tuple[torch.Tensor, ...]] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.steps.append(tuple(pl_module.get_parameter(name).detach().clone() for name in self.names))


@pytest.fixture
def fit(module, toy_batches, trainer, tmp_path):
    """Trains, and gives the named weights as each step left them."""

    def run(*, average=None, start_share=None, models=None, save_model=False, steps=3, names=(NAME,)):
        weights = Weights(names)
        end = EndOfTraining(tmp_path, average=average, start_share=start_share, models=models, save_model=save_model)
        callbacks = [weights, *([average] if average else []), end]
        trainer(max_steps=steps, callbacks=callbacks).fit(module, DataLoader(toy_batches(steps), batch_size=None))
        return weights.steps

    return run


def test_the_moving_average_of_the_steps(fit, module):
    (first,), (second,), (third,) = fit(average=MovingAverage(0.75))
    final = module.get_parameter(NAME)
    expected = 0.75 * (0.75 * first + 0.25 * second) + 0.25 * third
    torch.testing.assert_close(final, expected)
    assert not torch.allclose(final, third)


def test_a_share_of_the_start(fit, module):
    start = module.get_parameter(NAME).detach().clone()
    *_, (last,) = fit(start_share=StartShare(module.encoder, 0.25))
    torch.testing.assert_close(module.get_parameter(NAME), 0.25 * start + 0.75 * last)


def test_the_share_is_of_the_average_and_the_checkpoint_holds_the_trained_weights(fit, module, tmp_path):
    start = module.get_parameter(NAME).detach().clone()
    (first,), (second,) = fit(average=MovingAverage(0.5), start_share=StartShare(module.encoder, 0.5), steps=2)
    torch.testing.assert_close(module.get_parameter(NAME), 0.5 * start + 0.5 * (0.5 * first + 0.5 * second))
    saved = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    torch.testing.assert_close(saved["current_model_state"][NAME], second)


@pytest.mark.parametrize("decay", [0.0, 1.0, math.nan])
def test_decay_outside_its_range(decay):
    with pytest.raises(ConfigError, match=r"averaging\.ema_decay="):
        MovingAverage(decay)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_share_outside_its_range(module, share):
    with pytest.raises(ConfigError, match=r"averaging\.start_share="):
        StartShare(module.encoder, share)


@pytest.mark.parametrize(("weights", "share"), [(None, 1 / 3), ([3, 1, 0], 3 / 4)])
def test_other_models_are_averaged_by_their_weights_without_their_last_layers(fit, module, tmp_path, weights, share):
    others = [deepcopy(module.encoder), deepcopy(module.encoder)]
    for other, scale in zip(others, (0.5, 2.0), strict=True):
        for parameter in other.parameters():
            parameter.data.mul_(scale)
    others[1].append(Dense(others[1].embedding_dim, 8, bias=False, activation=torch.nn.Identity()))  # a projection
    folders = [tmp_path / "run" / "model", tmp_path / "plain"]
    for other, folder in zip(others, folders, strict=True):
        save_folder(other, folder)
    start = module.get_parameter(NAME).detach().clone()
    models = ModelAverage(module.encoder, [tmp_path / "run", tmp_path / "plain"], weights)
    *_, (last,) = fit(start_share=StartShare(module.encoder, 0.5), models=models)
    of_others = [0.5 * start, 2.0 * start]
    shares = [share, share, share] if weights is None else [3 / 4, 1 / 4, 0]
    expected = shares[0] * (0.5 * start + 0.5 * last) + shares[1] * of_others[0] + shares[2] * of_others[1]
    torch.testing.assert_close(module.get_parameter(NAME), expected)


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, math.inf]])
def test_weights_that_give_no_mean_are_refused(module, tmp_path, weights):
    with pytest.raises(ConfigError, match=r"averaging\.weights="):
        ModelAverage(module.encoder, [tmp_path], weights)


def test_a_model_of_another_architecture_is_refused(module, tmp_path):
    other = deepcopy(module.encoder)
    del other.transformer.encoder.layer[-1]
    other.transformer.config.num_hidden_layers -= 1
    save_folder(other, tmp_path / "other")
    with pytest.raises(ConfigError, match=r"averaging\.models: .*other is of another architecture: "):
        ModelAverage(module.encoder, [tmp_path / "other"])


def _pool_two_layers(encoder):
    encoder.layer_weights = (0.25, 0.75)
    encoder.transformer.config.output_hidden_states = True


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: setattr(e, "pooling", "cls"), r"model\.pooling=cls \(mean here\)"),
        (_pool_two_layers, r"model\.layer_weights=\[0\.25, 0\.75\] \(\[1\.0\] here\)"),
        (lambda e: e.tokenizer.prefix.update(query="ask: "), r"prefixes={'query': 'ask: '.* here\)"),
        (
            lambda e: setattr(e, "token_weights", torch.full((e.transformer.config.vocab_size,), 0.5)),
            r"other weights of tokens \(model\.sif\)",
        ),
    ],
)
def test_a_model_that_reads_its_tokens_otherwise_is_refused(module, tmp_path, change, words):
    other = deepcopy(module.encoder)
    change(other)
    save_folder(other, tmp_path / "other")
    with pytest.raises(ConfigError, match=r"averaging\.models: .*other was trained with " + words):
        ModelAverage(module.encoder, [tmp_path / "other"])


def test_a_model_with_another_tokenizer_is_refused(module, tmp_path):
    save_folder(module.encoder, tmp_path / "other")
    file = tmp_path / "other" / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    file.write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"other was trained with another tokenizer\."):
        ModelAverage(module.encoder, [tmp_path / "other"])


def test_adapters_are_averaged_merged_and_mixed_with_the_start(module, fit, folder_encoder, tmp_path):
    start = {name: tensor.clone() for name, tensor in module.encoder.state_dict().items()}
    share = StartShare(module.encoder, 0.25)
    LoRA(rank=4, alpha=8.0).attach(module.encoder, seed=0)
    factors = [f"{QUERY}.lora_{side}.default.weight" for side in "AB"]
    first, second = fit(average=MovingAverage(0.5), start_share=share, save_model=True, steps=2, names=factors)
    a, b = (0.5 * one + 0.5 * other for one, other in zip(first, second, strict=True))
    name = f"{QUERY}.weight".removeprefix("encoder.")
    final = module.encoder.state_dict()
    assert final.keys() == start.keys()
    torch.testing.assert_close(final[name], start[name] + (1 - 0.25) * 8 / 4 * b @ a)
    assert (final[name] - start[name]).abs().max() > 1e-4
    saved = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["current_model_state"]
    assert torch.equal(saved[factors[1]], second[1])
    assert torch.equal(saved[f"{QUERY}.base_layer.weight"], start[name])
    loaded = folder_encoder(tmp_path / "model").state_dict()
    assert all(torch.equal(loaded[name], final[name]) for name in final)


def test_another_alpha_cannot_be_resumed(module, fit, tmp_path):
    plain = deepcopy(module.encoder)
    LoRA(rank=4, alpha=8.0).attach(module.encoder, seed=0)
    fit(names=())
    path = tmp_path / "resumable.ckpt"
    torch.save(read_checkpoint(tmp_path / "checkpoints" / "last.ckpt") | {"PairDataModule": {}}, path)
    for alpha, same in ((8.0, True), (4.0, False)):
        module.encoder = deepcopy(plain)
        LoRA(rank=4, alpha=alpha).attach(module.encoder, seed=0)
        with nullcontext() if same else pytest.raises(CheckpointError, match=r"adapter\.alpha was 8\.0, is 4\.0"):
            check_resumable(path, module)
