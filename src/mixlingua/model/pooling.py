"""From a transformer's output to one vector per text, before any further layer."""

from collections.abc import Callable, Sequence
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


def weighted_layers(states: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted mean of the last K layers' states, (N, L, H) each; weights: of these layers, the last one's last.

    Source: the last layers hold what the others lack (Ethayarajh 2019, arXiv 1909.00512), and their mean makes better
    sentence vectors than the last (Li et al. 2020, arXiv 2011.05864; Su et al. 2021, arXiv 2103.15316).
    """
    mixed = sum(weight * state for weight, state in zip(weights, states[-len(weights) :], strict=True))
    assert isinstance(mixed, Tensor)
    return mixed / sum(weights)
