"""From texts to padded token ids: the model's own prefixes and length limits, for queries and for passages."""

from collections.abc import Sequence
from copy import copy
from typing import Self

import torch
from torch import Tensor
from transformers import BatchEncoding, PreTrainedTokenizerBase

from mixlingua.data.rows import Side


class PairTokenizer:
    """A fast tokenizer with each side's prefix and maximum length. Picklable, so that worker processes can hold it."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        query_prefix: str,
        passage_prefix: str,
        max_query_length: int,
        max_passage_length: int,
    ) -> None:
        """Lengths are in tokens, special tokens included."""
        self.tokenizer = tokenizer
        self.prefix = {"query": query_prefix, "passage": passage_prefix}
        self.max_length = {"query": max_query_length, "passage": max_passage_length}

    def limited(self, max_query_length: int | None, max_passage_length: int | None) -> Self:
        """The same tokenizer with lower length limits, in tokens; None leaves a side's limit as it is."""
        limits = {"query": max_query_length, "passage": max_passage_length}
        limited = copy(self)
        limited.max_length = {side: min(own, limits[side] or own) for side, own in self.max_length.items()}
        return limited

    def encode(self, texts: Sequence[str], side: Side) -> list[list[int]]:
        """Token ids of each text with its side's prefix, truncated, special tokens included, not padded."""
        ids: list[list[int]] = self._tokenized(texts, side)["input_ids"]
        return ids

    def encode_counting(self, texts: Sequence[str], side: Side) -> tuple[list[list[int]], dict[str, int]]:
        """What `encode` gives, and of each text that was cut, how many tokens lay behind the limit."""
        encoded = self._tokenized(texts, side)
        lost = {
            text: sum(len(piece) - sum(piece.special_tokens_mask) for piece in encoding.overflowing)
            for text, encoding in zip(texts, encoded.encodings or (), strict=True)
            if len(encoding) >= self.max_length[side]
        }
        return encoded["input_ids"], {text: tokens for text, tokens in lost.items() if tokens}

    def _tokenized(self, texts: Sequence[str], side: Side) -> BatchEncoding:
        prefix = self.prefix[side]
        return self.tokenizer(
            [prefix + text for text in texts],
            truncation=True,
            max_length=self.max_length[side],
            return_attention_mask=False,
            return_token_type_ids=False,
        )

    def pad(self, ids: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """input_ids and attention_mask, each (N, L) int64 with L the longest; padded on the tokenizer's own side."""
        lengths = torch.tensor([len(tokens) for tokens in ids])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        if self.tokenizer.padding_side == "left":
            mask = mask.flip(1)
        input_ids = torch.full(mask.shape, self.tokenizer.pad_token_id, dtype=torch.int64)
        input_ids[mask] = torch.tensor([token for tokens in ids for token in tokens])
        return {"input_ids": input_ids, "attention_mask": mask.long()}

    def content(self, features: dict[str, Tensor], side: Side) -> Tensor:
        """(N, L) bool: the tokens of the texts themselves, which are no padding, no special token and not their prefix.

        features: padded, of texts of this side. Unknown words are content. A token that holds the end of the prefix
        and the beginning of the text is content too.
        """
        ids = features["input_ids"]
        special = [token for token in self.tokenizer.all_special_ids if token != self.tokenizer.unk_token_id]
        content = features["attention_mask"].bool() & ~torch.isin(ids, torch.tensor(special, device=ids.device))
        # Without the space at its end, which many tokenizers put into the token of the next word.
        prefix = self.tokenizer(self.prefix[side].rstrip(), add_special_tokens=False)["input_ids"]
        if not prefix:
            return content
        place = content.cumsum(1) - 1  # of each token among its text's
        agrees = ids == torch.tensor(prefix, device=ids.device)[place.clamp(0, len(prefix) - 1)]
        return content & ~((agrees | ~content).cumprod(1).bool() & (place < len(prefix)))

    def queries(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Padded features of queries: input_ids and attention_mask, (N, L) int64."""
        return self.pad(self.encode(texts, "query"))

    def passages(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Padded features of passages: input_ids and attention_mask, (N, L) int64."""
        return self.pad(self.encode(texts, "passage"))
