"""N processes give the weights of one process on the whole batch. SGD, since Adam hides a wrong scale."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import distributed_worker

from mixlingua import distributed

WORKER = Path(distributed_worker.__file__)
SRC = WORKER.parents[2] / "src"


@pytest.fixture(scope="module", params=[2, 4])
def trained(request, tmp_path_factory) -> list[dict]:
    """What each of the processes ended with, by loss: weights, and the loss of each step."""
    world_size, folder = request.param, tmp_path_factory.mktemp("ranks")
    environment = {"PYTHONPATH": str(SRC), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    processes = []
    for rank in range(world_size):
        arguments = [rank, world_size, folder / "meet", folder / f"{rank}.pt"]
        command = [sys.executable, str(WORKER), *map(str, arguments)]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world_size)]


@pytest.mark.parametrize("loss", distributed_worker.LOSSES)
@pytest.mark.whole
def test_many_processes_train_as_one(trained, loss):
    expected, expected_losses = distributed_worker.train(loss, 0, 1)
    for rank in trained:
        weights, losses = rank[loss]
        assert losses == pytest.approx(expected_losses, abs=1e-6)
        for name, value in expected.items():
            torch.testing.assert_close(weights[name], value, rtol=1e-6, atol=1e-6)
    untrained = distributed_worker.Towers(loss).state_dict()
    # training moved every weight
    assert all((expected[name] - untrained[name]).abs().max() > 1e-3 for name in expected)


@pytest.mark.parametrize(
    ("variables", "index"),
    [({}, 0), ({"LOCAL_RANK": "1"}, 1), ({"SLURM_LOCALID": "3"}, 3), ({"LOCAL_RANK": "2", "SLURM_LOCALID": "0"}, 2)],
)
def test_a_launched_process_takes_its_own_gpu(
    variables: dict[str, str], index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert distributed.local_device("gpu") == torch.device("cuda", index)
    assert distributed.local_device("cpu") == torch.device("cpu")
