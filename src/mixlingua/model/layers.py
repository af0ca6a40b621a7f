"""Layers after pooling, and the folders in which sentence-transformers keeps them."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from mixlingua.errors import ModelError
from mixlingua.files import write_json
from mixlingua.model.folder_file import SettingsFile, read_weights

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    f"{package}.{kind.__name__}": kind
    for kind in (nn.Tanh, nn.Identity, nn.ReLU, nn.GELU)
    for package in ("torch.nn", kind.__module__)
}


class PooledLayer(nn.Module, ABC):
    """A layer after pooling, from (N, in_features) to (N, out_features).

    module: the class by which modules.json names it.
    """

    module: ClassVar[str]
    in_features: int
    out_features: int

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write its settings and weights into an existing folder."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, width: int) -> Self:
        """What `save` wrote; width: components of what it is given. Raises ModelError for what is not followed."""


class Dense(PooledLayer):
    """A linear layer with an activation after pooling, as sentence-transformers saves it (LaBSE: tanh)."""

    module = "sentence_transformers.models.Dense"

    def __init__(self, in_features: int, out_features: int, *, bias: bool, activation: nn.Module) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        self.activation = activation

    def forward(self, pooled: Tensor) -> Tensor:
        return self.activation(self.linear(pooled))

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors."""
        save_file({name: tensor.contiguous() for name, tensor in self.state_dict().items()}, folder / _WEIGHTS)
        activation = type(self.activation)
        config = {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.linear.bias is not None,
            "activation_function": f"{activation.__module__}.{activation.__name__}",
        }
        write_json(folder / "config.json", config)

    @classmethod
    def load(cls, folder: Path, width: int) -> Self:
        """Raises ModelError for a pickle, an unknown activation, and weights that are of another shape."""
        settings = SettingsFile(folder / "config.json")
        _of_sentences(settings)
        settings.only("use_residual", False)
        sizes = settings.take("in_features", int, 0), settings.take("out_features", int, 0)
        bias = settings.take("bias", bool, True)
        activation = settings.take("activation_function", str, "torch.nn.Tanh")
        settings.close()
        if min(sizes) < 1:
            raise ModelError(f"{settings.file}: in_features and out_features are needed, numbers of 1 or more.")
        if activation not in _ACTIVATIONS:
            raise ModelError(f"{settings.file}: activation '{activation}' is not one of {sorted(_ACTIVATIONS)}.")
        dense = cls(*sizes, bias=bias, activation=_ACTIVATIONS[activation]())
        try:
            dense.load_state_dict(read_weights(folder))
        except RuntimeError as error:
            raise ModelError(f"{folder}: the weights do not fit config.json. Copy the model folder again.") from error
        return dense


class Normalize(PooledLayer):
    """Vectors of length one before a further layer; every encoder also ends in it."""

    module = "sentence_transformers.models.Normalize"

    def __init__(self, features: int) -> None:
        super().__init__()
        self.in_features = self.out_features = features

    def forward(self, pooled: Tensor) -> Tensor:
        return functional.normalize(pooled, dim=-1)

    def save(self, folder: Path) -> None:
        """There is nothing to write."""

    @classmethod
    def load(cls, folder: Path, width: int) -> Self:
        """Raises ModelError where it is of tokens, and not of sentences."""
        settings = SettingsFile(folder / "config.json", optional=True)
        _of_sentences(settings)
        settings.close()
        return cls(width)


_WEIGHTS = "model.safetensors"


def _of_sentences(settings: SettingsFile) -> None:
    for key in ("module_input_name", "module_output_name"):
        settings.only(key, "sentence_embedding")


def refuse_not_finite(module: nn.Module, place: Path) -> None:
    """Raises ModelError for weights that are infinite or no numbers."""
    for name, tensor in module.state_dict().items():
        # A sum is fast, and not finite where a weight is not. Where it overflows, each weight is looked at.
        if tensor.is_floating_point() and not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
            raise ModelError(
                f"{place}: {name} holds values that are not finite. The weights are damaged, or training had failed; "
                "copy the folder again or use another checkpoint."
            )
