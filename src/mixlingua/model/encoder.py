"""The bi-encoder: transformer, pooling, optional layers, unit-length vectors. One tower serves both sides."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from mixlingua.model.tokenizer import PairTokenizer

Pooling = Literal["cls", "mean", "pooler"]
OPTIONAL_POOLER = ("bert", "xlm-roberta", "roberta")  # architectures whose own pooling layer may be left out


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


class PooledLayer(nn.Module, ABC):
    """A layer after pooling, from (N, D) to (N, out_features)."""

    @property
    @abstractmethod
    def out_features(self) -> int: ...


class Dense(PooledLayer):
    """A linear layer with an activation after pooling, as sentence-transformers saves it (LaBSE: tanh)."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool, activation: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        self.activation = activation

    @property
    def out_features(self) -> int:
        return self.linear.out_features

    def forward(self, pooled: Tensor) -> Tensor:
        return self.activation(self.linear(pooled))


class BiEncoder(nn.Module):
    """Texts to unit vectors whose dot product is the score.

    Source: the shared-parameter bi-encoder with cosine similarity of Elmahdy, Lin and Ahmad 2024 (arXiv 2408.10536),
    section 2.
    """

    def __init__(
        self,
        transformer: PreTrainedModel,
        tokenizer: PairTokenizer,
        *,
        pooling: Pooling,
        dense: Sequence[PooledLayer],
        chunk_size: int | None = None,
    ) -> None:
        """dense: the layers after pooling in their order. chunk_size: texts whose activations are held at once in
        training; None: those of all."""
        super().__init__()
        self.chunk_size = chunk_size
        self.transformer = transformer
        self.tokenizer = tokenizer
        self.pooling = pooling
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
        words = json.loads(tokenizer.tokenizer.backend_tokenizer.to_str())
        words.update(truncation=None, padding=None)  # left there by the latest call
        settings = (words, self.pooling, tokenizer.prefix, tokenizer.max_length, str(self.dense))
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
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
        count = len(features["input_ids"])
        if self.chunk_size is None or count <= self.chunk_size or not torch.is_grad_enabled():
            return self._encode(features)
        chunks = [
            {name: tensor[start : start + self.chunk_size] for name, tensor in features.items()}
            for start in range(0, count, self.chunk_size)
        ]
        return torch.cat([checkpoint(self._encode, _trimmed(chunk), use_reentrant=False) for chunk in chunks])

    def _encode(self, features: dict[str, Tensor]) -> Tensor:
        output = self.transformer(**features)
        pooler_output = output.pooler_output if self.pooling == "pooler" else None
        pooled = POOLINGS[self.pooling](output.last_hidden_state, features["attention_mask"], pooler_output)
        for layer in self.dense:
            pooled = layer(pooled)
        return functional.normalize(pooled.float(), dim=-1)


def _trimmed(features: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the columns that pad all of these texts."""
    longest = int(features["attention_mask"].sum(1).max())
    return {name: tensor[:, :longest] for name, tensor in features.items()}
