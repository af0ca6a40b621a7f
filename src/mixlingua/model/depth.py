"""How deep a weight lies in its transformer, for what treats layers differently."""

import re

from torch import nn

_LAYER = re.compile(r"(?:^|\.)(?:layer|layers|h|block)\.(\d+)\.")


def depth_of(name: str, num_layers: int) -> int:
    """name: of a parameter. 0 for embeddings, i + 1 for layer i, num_layers + 1 for what comes after the layers."""
    if found := _LAYER.search(name):
        return int(found[1]) + 1
    return 0 if "embeddings" in name else num_layers + 1


def num_layers(module: nn.Module) -> int:
    """How many layers its parameters' names tell of; 0 where they tell of none."""
    found = (_LAYER.search(name) for name, _ in module.named_parameters())
    return max((int(match[1]) + 1 for match in found if match), default=0)


def freeze_lowest(transformer: nn.Module, num_frozen: int) -> None:
    """No training for the embeddings and the lowest layers; 0 leaves everything as it is."""
    if num_frozen:
        for name, parameter in transformer.named_parameters():
            if depth_of(name, num_frozen) <= num_frozen:
                parameter.requires_grad_(False)
