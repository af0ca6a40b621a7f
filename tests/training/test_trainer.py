"""The Trainer that conf/trainer describes."""

from typing import Any

import pytest

from mixlingua.training.trainer import num_processes, starts_itself_again


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
