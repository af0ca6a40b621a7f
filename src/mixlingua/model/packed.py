"""Packed encoding: the tokens of all texts of a batch in one row, without padding between them.

Every linear layer then works on real tokens alone. Attention stays within each text: by variable-length attention on a
GPU, by plain products over groups of texts of like length elsewhere. The transformer's own modules do the rest, so that
adapters, gradient checkpointing and torch.compile work as they do on padded batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedModel

PACKED = "packed"  # the name of the attention among those of transformers
ARCHITECTURES = ("bert", "roberta", "xlm-roberta")  # whose positions and layers are known to allow it
GROUP = 16  # texts whose attention is computed at once where there is no variable-length attention


@dataclass(frozen=True)
class Group:
    """Texts of like length whose attention is computed at once.

    num_texts: n; length: L, of the longest. bias: (n, 1, 1, L) float32, what is added to scores: -inf behind a text's
    end, else 0; None where all are of one length.
    """

    num_texts: int
    length: int
    bias: Tensor | None


@dataclass(frozen=True)
class Packing:
    """Where the texts of a batch lie in a row of T tokens.

    lengths: (N,) int64, tokens of each text. bounds: (N + 1,) int32, where each text begins, and where the last one
    ends. longest: tokens of the longest text, or a few more. The rest is there only where there is no variable-length
    attention. groups: every text in one of them. places: (P,) int64, for each token of the groups, padding included,
    its place in the row (0 for padding). restore: (T,) int64, for each token of the row, its place among the P.
    """

    lengths: Tensor
    bounds: Tensor
    longest: int
    groups: tuple[Group, ...] = ()
    places: Tensor | None = None
    restore: Tensor | None = None


def can_be_packed(transformer: PreTrainedModel) -> bool:
    """Whether the architecture is one that packing is tested for, and its tokens attend to both sides."""
    config = transformer.config
    return config.model_type in ARCHITECTURES and not getattr(config, "is_decoder", False)


def pack(batches: Sequence[dict[str, Tensor]], *, varlen: bool) -> tuple[Tensor, Packing]:
    """One row of the tokens of padded batches, (T,) int64, and where each text lies in it.

    batches: input_ids and attention_mask, (N, L) int64 each, padded on the right. varlen: whether attention will be of
    variable length, so that no groups are needed.
    """
    masks = [features["attention_mask"].bool() for features in batches]
    tokens = torch.cat([features["input_ids"][mask] for features, mask in zip(batches, masks, strict=True)])
    lengths = torch.cat([mask.sum(1) for mask in masks])
    bounds = functional.pad(lengths.cumsum(0), (1, 0))
    longest = max(mask.shape[1] for mask in masks)
    longest = 1 << max(longest - 1, 15).bit_length()  # few values, so that torch.compile meets few shapes
    if varlen:
        return tokens, Packing(lengths, bounds.int(), longest)
    return tokens, Packing(lengths, bounds.int(), longest, *_grouped(lengths, bounds, len(tokens)))


def _grouped(lengths: Tensor, bounds: Tensor, num_tokens: int) -> tuple[tuple[Group, ...], Tensor, Tensor]:
    """The texts in groups of like length, and `places` and `restore` of a packing."""
    groups, places, is_token = [], [], []
    for texts in torch.argsort(lengths, stable=True).split(GROUP):
        columns = torch.arange(int(lengths[texts[-1]]), device=lengths.device)
        behind = columns >= lengths[texts, None]
        bias = torch.where(behind, -torch.inf, 0.0)[:, None, None] if behind.any() else None
        groups.append(Group(len(texts), len(columns), bias))
        places.append((bounds[texts, None] + columns).masked_fill(behind, 0).flatten())
        is_token.append(~behind.flatten())
    all_places = torch.cat(places)
    tokens = torch.cat(is_token).nonzero().squeeze(1)
    restore = torch.empty(num_tokens, dtype=torch.int64, device=lengths.device)
    restore[all_places[tokens]] = tokens
    return tuple(groups), all_places, restore


def packed_states(transformer: PreTrainedModel, tokens: Tensor, packing: Packing) -> Any:
    """The transformer's output for a packed row; its states are (1, T, H).

    The transformer must have been loaded with, or set to, the attention `PACKED`.
    """
    first = torch.repeat_interleave(packing.bounds[:-1], packing.lengths, output_size=len(tokens))
    positions = torch.arange(len(tokens), device=tokens.device) - first + _first_position(transformer)
    return transformer(input_ids=tokens[None], position_ids=positions[None], packing=packing)


def _first_position(transformer: PreTrainedModel) -> int:
    """RoBERTa's positions begin after that of padding."""
    return 0 if transformer.config.model_type == "bert" else int(transformer.config.pad_token_id) + 1


def mean_of_texts(states: Tensor, packing: Packing, weights: Tensor | None = None) -> Tensor:
    """(N, H) float32: the mean over each text's tokens of states (T, H). weights: (T,) above 0; None: all alike."""
    if weights is None:
        return torch.segment_reduce(states.float(), "mean", lengths=packing.lengths, axis=0)
    weighted = torch.segment_reduce(states.float() * weights[:, None], "sum", lengths=packing.lengths, axis=0)
    return weighted / torch.segment_reduce(weights, "sum", lengths=packing.lengths, axis=0)[:, None]


def first_of_texts(states: Tensor, packing: Packing) -> Tensor:
    """(N, H): the state of each text's first token."""
    return states[packing.bounds[:-1].long()]


def _packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packing: Packing,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention within each text. query, key, value: (1, heads, T, d). Returns (1, T, heads, d)."""
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))  # (T, heads, d)
    if packing.places is None or packing.restore is None:
        from torch.nn.attention.varlen import varlen_attn

        bounds, longest = packing.bounds, packing.longest
        attended = varlen_attn(q, k, v, bounds, bounds, longest, longest, scale=scaling)
        assert isinstance(attended, Tensor)
        return attended[None], None
    # One gather for all groups: the backward pass of each one fills a whole row.
    sizes = [group.num_texts * group.length for group in packing.groups]
    queries, keys, values = (tensor.index_select(0, packing.places).split(sizes) for tensor in (q, k, v))
    outputs = [
        _attention_of(group, *of_group, scaling, dropout)
        for group, of_group in zip(packing.groups, zip(queries, keys, values, strict=True), strict=True)
    ]
    return torch.cat(outputs).index_select(0, packing.restore)[None], None


def _attention_of(group: Group, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
    """query, key, value: (n * L, heads, d), what stands for padding included. Returns the same."""
    # Contiguous, (n * heads, L, d): a product of strided views copies them itself, and several times as slowly.
    q, k, v = (
        tensor.unflatten(0, (group.num_texts, group.length)).transpose(1, 2).contiguous().flatten(0, 1)
        for tensor in (query, key, value)
    )
    scores = torch.baddbmm(q.new_zeros(1, 1, 1), q, k.transpose(1, 2), beta=0, alpha=scaling)
    scores = scores.unflatten(0, (group.num_texts, -1))
    if group.bias is not None:
        scores = scores + group.bias.to(scores.dtype)
    weights = functional.dropout(scores.softmax(-1), dropout)
    attended = torch.bmm(weights.flatten(0, 1), v).unflatten(0, (group.num_texts, -1))
    return attended.transpose(1, 2).flatten(0, 1)


AttentionInterface.register(PACKED, _packed_attention)
