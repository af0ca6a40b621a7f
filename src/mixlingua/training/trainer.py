"""The Lightning Trainer that conf/trainer describes: its precision, and how many processes it will use."""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, RichProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler
from pytorch_lightning.strategies import ModelParallelStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from mixlingua.errors import ConfigError, choice_problems
from mixlingua.retrieval.encode import AUTOCAST, PLAIN
from mixlingua.training.checkpoints import WholeCheckpoints
from mixlingua.training.processes import RankSignals, only_warnings


def build_trainer(
    arguments: Mapping[str, Any], run_dir: Path, callbacks: Iterable[Callback], loggers: Iterable[Logger]
) -> Trainer:
    """A Trainer with the arguments of conf/trainer and a progress bar; Lightning's own files, if any, go to run_dir.

    precision "auto" is that of `native_precision`; strategy "fsdp" is FSDP2 over all processes. A profiler by name
    writes to run_dir/profile. Raises ConfigError where Lightning refuses an argument.
    """
    only_warnings()
    given: dict[str, Any] = {"enable_model_summary": False, "num_sanity_val_steps": 0, **arguments}
    if 0 < given.get("max_steps", -1) < (given.get("log_every_n_steps") or 50):
        given["log_every_n_steps"] = given["max_steps"]  # something is logged
    if given.get("precision") == "auto":
        given["precision"] = native_precision(given["accelerator"])
    if given.get("strategy") == "fsdp":
        given["strategy"] = ModelParallelStrategy(
            data_parallel_size=num_processes(given), tensor_parallel_size=1, save_distributed_checkpoint=False
        )
    if (profiler := given.get("profiler")) in PROFILERS:
        given["profiler"] = PROFILERS[profiler](dirpath=run_dir / "profile", filename=profiler)
    bar = [TrainingBar(leave=True)] if given.get("enable_progress_bar", True) else []
    callbacks = [RankSignals(), *bar, *callbacks]
    try:
        return Trainer(
            **given,
            callbacks=callbacks,
            logger=list(loggers),
            plugins=[WholeCheckpoints()],
            default_root_dir=run_dir,
            enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        )
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise ConfigError(f"Lightning's Trainer refuses its arguments: {' '.join(str(error).split())}") from error


# Lightning's by name; its own choice by name logs the table as a notice about itself, which a run does not show.
PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}


class TrainingBar(RichProgressBar):
    """Lightning's bar, named by what it shows: a run is one epoch of as many batches as it has steps."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Without the version of a logger, which is the name of its folder here."""
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put "training" in the place of the number of the epoch."""
        super().on_train_epoch_start(trainer, pl_module)
        if self.progress is not None and self.train_progress_bar_id is not None:
            width = len(self.validation_description)  # bars of one width do not flicker
            self.progress.update(self.train_progress_bar_id, description=f"{'training':{width}}")


def native_precision(accelerator: str) -> str:
    """What `trainer.precision=auto` is: "bf16-mixed" where the device computes bfloat16 natively, else "32-true".

    That is a CPU with AMX-BF16 or AVX512-BF16, and a CUDA device of compute capability 8.0 or above.
    """
    import torch

    if accelerator != "cpu" and torch.cuda.is_available():
        native = torch.cuda.get_device_capability() >= (8, 0)
    elif accelerator in ("cpu", "auto"):
        instructions: dict[str, Any] = getattr(
            torch.cpu, "get_capabilities", dict
        )()  # younger than the oldest torch that we take
        native = bool(instructions.get("amx_bf16") or instructions.get("avx512_bf16"))
    else:
        native = False
    return "bf16-mixed" if native else "32-true"


def num_processes(arguments: Mapping[str, Any]) -> int:
    """World size that the arguments of conf/trainer lead to on this machine: devices x num_nodes."""
    return _devices_here(arguments["accelerator"], arguments["devices"]) * int(arguments["num_nodes"])


def starts_itself_again(arguments: Mapping[str, Any]) -> bool:
    """Whether Lightning would start the command once more for each further process."""
    strategy = str(arguments["strategy"])
    if any(word in strategy for word in ("spawn", "fork", "notebook")):
        return False
    return strategy != "auto" or num_processes(arguments) > 1


def precision_problems(precision: object, section: str = "trainer") -> list[str]:
    """What is wrong with trainer.precision, or with evaluation.precision."""
    choices = ("auto", *AUTOCAST, *PLAIN, *(["int8"] if section == "evaluation" else []))
    hint = " Training knows no int8; evaluation.precision=int8 does." if precision == "int8" else ""
    return [problem + hint for problem in choice_problems(f"{section}.precision", precision, choices)]


def clipping_problems(arguments: Mapping[str, Any]) -> list[str]:
    """What is wrong with trainer.gradient_clip_val: below 0, every step would go up the gradient."""
    largest = arguments.get("gradient_clip_val")
    if largest is None or 0 <= largest < math.inf:
        return []
    return [f"trainer.gradient_clip_val={largest}: a number of 0 or more, the largest norm; null for no clipping."]


def device_problems(arguments: Mapping[str, Any]) -> list[str]:
    """What is wrong with the devices that are asked for, or lacking on this machine."""
    import torch

    accelerator, devices = arguments["accelerator"], arguments["devices"]
    text = "".join(f"{device}," for device in devices) if isinstance(devices, list) else str(devices)
    which = "" if accelerator == "cpu" else r"|-1|(\d+,)+\d*"
    if not re.fullmatch(rf"auto|[1-9]\d*{which}", text):
        listed = ", or a list of which, such as [0,1]," if which else ""
        return [f"trainer.devices={devices}: a number of 1 or more, or auto{listed} is needed."]
    if accelerator in ("gpu", "cuda") and not torch.cuda.is_available() and not torch.backends.mps.is_available():
        return [f"trainer.accelerator={accelerator}: no GPU is visible here; use trainer=cpu."]
    visible = torch.cuda.device_count()
    if accelerator in ("gpu", "cuda") and visible and isinstance(devices, int) and devices > visible:
        return [f"trainer.devices={devices}: {visible} GPUs are visible here; use trainer.devices={visible} or fewer."]
    return []


def _devices_here(accelerator: str, devices: int | str | list[int]) -> int:
    import torch

    if isinstance(devices, list):
        return len(devices)
    if str(devices) not in ("auto", "-1"):
        return len(str(devices).strip(",").split(",")) if "," in str(devices) else int(devices)
    return max(1, torch.cuda.device_count()) if accelerator != "cpu" else 1
