"""Long documents are cut at the ends of sentences, into windows that overlap and fit into the model.

A window is what is encoded and found. It knows its document, whose title stands before each window's text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mixlingua.data.tokenizer import PairTokenizer
from mixlingua.errors import ConfigError, check_whole
from mixlingua.search.documents import UNDETERMINED, Document

_SLACK = 2  # tokens: a text that is cut out may have a token or two more than it has in its document


class Window(NamedTuple):
    """A part of a document. number: its position among the document's windows. text: as in the document.

    num_tokens: that the model reads of it, with prefix, title and special tokens.
    """

    document: Document
    number: int
    text: str
    num_tokens: int

    @property
    def encoded_text(self) -> str:
        """What is encoded: the title, a blank and the text."""
        return titled(self.document.title, self.text)


def titled(title: str, text: str) -> str:
    """A text behind its title, as it is encoded."""
    return f"{title} {text}".strip()


@dataclass(frozen=True)
class Windowing:
    """How documents are cut.

    tokens: of a window, with prefix, title and special tokens; null: as many as the model reads of a passage
    overlap: tokens at the end of a window that the next one repeats, at most; whole sentences only
    """

    tokens: int | None = None
    overlap: int = 32

    def __post_init__(self) -> None:
        if self.tokens is not None:
            check_whole("index.windows.tokens", self.tokens, 16)
        check_whole("index.windows.overlap", self.overlap, 0)
        if self.tokens is not None and self.overlap > self.tokens // 2:
            raise ConfigError(
                f"index.windows.overlap={self.overlap}: more than half of index.windows.tokens={self.tokens}; windows "
                "would hardly get on."
            )

    def cut(self, documents: Sequence[Document], tokenizer: PairTokenizer) -> Iterator[Window]:
        """The windows of each document in order. Raises ConfigError where a title leaves no room for a text."""
        if not documents:
            return
        limit = min(self.tokens or tokenizer.max_length["passage"], tokenizer.max_length["passage"])
        whole = tokenizer.tokenizer(
            [tokenizer.prefix["passage"] + titled(document.title, document.text) for document in documents],
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        for document, ids in zip(documents, whole, strict=True):
            if len(ids) <= limit:
                yield Window(document, 0, document.text, len(ids))
            else:
                yield from self._windows(document, tokenizer, limit)

    def _windows(self, document: Document, tokenizer: PairTokenizer, limit: int) -> Iterator[Window]:
        """Of a document that is longer than the limit."""
        before = len(tokenizer.tokenizer(titled(tokenizer.prefix["passage"] + document.title, ""))["input_ids"])
        room = limit - before - _SLACK
        if room < limit // 4:
            document = document._replace(title=_shortened(document.title, tokenizer, limit // 2))
            before = len(tokenizer.tokenizer(titled(tokenizer.prefix["passage"] + document.title, ""))["input_ids"])
            room = limit - before - _SLACK
        if room < 1:
            raise ConfigError(
                f"index.windows.tokens={limit}: {document.where}: the prefix and the beginning of the title take "
                f"{before} tokens, which leaves no room for the text. Use longer windows, or a shorter "
                "model.passage_prefix."
            )
        starts = _token_starts(document.text, tokenizer)
        ends = _unit_ends(document.text, document.language or UNDETERMINED, starts, room)
        counts = np.diff(np.searchsorted(starts, [0, *ends]))  # tokens of each unit
        first = number = 0
        while first < len(ends):
            last = first + 1
            tokens = int(counts[first])
            while last < len(ends) and tokens + counts[last] <= room:
                tokens += int(counts[last])
                last += 1
            begin = ends[first - 1] if first else 0
            yield Window(document, number, document.text[begin : ends[last - 1]].strip(), before + tokens)
            if last == len(ends):
                return
            following, repeated = last, 0
            while following - 1 > first and repeated + counts[following - 1] <= self.overlap:
                following -= 1
                repeated += int(counts[following])
            # What is repeated must leave room for something new.
            while following < last and repeated + counts[last] > room:
                repeated -= int(counts[following])
                following += 1
            first, number = following, number + 1


def _shortened(title: str, tokenizer: PairTokenizer, tokens: int) -> str:
    """The beginning of a title that would leave no room for the text."""
    starts = _token_starts(title, tokenizer)
    return title[: int(starts[tokens])].strip() if len(starts) > tokens else title


def _token_starts(text: str, tokenizer: PairTokenizer) -> np.ndarray:
    """Where each token of a text begins, in characters, ascending."""
    encoded = tokenizer.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, truncation=False)
    return np.array([start for start, _ in encoded["offset_mapping"]], np.int64)


def _unit_ends(text: str, language: str, starts: np.ndarray, room: int) -> list[int]:
    """Where the units end that windows are made of: sentences, and pieces of those that are longer than the room."""
    from sentencex import get_sentence_boundaries

    ends = sorted({int(bound["end_index"]) for bound in get_sentence_boundaries(language.partition("-")[0], text)})
    ends = [end for end in ends if 0 < end < len(text)] + [len(text)]
    units: list[int] = []
    begin = 0
    for end in ends:
        stop = int(np.searchsorted(starts, end))
        while stop - (token := int(np.searchsorted(starts, begin))) > room:
            following = int(np.searchsorted(starts, begin, side="right"))
            if following >= stop:  # tokens of one character alone
                break
            at = int(starts[max(token + room, following)])
            blank = max(text.rfind(" ", begin, at), text.rfind("\n", begin, at)) + 1
            begin = blank if blank > int(starts[token + room // 2]) else at
            units.append(begin)
        units.append(end)
        begin = end
    return units
