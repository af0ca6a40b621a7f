"""Documents in two languages, a random encoder of two layers, and an index of the documents."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.search.build import Build, empty_index
from mixlingua.search.documents import Corpus, Document
from mixlingua.search.encoding import Encoding
from mixlingua.search.engines import FaissSettings
from mixlingua.search.folder import IndexFolder
from mixlingua.search.settings import IndexSettings

TINY = {
    "name_or_path": "tiny", "pooling": "mean", "query_prefix": "q: ", "passage_prefix": "p: ", "max_query_length": 64,
    "max_passage_length": 64,
}  # fmt: skip
WORDS = {
    "de": ["Hund", "Katze", "Haus", "Baum", "Fluss", "Berg", "Stadt", "Wolke", "Stein", "Brot", "Milch", "Wald"],
    "en": ["dog", "cat", "house", "tree", "river", "mountain", "town", "cloud", "stone", "bread", "milk", "forest"],
}


class Listed(Corpus):
    """A corpus of given documents."""

    def __init__(self, documents: list[Document]) -> None:
        self.listed = documents

    def documents(self) -> Iterator[Document]:
        return iter(self.listed)

    def identity(self) -> str:
        return repr(self.listed)

    def describe(self) -> dict[str, Any]:
        return {"name": "listed"}


def document(identity: str, text: str, language: str | None = "en", title: str = "") -> Document:
    return Document(identity, title, text, language, f"test:{identity}")


def animals(count: int = 60) -> list[Document]:
    """Documents of one or several windows, two thirds of them English."""
    listed = []
    for number in range(count):
        language = "de" if number % 3 == 0 else "en"
        words = WORDS[language]
        pair = f"{words[number % 12]} {words[number // 5 % 12]} {number}"
        listed.append(
            document(f"d{number}", " ".join(f"{pair} {part}." for part in range(1 + number % 4 * 3)), language)
        )
    return listed


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process."""
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def encoding() -> Encoding:
    return Encoding.of(PretrainedEncoder(**TINY).load(0), TINY, 0, precision="32-true")


def make(path: Path, documents: list[Document], encoding: Encoding, settings: IndexSettings | None = None,
         base: IndexFolder | None = None) -> IndexFolder:  # fmt: skip
    """Build an index, or add to one, in this process."""
    settings = settings or FaissSettings(shard_size=32)
    build = Build(base or empty_index(path, settings, encoding), Listed(documents), settings, encoding, _silent)
    reading = build.read()
    build.cost(reading)
    return build.finish(build.encode(reading), reading, {})


def _silent(stage: str, done: int, total: int | None) -> None:
    assert done >= 0
