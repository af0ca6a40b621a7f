"""The bi-encoder: transformer, pooling, optional layers, unit-length vectors. One tower serves both sides."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from mixlingua.model.length_groups import length_groups
from mixlingua.model.pooling import POOLINGS, Pooling, weighted_layers
from mixlingua.model.tokenizer import PairTokenizer

OPTIONAL_POOLER = ("bert", "xlm-roberta", "roberta")  # architectures whose own pooling layer may be left out


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
        layer_weights: Sequence[float] = (1.0,),
        chunk_size: int | None = None,
        pretraining: str | None = None,
    ) -> None:
        """dense: the layers after pooling in their order. layer_weights: of the transformer's last layers, whose
        states are averaged before they are pooled; the last one's last. chunk_size: texts whose activations are held at
        once in training; None: those of all. pretraining: what its weights had seen before they came here, for readers
        of its scores."""
        super().__init__()
        self.chunk_size = chunk_size
        self.pretraining = pretraining
        self.transformer = transformer
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.layer_weights = tuple(layer_weights)
        transformer.config.output_hidden_states = len(self.layer_weights) > 1
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
        settings = (words, self.pooling, self.layer_weights, tokenizer.prefix, tokenizer.max_length, str(self.dense))
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
        chunks = self._chunks(features)
        if len(chunks) == 1:
            return self._encode(features)
        return torch.cat([checkpoint(self._encode, chunk, use_reentrant=False) for chunk in chunks])

    def with_tokens(self, features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What `forward` gives, and the state of each token that is pooled, (N, L, H) float32 rows of length one.

        With chunk_size, these are held for all texts; the activations behind them are not. Where a column pads all
        texts of a chunk, its rows are zero.
        """
        chunks = self._chunks(features)
        if len(chunks) == 1:
            return self._encode_tokens(features)
        length = features["input_ids"].shape[1]
        encoded = [checkpoint(self._encode_tokens, chunk, use_reentrant=False) for chunk in chunks]
        vectors = torch.cat([vectors for vectors, _ in encoded])
        return vectors, torch.cat(
            [functional.pad(states, (0, 0, 0, length - states.shape[1])) for _, states in encoded]
        )

    def _chunks(self, features: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """What is encoded at once: all of it, unless there is a chunk_size and a gradient is wanted."""
        count = len(features["input_ids"])
        if self.chunk_size is None or count <= self.chunk_size or not torch.is_grad_enabled():
            return [features]
        return [
            _trimmed({name: tensor[start : start + self.chunk_size] for name, tensor in features.items()})
            for start in range(0, count, self.chunk_size)
        ]

    def _encode(self, features: dict[str, Tensor]) -> Tensor:
        groups = length_groups(features)
        vectors = [self._pooled(*self._states(part), part["attention_mask"]) for _, part in groups]
        if len(vectors) == 1:
            return vectors[0]
        return torch.cat(vectors)[torch.argsort(torch.cat([rows for rows, _ in groups]))]

    def _encode_tokens(self, features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        hidden, pooler_output = self._states(features)
        vectors = self._pooled(hidden, pooler_output, features["attention_mask"])
        return vectors, functional.normalize(hidden.float(), dim=-1)

    def _states(self, features: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        output = self.transformer(**features)
        hidden = output.last_hidden_state
        if len(self.layer_weights) > 1:
            hidden = weighted_layers(output.hidden_states, self.layer_weights)
        return hidden, output.pooler_output if self.pooling == "pooler" else None

    def _pooled(self, hidden: Tensor, pooler_output: Tensor | None, mask: Tensor) -> Tensor:
        pooled = POOLINGS[self.pooling](hidden, mask, pooler_output)
        for layer in self.dense:
            pooled = layer(pooled)
        return functional.normalize(pooled.float(), dim=-1)


def _trimmed(features: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the columns that pad all of these texts."""
    longest = int(features["attention_mask"].sum(1).max())
    return {name: tensor[:, :longest] for name, tensor in features.items()}
