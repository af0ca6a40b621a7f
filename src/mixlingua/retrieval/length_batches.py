"""Batches of texts of similar length, within a budget of tokens."""

from collections.abc import Sequence


def length_sorted_batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Positions of `lengths` in batches, longest first (what does not fit in memory fails at once).

    In each batch, size x longest <= token_budget, unless it is a single text.
    """
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    batches: list[list[int]] = []
    for position in order:
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= token_budget:
            batches[-1].append(position)
        else:
            batches.append([position])
    return batches
