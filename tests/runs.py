"""What the tests read in a run folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from mixlingua.training.checkpoints import read_checkpoint


def metrics(run: Path, name: str = "metrics") -> dict[str, float]:
    return dict(json.loads((run / f"{name}.json").read_text()))


def provenance(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "report.json").read_text())["provenance"])


def trained(run: Path) -> dict[str, torch.Tensor]:
    """The weights of the last checkpoint."""
    return dict(read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"])


def weights(run: Path) -> dict[str, torch.Tensor]:
    """The weights of the last checkpoint and of the saved model."""
    return trained(run) | {f"model/{name}": t for name, t in load_file(run / "model" / "model.safetensors").items()}


def same(left: Mapping[str, torch.Tensor], right: Mapping[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
