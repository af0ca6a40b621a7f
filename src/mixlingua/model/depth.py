"""How deep in a transformer a parameter is, by its name; the lowest layers frozen, the highest drawn anew."""

import re

import torch
from torch import nn
from transformers import PreTrainedModel

_EMBEDDINGS = re.compile(r"embed|\bwte\b|\bwpe\b")
_LAYER = re.compile(r"(?:^|\.)(?:layer|layers|h|block)\.(\d+)\.")


def depth_of(name: str, num_layers: int) -> int:
    """name: of a parameter. 0 for embeddings, i + 1 for layer i, num_layers + 1 for what comes after the layers."""
    if found := _LAYER.search(name):
        return int(found[1]) + 1
    return 0 if _EMBEDDINGS.search(name) else num_layers + 1


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


def reinitialize_highest(transformer: PreTrainedModel, count: int, seed: int) -> None:
    """Draw the weights of the highest `count` layers anew, as the architecture does before pretraining.

    What comes after the layers, such as a last norm, is drawn anew with them; 0 leaves everything as it is.
    Source: Zhang et al. 2021, "Revisiting Few-sample BERT Fine-tuning" (arXiv 2006.05987), section 5.
    """
    if not count:
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new = dict(type(transformer)(transformer.config).named_parameters())
    total = num_layers(transformer)
    with torch.no_grad():
        for name, parameter in transformer.named_parameters():
            if depth_of(name, total) > total - count:
                parameter.copy_(new[name])
