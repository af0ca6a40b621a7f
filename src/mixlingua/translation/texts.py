"""The distinct texts of rows in the source language, and which of them rows need in another."""

from collections.abc import Iterable, Sequence

from mixlingua.data.rows import PairRow


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
