"""From texts to padded token ids: the model's own prefixes and length limits, and what is lost of longer texts."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor
from transformers import BatchEncoding, PreTrainedTokenizerBase

from mixlingua.data.rows import Side
from mixlingua.data.store import SIDES, ParallelStore
from mixlingua.sampling.random import random_subset


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

    def untouched(self) -> PreTrainedTokenizerBase:
        """The tokenizer without the truncation and padding that the latest call left in it; every call sets its own."""
        self.tokenizer.backend_tokenizer.no_truncation()
        self.tokenizer.backend_tokenizer.no_padding()
        return self.tokenizer

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


SAMPLE = 512  # rows of a training source whose texts are counted


@dataclass(frozen=True)
class Cut:
    """num_texts: distinct texts that were counted. num_cut: those longer than the limit. limit: tokens that the model
    reads, special ones and the prefix included; None where nothing was cut. lost_tokens: those behind the limit."""

    num_texts: int = 0
    num_cut: int = 0
    limit: int | None = None
    lost_tokens: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.num_texts + other.num_texts,
            self.num_cut + other.num_cut,
            self.limit or other.limit,
            self.lost_tokens + other.lost_tokens,
        )

    def note(self, side: Side, sampled: bool = False) -> str | None:
        """What to tell of it in a sentence; None where nothing was cut. sampled: not all texts were counted."""
        if not self.num_cut or self.limit is None:
            return None
        share = self.lost_tokens / (self.num_cut * self.limit + self.lost_tokens)
        texts = {"query": "queries", "passage": "passages"}[side]
        counted = f"{self.num_cut:,} of {self.num_texts:,} {'sampled ' if sampled else ''}{texts}"
        return f"{counted} are longer than {self.limit} tokens and are cut; {share:.0%} of their tokens are lost"


def cut_of(lost: Mapping[str, int], texts: Sequence[str], limit: int) -> Cut:
    """Of distinct texts. lost: text -> tokens behind the limit, of those that have any."""
    of_texts = [lost[text] for text in texts if text in lost]
    return Cut(len(texts), len(of_texts), limit if of_texts else None, sum(of_texts))


def sampled_cut(
    store: ParallelStore, tokenizer: PairTokenizer, languages: Sequence[str], *, seed: int, source_index: int
) -> dict[Side, Cut]:
    """What training cuts of a source's queries and passages: of SAMPLE random rows, of all where there are no more.

    languages: those trained on; each row is counted in one of them that it has.
    """
    rows = random_subset(store.num_rows, min(SAMPLE, store.num_rows), seed=seed, source_index=source_index)
    held = np.stack([store.holds(rows, language) for language in languages], axis=1)
    chosen = [
        (row, np.flatnonzero(of_row)[number % of_row.sum()])
        for number, (row, of_row) in enumerate(zip(rows.tolist(), held, strict=True))
        if of_row.any()
    ]
    cuts: dict[Side, Cut] = {}
    for side in SIDES:
        texts = store.texts([row for row, _ in chosen], side, [languages[int(index)] for _, index in chosen])
        distinct = list(dict.fromkeys(texts))
        _, lost = tokenizer.encode_counting(distinct, side)
        cuts[side] = cut_of(lost, distinct, tokenizer.max_length[side])
    return cuts
