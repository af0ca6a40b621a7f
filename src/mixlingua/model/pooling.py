"""From a transformer's output to one vector per text, before any further layer."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

Pooling = Literal["cls", "mean", "pooler"]


def _cls(hidden: Tensor, mask: Tensor, pooler_output: Tensor | None) -> Tensor:
    return hidden[:, 0]


def _mean(hidden: Tensor, mask: Tensor, pooler_output: Tensor | None) -> Tensor:
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


def _pooler(hidden: Tensor, mask: Tensor, pooler_output: Tensor | None) -> Tensor:
    assert pooler_output is not None
    return pooler_output


POOLINGS: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "cls": _cls,  # the vector of the first token
    "mean": _mean,  # the mean over tokens that are not padding
    "pooler": _pooler,  # the transformer's own pooling layer
}
