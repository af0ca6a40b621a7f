"""N processes give the weights of one process on the whole batch. SGD, since Adam hides a wrong scale."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import distributed_worker

WORKER = Path(distributed_worker.__file__)
SRC = WORKER.parents[2] / "src"


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("world_size", [2, 4])
def test_many_processes_train_as_one(world_size, symmetric, tmp_path):
    environment = {"PYTHONPATH": str(SRC), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    processes = []
    for rank in range(world_size):
        arguments = [rank, world_size, tmp_path / "meet", tmp_path / f"{rank}.pt", symmetric]
        command = [sys.executable, str(WORKER), *map(str, arguments)]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    expected, expected_losses = distributed_worker.train(0, 1, symmetric)
    for rank in range(world_size):
        weights, losses = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert losses == pytest.approx(expected_losses, abs=1e-6)
        for name, value in expected.items():
            torch.testing.assert_close(weights[name], value, rtol=0, atol=1e-6)
    untrained = distributed_worker.Towers(symmetric).state_dict()
    assert all(
        (expected[name] - untrained[name]).abs().max() > 1e-3 for name in expected
    )  # training moved every weight
