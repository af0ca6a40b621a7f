"""The encoder of a run as its benchmarks, miners and layers use it: with a bar, and each text encoded once."""

from collections.abc import Sequence
from functools import cached_property

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from mixlingua import distributed
from mixlingua.data.rows import Side
from mixlingua.data.tokenizer import Cut, cut_of
from mixlingua.files import content_hash
from mixlingua.model.encoder import BiEncoder
from mixlingua.retrieval.encode import encode_tokens
from mixlingua.retrieval.kept_vectors import kept_whole


def progress_bars() -> Progress:
    """Bars that go away, on rank zero; on the console that Lightning's bar uses too: rich draws one below the other."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, transient=True, disable=distributed.rank() != 0)


class TextEncoder:
    """An `Encode` with a bar for each call; purpose: what the bar says the vectors are for.

    The vectors of each side are remembered until none of a call's texts is among them, so that tasks that follow one
    another over the same texts, such as `xquad_r` and `xquad_r_joined`, have them encoded once. The encoder must stay
    as it is.

    cut: by side, the distinct texts so far and how many of them were cut; empty it where a new count begins.
    """

    def __init__(
        self,
        encoder: BiEncoder,
        token_budget: int,
        precision: str,
        bars: Progress,
        purpose: str,
        *,
        keep: bool = False,
    ) -> None:
        self.encoder, self.token_budget, self.precision = encoder, token_budget, precision
        self.bars, self.purpose, self.keep = bars, purpose, keep
        self.cut: dict[Side, Cut] = {}
        self.latest_cut = Cut()
        # text -> its row; (N, D); and of each text that was cut, how many tokens were lost
        self._latest: dict[Side, tuple[dict[str, int], Tensor, dict[str, int]]] = {}

    @cached_property
    def fingerprint(self) -> str:
        return content_hash(self.encoder.fingerprint(), self.precision)

    def __call__(self, texts: Sequence[str], side: Side) -> Tensor:
        rows, vectors, lost = self._latest.get(side, ({}, torch.empty(0), {}))
        distinct = list(dict.fromkeys(texts))
        new = [text for text in distinct if text not in rows]
        if new:
            if len(new) == len(distinct):
                rows, vectors, lost = {}, vectors[:0], {}
            fresh, fresh_lost = self._encoded(new, side)
            rows = rows | {text: row for row, text in enumerate(new, start=len(rows))}
            vectors, lost = torch.cat([vectors, fresh]) if len(vectors) else fresh, lost | fresh_lost
            self._latest[side] = rows, vectors, lost
        self.latest_cut = cut_of(lost, distinct, self.encoder.tokenizer.max_length[side])
        self.count(self.latest_cut, side)
        return vectors[[rows[text] for text in texts]]

    def count(self, cut: Cut, side: Side) -> None:
        """Add texts to those that were counted."""
        self.cut[side] = self.cut.get(side, Cut()) + cut

    def _encoded(self, texts: Sequence[str], side: Side) -> tuple[Tensor, dict[str, int]]:
        """The vectors of texts, and the tokens that were lost of those that were cut."""
        token_ids, lost = self.encoder.tokenizer.encode_counting(texts, side)
        if not self.keep:
            return self._computed(token_ids, side), lost
        device = next(self.encoder.parameters()).device.type
        settings = (self.token_budget, self.encoder.packed, device)
        parts = (self.fingerprint, repr(settings), side, *texts)
        return kept_whole(parts, len(texts), lambda: self._computed(token_ids, side)), lost

    def _computed(self, token_ids: Sequence[Sequence[int]], side: Side) -> Tensor:
        bar = self.bars.add_task(f"{self.purpose}: {side} vectors", total=None)
        vectors = encode_tokens(
            self.encoder,
            token_ids,
            token_budget=self.token_budget,
            precision=self.precision,
            progress=lambda done, total: self.bars.update(bar, completed=done, total=total),
        )
        self.bars.remove_task(bar)
        return vectors
