"""The one place that knows torch.distributed: rank, world size and collectives, each the identity on one process."""

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mixlingua.errors import ConfigError, suggest

T = TypeVar("T")


def _running() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """This process's position among all processes, from 0."""
    return dist.get_rank() if _running() else 0


def world_size() -> int:
    """The number of processes; 1 where nothing is distributed."""
    return dist.get_world_size() if _running() else 1


def device_of(name: str, where: str) -> torch.device:
    """A device by torch's name for it, such as "cuda:1". Raises ConfigError, starting with `where`, where there is no
    such one."""
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        known = ("cpu", "cuda", "mps")
        near = " Did you mean 'cuda'?" if name == "gpu" else suggest(str(name), known)
        raise ConfigError(f"{where}={name!r}: it is one of {', '.join(known)}, as torch names devices.{near}") from None
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{where}={name!r}: there is none here ({reason}). Use 'cpu'.") from error
    return device


def local_device(accelerator: str) -> torch.device:
    """Where a process computes that Lightning does not place: the processor, or this process's own GPU.

    accelerator: as `trainer.accelerator` has it. Processes of torchrun and SLURM take the GPU of their local number.
    """
    if accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", 0))))


def all_gather_with_grad(local: Tensor) -> Tensor:
    """Every rank's rows in rank order: (N, ...) on each rank becomes (world_size * N, ...).

    Each rank must hold the same number of rows. The gradient of a row is the sum over ranks of the gradients that
    reach its copies, so with each rank's loss the mean over its own queries and DDP averaging over ranks, N processes
    give the gradient of one process on the whole batch; no factor is needed.
    """
    gathered: Tensor = _GatherWithGradient.apply(local) if _running() else local
    return gathered


class _GatherWithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        return all_gather(local)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)  # reduced in place
        dist.all_reduce(gradient)
        return gradient.chunk(world_size())[rank()]


def all_gather(local: Tensor) -> Tensor:
    """Every rank's rows in rank order, without gradient; each rank must hold the same number of rows."""
    if not _running():
        return local
    gathered = local.new_empty((world_size() * local.shape[0], *local.shape[1:]))
    gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor  # renamed in torch 2.13
    gather(gathered, local.contiguous())
    return gathered


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of every rank's scalar, without gradient."""
    return all_gather(value.detach()[None]).mean()


def all_gather_objects(local: object) -> list:
    """Every rank's object in rank order."""
    if not _running():
        return [local]
    gathered: list = [None] * world_size()
    dist.all_gather_object(gathered, local)
    return gathered


def on_first_rank(work: Callable[[], T]) -> T:
    """What `work` returns, which rank 0 alone does, on all ranks; every rank must call this.

    For files, which not every rank need see. What it raises is raised on all ranks, so that none waits for ever.
    """
    result: T | None = None
    error: Exception | None = None
    if rank() == 0:
        try:
            result = work()
        except Exception as caught:
            error = caught
    result, error = all_gather_objects((result, error))[0]
    if error is not None:
        raise error
    return result


def shard(module: nn.Module, units: Iterable[nn.Module], mesh: Any, methods: Iterable[str]) -> None:
    """Share the weights, gradients and optimiser states of a module among the processes of a mesh (FSDP2).

    units: parts whose weights are gathered one after the other, each while it computes. methods: names of methods of
    the module that compute, beside `forward`.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for part in (*units, module):
        fully_shard(part, mesh=mesh)
    for method in methods:
        register_fsdp_forward_method(module, method)


def whole_state(module: nn.Module) -> dict[str, Tensor]:
    """The state dict of a sharded module with whole tensors, on every rank; every rank must call this."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    state: dict[str, Any] = get_model_state_dict(module, options=StateDictOptions(full_state_dict=True))
    return state


def whole(tensor: Tensor) -> Tensor:
    """A tensor that may be a sharded module's, as a plain one; every rank must call this."""
    gathered: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return gathered


def barrier() -> None:
    """Wait until every rank has arrived."""
    if _running():
        dist.barrier()


def tell_other_ranks(key: str, text: str) -> None:
    """Under torchrun, before the ranks are connected: leave a text for `told_by_rank_zero`."""
    _torchrun_store().set(_round_key(key), text)


def told_by_rank_zero(key: str) -> str:
    """Under torchrun, before the ranks are connected: the text that rank 0 leaves; waits for it."""
    text: bytes = _torchrun_store().get(_round_key(key))
    return text.decode()


def _torchrun_store() -> dist.TCPStore:
    return dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)


def _round_key(key: str) -> str:
    """torchrun starts the ranks again where one has failed."""
    return f"mixlingua/{key}/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
