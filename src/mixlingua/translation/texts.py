"""The distinct texts of rows in the source language, which rows need in another, and the pieces of long ones."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise

from mixlingua.data.readers.squad import sentence_spans
from mixlingua.data.rows import PairRow
from mixlingua.files import content_hash
from mixlingua.languages import between_sentences
from mixlingua.translation.model import Translator


class SourceTexts:
    """The texts in the source language, each once, in the order of the rows, whatever the target languages.

    texts: (N) texts. num_rows: rows read. num_untranslatable: rows that lack the source language and another one.
    Passages that rows share, and questions that come twice, are one text. All are held in memory.
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
            negatives = row.negatives.get(self._source, [])
            for text in (row.queries[self._source], row.passages[self._source], *negatives):
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


class Pieces:
    """What is handed to the model: short texts as they are, long ones in pieces, each distinct piece once.

    texts: (P) pieces in the order of the texts; lengths: (P) their tokens; of_text: (N) the pieces of each text, in
    order. A text of more than piece_tokens is cut between its sentences, as many to a piece as fit (a longer sentence
    is a piece of its own).
    """

    def __init__(self, texts: Sequence[str], translator: Translator, language: str, piece_tokens: int) -> None:
        lengths = dict(zip(texts, translator.lengths(texts, language), strict=True))
        long = [text for text in texts if lengths[text] > piece_tokens]
        pieces_of = dict(zip(long, _cut(long, translator, language, piece_tokens), strict=True))
        position: dict[str, int] = {}
        self.of_text = [
            tuple(position.setdefault(piece, len(position)) for piece in pieces_of.get(text, [text])) for text in texts
        ]
        self.texts = list(position)
        cut = [piece for piece in self.texts if piece not in lengths]
        lengths |= dict(zip(cut, translator.lengths(cut, language), strict=True))
        self.lengths = [lengths[piece] for piece in self.texts]

    def fingerprint(self) -> str:
        """Equal for equal pieces in equal order."""
        return content_hash(*self.texts)[:16]

    def wanted(self, texts: Sequence[int], longest: int) -> list[int]:
        """The pieces, of the texts at some positions, that have at most `longest` tokens, each once, ascending."""
        pieces = {piece for text in texts for piece in self.of_text[text]}
        return sorted(piece for piece in pieces if self.lengths[piece] <= longest)


def _cut(texts: Sequence[str], translator: Translator, language: str, limit: int) -> Iterator[list[str]]:
    """The pieces of each text, from sentences whose tokens add up to at most `limit`."""
    spans_of_text = [sentence_spans(text) for text in texts]
    sentences = [text[start:end] for text, spans in zip(texts, spans_of_text, strict=True) for start, end in spans]
    lengths = iter(translator.lengths(sentences, language))
    for text, spans in zip(texts, spans_of_text, strict=True):
        first_sentences, tokens = [0], 0
        for sentence, length in enumerate(islice(lengths, len(spans))):
            if sentence > first_sentences[-1] and tokens + length > limit:
                first_sentences.append(sentence)
                tokens = 0
            tokens += length
        yield [text[spans[first][0] : spans[end - 1][1]] for first, end in pairwise([*first_sentences, len(spans)])]


def joined(pieces: Sequence[str], language: str) -> str:
    """The translated pieces of a text as one text."""
    return between_sentences(language).join(piece.strip() for piece in pieces)
