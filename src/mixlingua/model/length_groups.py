"""Texts of like length together, so that a batch is not padded as a whole to its longest text."""

import torch
from torch import Tensor

GROUP = 16  # texts; a batch of texts of one length took no longer in such pieces than at once, on a core with AVX-512
MIN_SAVING = 0.1  # of the batch's padded tokens; for less, sorting is not worth it


def length_groups(features: dict[str, Tensor]) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """The batch in groups of like length, each with the numbers of its rows, (n,) int64, and without needless padding.

    features: input_ids and attention_mask, (N, L) int64, padded on the right. One group, as it was, where that saves
    little, and on accelerators, which keep their units busy with a batch as a whole.
    """
    mask = features["attention_mask"]
    count, width = mask.shape
    if mask.device.type == "cpu" and count > GROUP:
        lengths = mask.sum(1)
        groups = torch.argsort(lengths, stable=True).split(GROUP)
        widths = [int(lengths[rows[-1]]) for rows in groups]
        padded = sum(len(rows) * own for rows, own in zip(groups, widths, strict=True))
        if padded <= (1 - MIN_SAVING) * count * width:
            return [
                (rows, {name: tensor[rows, :own] for name, tensor in features.items()})
                for rows, own in zip(groups, widths, strict=True)
            ]
    return [(torch.arange(count, device=mask.device), features)]
