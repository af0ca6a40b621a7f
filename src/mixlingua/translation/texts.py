"""The distinct texts of rows in the source language, and which of them rows need in another."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from mixlingua.data.readers.squad import sentence_spans
from mixlingua.data.rows import PairRow
from mixlingua.files import content_hash
from mixlingua.languages import script
from mixlingua.translation.model import Translator

_UNSPACED = {"Hans", "Hant", "Jpan"}  # scripts without a space between sentences


class Pieces:
    """What is handed to the model: texts as they are, and long ones in pieces; each distinct piece once.

    texts: (P) pieces in the order of the texts; lengths: (P) their tokens; of_text: (N) the pieces of each text, in
    order. A text of more than piece_tokens is cut between its sentences, as many to a piece as fit (a longer sentence
    is a piece of its own).
    """

    def __init__(self, texts: Sequence[str], translator: Translator, language: str, piece_tokens: int) -> None:
        self.texts: list[str] = []
        self.of_text: list[tuple[int, ...]] = []
        position: dict[str, int] = {}
        whole = translator.lengths(texts, language)
        long = [text for text, length in zip(texts, whole, strict=True) if length > piece_tokens]
        cut = dict(zip(long, _cut(long, translator, language, piece_tokens), strict=True))
        for text in texts:
            parts = cut.get(text, [text])
            self.of_text.append(tuple(position.setdefault(part, len(position)) for part in parts))
        self.texts = list(position)
        known = dict(zip(texts, whole, strict=True))
        new = [part for part in self.texts if part not in known]
        known |= dict(zip(new, translator.lengths(new, language), strict=True))
        self.lengths = [known[part] for part in self.texts]

    def fingerprint(self) -> str:
        """Equal for equal pieces in equal order."""
        return content_hash(*self.texts)[:16]

    def wanted(self, texts: Sequence[int], longest: int) -> list[int]:
        """The pieces of texts by position that have at most `longest` tokens, each once, ascending."""
        found = {piece for text in texts for piece in self.of_text[text]}
        return sorted(piece for piece in found if self.lengths[piece] <= longest)


def joined(parts: Sequence[str], language: str) -> str:
    """The translated pieces of a text as one text."""
    return ("" if script(language) in _UNSPACED else " ").join(part.strip() for part in parts)


def _cut(texts: Sequence[str], translator: Translator, language: str, limit: int) -> Iterator[list[str]]:
    spans = [sentence_spans(text) for text in texts]
    sentences = [text[left:right] for text, found in zip(texts, spans, strict=True) for left, right in found]
    lengths = iter(translator.lengths(sentences, language))
    for text, found in zip(texts, spans, strict=True):
        starts, tokens = [0], 0
        for number, length in zip(range(len(found)), lengths, strict=False):
            if number > starts[-1] and tokens + length > limit:
                starts.append(number)
                tokens = 0
            tokens += length
        yield [text[found[first][0] : found[last - 1][1]] for first, last in pairwise([*starts, len(found)])]


class SourceTexts:
    """Texts in the source language, each once, in the order of the rows; which they are does not depend on the
    languages.

    texts: (N) texts; num_rows; num_untranslatable: rows that lack the source language and another one. Passages that
    rows share, and questions that come twice, are one text. All are held in memory.
    """

    def __init__(self, source: str, languages: Sequence[str]) -> None:
        self.texts: list[str] = []
        self.num_rows = 0
        self.num_untranslatable = 0
        self._source = source
        self._languages = list(languages)
        self._position: dict[str, int] = {}
        self._needed: list[int] = []  # bit i: some row needs the text in languages[i]

    def add(self, rows: Iterable[PairRow]) -> None:
        """Take in the texts of rows, and what the rows lack."""
        for row in rows:
            self.num_rows += 1
            lacking = sum(1 << bit for bit, code in enumerate(self._languages) if code not in row.queries)
            if self._source not in row.queries:
                self.num_untranslatable += bool(lacking)
                continue
            for text in texts_of(row, self._source):
                position = self._position.setdefault(text, len(self.texts))
                if position == len(self.texts):
                    self.texts.append(text)
                    self._needed.append(0)
                self._needed[position] |= lacking

    def needed(self, language: str) -> list[int]:
        """Positions of the texts that some row needs in a language, ascending."""
        bit = self._languages.index(language)
        return [position for position, bits in enumerate(self._needed) if bits >> bit & 1]

    def position(self, text: str) -> int:
        """Where a text is. Raises KeyError for one that no row has."""
        return self._position[text]


def texts_of(row: PairRow, language: str) -> list[str]:
    """A row's query, passage and negatives in a language that it has."""
    return [row.queries[language], row.passages[language], *row.negatives.get(language, [])]
