"""A frozen encoder whose vectors a loss learns from."""

from copy import deepcopy
from typing import Self

import torch
from torch import Tensor

from mixlingua.model.encoder import BiEncoder
from mixlingua.model.tokenizer import PairTokenizer


class Teacher:
    """Vectors of texts, without gradient and without dropout.

    Not a module: it is no part of what is trained, saved or compared on resuming. It is where its texts are.
    """

    def __init__(self, encoder: BiEncoder) -> None:
        self._encoder = encoder.eval().requires_grad_(False)

    @classmethod
    def copy_of(cls, encoder: BiEncoder) -> Self:
        """The model as it is now: it will learn from what it was before training."""
        return cls(deepcopy(encoder))

    @property
    def tokenizer(self) -> PairTokenizer:
        """How its texts are tokenised."""
        return self._encoder.tokenizer

    @torch.no_grad()
    def __call__(self, features: dict[str, Tensor]) -> Tensor:
        """features: input_ids and attention_mask, (N, L) int64. Returns (N, T) float32 unit rows on their device."""
        return self._beside(features)(features)

    @torch.no_grad()
    def with_tokens(self, features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The same, and the state of each token that is pooled, (N, L, H) float32 unit rows."""
        return self._beside(features).with_tokens(features)

    def _beside(self, features: dict[str, Tensor]) -> BiEncoder:
        device = features["input_ids"].device
        if self._encoder.device != device:
            self._encoder.to(device)
        return self._encoder
