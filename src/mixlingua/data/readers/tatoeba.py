"""Tatoeba: short sentences with English translations, the bitext test set of LASER (arXiv 1812.10464), to train on."""

from collections.abc import Sequence
from pathlib import Path

from mixlingua.data.readers.bitext import BitextReader
from mixlingua.data.readers.tatoeba_files import pair_files


class TatoebaReader(BitextReader):
    """Rows of the pairs in a folder, as BitextReader; where `path` is no folder, those of the languages `fetched`."""

    def __init__(self, path: str | Path, fetched: Sequence[str], name: str = "tatoeba") -> None:
        super().__init__(path, name)
        self.fetched = fetched

    def _files(self) -> list[Path]:
        if self.path.is_dir():
            return super()._files()
        source = f"data.sources.{self.name}"
        return sorted(file for language in self.fetched for file in pair_files(self.path, language, source))
