"""Which passages contain an answer, as open-domain question answering judges what was retrieved.

Chen et al. 2017 (arXiv 1704.00051) and Karpukhin et al. 2020 (DPR, arXiv 2004.04906): the tokens of an answer follow
one another in the passage. Nothing is said about whether the passage supports the answer.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import regex
from numpy.typing import NDArray

_TOKEN = regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")

Tokens = tuple[str, ...]


def tokens(text: str) -> Tokens:
    """Words (runs of letters, numbers and marks) and other signs one by one, lower-case, in canonical decomposition
    (NFD); blanks and control characters only divide them."""
    return tuple(_TOKEN.findall(unicodedata.normalize("NFD", text).lower()))


class AnswerIndex:
    """Looks up, while passages go by, which of N questions each of them answers.

    Every distinct answer is looked up once, however many questions share it; a token that begins no answer costs one
    look-up.
    """

    def __init__(self, answers: Sequence[Iterable[str]]) -> None:
        """answers: of each question; one without any token, such as "", is in no passage."""
        self.answers = [{found for answer in own if (found := tokens(answer))} for own in answers]
        self._known = frozenset[Tokens]().union(*self.answers)
        lengths: dict[str, set[int]] = {}
        for answer in self._known:
            lengths.setdefault(answer[0], set()).add(len(answer))
        self._lengths = {first: sorted(found) for first, found in lengths.items()}

    def found_in(self, text: str) -> set[Tokens]:
        """The answers that a text contains."""
        words = tokens(text)
        return {
            candidate
            for start, word in enumerate(words)
            if word in self._lengths
            for length in self._lengths[word]
            if (candidate := words[start : start + length]) in self._known
        }

    def answered(self, texts: Iterable[str]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Each question that some of the texts answer, and the positions of these texts, both ascending."""
        places: dict[Tokens, list[int]] = {}
        for place, text in enumerate(texts):
            for answer in self.found_in(text):
                places.setdefault(answer, []).append(place)
        for question, own in enumerate(self.answers):
            if found := [places[answer] for answer in own if answer in places]:
                yield question, np.unique(np.concatenate(found).astype(np.int64))
