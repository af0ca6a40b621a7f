"""Encoding in 8-bit integers on a CPU: the transformer's linear layers, quantised while texts are encoded."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mixlingua.errors import ConfigError
from mixlingua.model.encoder import BiEncoder


class Int8Linear(nn.Module):
    """A linear layer whose product is one of 8-bit integers; the rest of it is in float32.

    Each row of the weights and each row of what comes in is divided by its largest absolute value over 127 and
    rounded; the product of integers is exact, and is multiplied by the two divisors. No calibration is needed.
    Source: the vector-wise quantisation of Dettmers et al. 2022 (LLM.int8(), arXiv 2208.07339), section 3.1, without
    its columns of outliers.
    """

    weight_rows: Tensor
    weight_scale: Tensor
    bias: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        rows, scale = _quantise(linear.weight.detach().float())
        bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach().float()
        self.register_buffer("weight_rows", rows.T.contiguous())  # (in, out) int8
        self.register_buffer("weight_scale", scale.squeeze(1))
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., in) of any float type. Returns (..., out) float32."""
        rows, scale = _quantise(x.float().flatten(0, -2))
        product = torch._int_mm(rows, self.weight_rows).float().mul_(scale)
        return torch.addcmul(self.bias, product, self.weight_scale).unflatten(0, x.shape[:-1])


def _quantise(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of int8, (N, K), and what each is to be multiplied by, (N, 1)."""
    scale = matrix.abs().amax(1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny) / 127
    return (matrix / scale).round_().to(torch.int8), scale


def quantise(encoder: BiEncoder) -> dict[str, nn.Linear]:
    """Replace every linear layer of the transformer by an `Int8Linear`; adapters beside them stay as they are.

    Returns the layers that were replaced, by name: none where all of them are already. Raises ConfigError where the
    encoder is not on a CPU.
    """
    if encoder.device.type != "cpu":
        raise ConfigError(f"precision=int8: the model is on {encoder.device}; int8 is for CPUs. Use bf16-mixed there.")
    replaced = {
        name: module
        for name, module in encoder.transformer.named_modules()
        if isinstance(module, nn.Linear) and "lora_" not in name
    }
    for name, module in replaced.items():
        encoder.transformer.set_submodule(name, Int8Linear(module))
    return replaced


@contextmanager
def quantised(encoder: BiEncoder) -> Iterator[None]:
    """The encoder is quantised meanwhile. Raises ConfigError as `quantise` does."""
    replaced = quantise(encoder)
    try:
        yield
    finally:
        for name, module in replaced.items():
            encoder.transformer.set_submodule(name, module)
