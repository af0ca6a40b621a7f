"""The Trainer that conf/trainer describes."""

from typing import Any

import pytest
import torch

from mixlingua.errors import ConfigError
from mixlingua.training.trainer import (
    build_trainer,
    device_problems,
    native_precision,
    num_processes,
    starts_itself_again,
)


def arguments(**changes: Any) -> dict[str, Any]:
    return {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", **changes}


@pytest.mark.parametrize(
    ("changes", "processes"),
    [
        ({}, 1),
        ({"devices": 3}, 3),
        ({"devices": 2, "num_nodes": 4}, 8),
        ({"devices": "auto"}, 1),
        ({"devices": "4"}, 4),
        ({"accelerator": "gpu", "devices": [0, 2, 3]}, 3),
        ({"accelerator": "gpu", "devices": "1,3"}, 2),
    ],
)
def test_number_of_processes(changes: dict[str, Any], processes: int) -> None:
    assert num_processes(arguments(**changes)) == processes


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({}, False),
        ({"devices": 2}, True),
        ({"devices": 2, "strategy": "ddp_spawn"}, False),
        ({"strategy": "ddp"}, True),
        ({"strategy": "fsdp"}, True),
    ],
)
def test_which_strategies_start_the_command_again(changes: dict[str, Any], again: bool) -> None:
    assert starts_itself_again(arguments(**changes)) is again


@pytest.mark.parametrize(
    ("instructions", "precision"),
    [({"amx_bf16": True}, "bf16-mixed"), ({"avx512_bf16": True, "amx_bf16": False}, "bf16-mixed"), ({}, "32-true")],
)
def test_auto_takes_bfloat16_where_the_processor_has_instructions_for_it(
    monkeypatch, tmp_path, instructions, precision
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    assert native_precision("cpu") == precision
    arguments = {"accelerator": "cpu", "precision": "auto", "max_steps": 1}
    assert build_trainer(arguments, tmp_path, [], []).precision == precision
    assert build_trainer(arguments | {"precision": "32-true"}, tmp_path, [], []).precision == "32-true"
    assert build_trainer(arguments, tmp_path, [], []).progress_bar_callback is not None
    assert build_trainer(arguments | {"enable_progress_bar": False}, tmp_path, [], []).progress_bar_callback is None


@pytest.mark.parametrize(("capability", "precision"), [((8, 0), "bf16-mixed"), ((7, 5), "32-true")])
def test_auto_takes_bfloat16_on_gpus_of_compute_capability_8_and_above(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert native_precision("gpu") == precision


def test_what_lightning_refuses_is_told(tmp_path):
    with pytest.raises(ConfigError, match="Trainer refuses its arguments: You selected an invalid strategy"):
        build_trainer(arguments(strategy="dpp"), tmp_path, [], [])


@pytest.mark.parametrize("devices", ["auto", 1, "2", -1, [0], "0,", "0,2", [1, 3]])
def test_devices_of_a_gpu_may_be_named(devices):
    assert device_problems(arguments(accelerator="auto", devices=devices)) == []
