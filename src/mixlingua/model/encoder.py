"""The bi-encoder: transformer, pooling, optional layers, unit-length vectors. One tower serves both sides."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from mixlingua.data.tokenizer import PairTokenizer
from mixlingua.errors import ModelError
from mixlingua.model.layers import PooledLayer
from mixlingua.model.packed import (
    ARCHITECTURES,
    PACKED,
    can_be_packed,
    first_of_texts,
    mean_of_texts,
    pack,
    packed_states,
)

Pooling = Literal["cls", "mean", "lasttoken", "pooler"]


def _cls(hidden: Tensor, mask: Tensor, pooler_output: Tensor | None) -> Tensor:
    return hidden[torch.arange(len(mask)), mask.argmax(1)]


def _last(hidden: Tensor, mask: Tensor, pooler_output: Tensor | None) -> Tensor:
    return hidden[torch.arange(len(mask)), mask.shape[1] - 1 - mask.flip(1).argmax(1)]


def _mean(hidden: Tensor, mask: Tensor, pooler_output: Tensor | None) -> Tensor:
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


def _pooler(hidden: Tensor, mask: Tensor, pooler_output: Tensor | None) -> Tensor:
    assert pooler_output is not None
    return pooler_output


# From (N, L, H) states, and (N, L) where 0 is padding, which may stand on either side. Elsewhere is 1, or the
# token's weight in the mean.
POOLINGS: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "cls": _cls,  # the vector of the first token
    "mean": _mean,  # the mean over tokens that are not padding
    "lasttoken": _last,  # the vector of the last token, which alone has seen all others in a causal transformer
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


def _set_attention(transformer: PreTrainedModel, name: str) -> None:
    """Raises ModelError where the transformer, or this machine, does not have it."""
    try:
        if name == PACKED and not can_be_packed(transformer):
            raise ValueError(f"packing is known for {', '.join(ARCHITECTURES)}")
        transformer.set_attn_implementation(name)
    except (ValueError, ImportError) as error:
        raise ModelError(
            f"model.attn_implementation={name}: the model, of type {transformer.config.model_type}, cannot use it "
            f"({error}). Choose null, eager or sdpa."
        ) from error


class BiEncoder(nn.Module):
    """Texts to unit vectors whose dot product is the score.

    Source: the shared-parameter bi-encoder with cosine similarity of Elmahdy, Lin and Ahmad 2024 (arXiv 2408.10536),
    section 2.
    """

    token_weights: Tensor | None

    def __init__(
        self,
        transformer: PreTrainedModel,
        tokenizer: PairTokenizer,
        *,
        pooling: Pooling,
        dense: Sequence[PooledLayer],
        layer_weights: Sequence[float] = (1.0,),
        token_weights: Tensor | None = None,
        chunk_size: int | None = None,
        attn_implementation: str | None = None,
        pretraining: str | None = None,
    ) -> None:
        """dense: the layers after pooling in their order. layer_weights: of the transformer's last layers, whose
        states are averaged before they are pooled; the last one's last. token_weights: (V,) float32 above 0, by which
        tokens count in pooling=mean; None: all alike. chunk_size: texts whose activations are held at once in training;
        None: those of all. attn_implementation: packed, or transformers' name of another; None: packed where the
        architecture allows it. pretraining: what its weights had seen before they came here, for readers of its scores.
        Raises ModelError for attention that the transformer does not have, and for token_weights with other pooling."""
        super().__init__()
        if token_weights is not None and pooling != "mean":
            raise ModelError(f"model.pooling={pooling}: tokens have weights in mean pooling alone. Use model.sif=null.")
        self.chunk_size = chunk_size
        self.pretraining = pretraining
        self.transformer = transformer
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.layer_weights = tuple(layer_weights)
        self.register_buffer("token_weights", token_weights)
        transformer.config.output_hidden_states = len(self.layer_weights) > 1
        if getattr(transformer.config, "use_cache", False):
            transformer.config.use_cache = False  # nothing is generated
        # Whether texts are encoded without padding between them.
        self.packed = attn_implementation in (None, PACKED) and can_be_packed(transformer)
        if attention := PACKED if self.packed else attn_implementation:
            _set_attention(transformer, attention)
        self.dense = nn.ModuleList(dense)
        # D, the number of components of an embedding.
        self.embedding_dim: int = dense[-1].out_features if len(dense) else transformer.config.hidden_size

    @property
    def device(self) -> torch.device:
        """Where the parameters are, and where features must be."""
        return self.transformer.device

    def append(self, layer: PooledLayer) -> None:
        """Put a layer after the others, where the parameters are and in their type."""
        self.embedding_dim = layer.out_features
        self.dense.append(layer.to(self.transformer.device, self.transformer.dtype))

    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of all that decides its vectors: weights, pooling, tokenizer, prefixes, lengths."""
        tokenizer = self.tokenizer
        words = tokenizer.untouched().backend_tokenizer
        settings = (self.pooling, self.layer_weights, tokenizer.prefix, tokenizer.max_length, str(self.dense))
        digest = hashlib.sha256(json.dumps([words.to_str(), *settings], sort_keys=True).encode())
        for name, tensor in self.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """features: input_ids and attention_mask, (N, L) int64. Returns (N, D) float32 rows of length one.

        With chunk_size, where a gradient is wanted, no more than that many texts are in memory with their activations:
        these are computed again, with the same dropout, when the gradient comes back. The loss of a batch of any size
        then has the value and gradient that it has without.
        Source: Gao et al. 2021 (GradCache, arXiv 2101.06983), by checkpointing each chunk.
        """
        return self.encode_together([features])[0]

    def encode_together(self, batches: Sequence[dict[str, Tensor]]) -> list[Tensor]:
        """What `forward` gives for each of several batches, such as queries and passages, in one pass where it can."""
        chunks = [(number, chunk) for number, features in enumerate(batches) for chunk in self._chunks(features)]
        if len(chunks) == len(batches):
            return self._encode(batches)
        encoded = [(number, checkpoint(self._encode, [_trimmed(c)], use_reentrant=False)[0]) for number, c in chunks]
        return [torch.cat([vectors for of, vectors in encoded if of == number]) for number in range(len(batches))]

    def with_tokens(self, features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What `forward` gives, and the state of each token that is pooled, (N, L, H) float32 rows of length one.

        With chunk_size, these are held for all texts; the activations behind them are not. What stands for padding is
        no state.
        """
        chunks = self._chunks(features)
        if len(chunks) == 1:
            return self._encode_tokens(features)
        encoded = [checkpoint(self._encode_tokens, chunk, use_reentrant=False) for chunk in chunks]
        vectors, states = zip(*encoded, strict=True)
        return torch.cat(vectors), torch.cat(states)

    def _chunks(self, features: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """What is encoded at once: all of it, unless there is a chunk_size and a gradient is wanted."""
        count = len(features["input_ids"])
        if self.chunk_size is None or count <= self.chunk_size or not torch.is_grad_enabled():
            return [features]
        return [
            {name: tensor[start : start + self.chunk_size] for name, tensor in features.items()}
            for start in range(0, count, self.chunk_size)
        ]

    def _encode(self, batches: Sequence[dict[str, Tensor]]) -> list[Tensor]:
        if not self.packed:
            return [self._after_pooling(self._padded(features)[0]) for features in batches]
        vectors = self._after_pooling(self._packed(batches)[0])
        return list(vectors.split([len(features["input_ids"]) for features in batches]))

    def _encode_tokens(self, features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        if self.packed:
            pooled, packed = self._packed([features])
            mask = features["attention_mask"].bool()
            states = packed.new_zeros(*mask.shape, packed.shape[-1]).masked_scatter(mask.unsqueeze(-1), packed)
        else:
            pooled, states = self._padded(features)
        return self._after_pooling(pooled), functional.normalize(states.float(), dim=-1)

    def _packed(self, batches: Sequence[dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
        """Pooled vectors of all texts, (N, H), and states of all tokens, (T, H)."""
        tokens, packing = pack(batches, varlen=self._attends_varlen())
        states = self._mixed(packed_states(self.transformer, tokens, packing))[0]
        if self.pooling == "mean":
            weights = None if self.token_weights is None else self.token_weights[tokens]
            return mean_of_texts(states, packing, weights), states
        if self.pooling == "lasttoken":
            return states[packing.bounds[1:].long() - 1], states
        first = first_of_texts(states, packing)
        if self.pooling == "cls":
            return first, states
        pooler = self.transformer.get_submodule("pooler")
        return pooler(first.unsqueeze(1)), states

    def _padded(self, features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Pooled vectors of all texts, (N, H), and states of all tokens, (N, L, H)."""
        output = self.transformer(**features)
        states = self._mixed(output)
        pooler_output = output.pooler_output if self.pooling == "pooler" else None
        mask = features["attention_mask"]
        if self.token_weights is not None:
            mask = mask * self.token_weights[features["input_ids"]]
        return POOLINGS[self.pooling](states, mask, pooler_output), states

    def _mixed(self, output: BaseModelOutputWithPooling) -> Tensor:
        if len(self.layer_weights) > 1:
            assert output.hidden_states is not None
            return weighted_layers(output.hidden_states, self.layer_weights)
        assert output.last_hidden_state is not None
        return output.last_hidden_state

    def _attends_varlen(self) -> bool:
        """Variable-length attention needs a GPU and half precision, and knows no dropout."""
        dropout = self.transformer.config.attention_probs_dropout_prob if self.training else 0.0
        half = self.transformer.dtype in _HALF or (
            torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda") in _HALF
        )
        return self.device.type == "cuda" and half and dropout == 0.0

    def _after_pooling(self, pooled: Tensor) -> Tensor:
        for layer in self.dense:
            pooled = layer(pooled.to(self.transformer.dtype))  # means are float32, and layers as the model is
        return functional.normalize(pooled.float(), dim=-1)


_HALF = (torch.bfloat16, torch.float16)


def _trimmed(features: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the columns that pad all of these texts."""
    kept = features["attention_mask"].any(0)
    return {name: tensor[:, kept] for name, tensor in features.items()}
